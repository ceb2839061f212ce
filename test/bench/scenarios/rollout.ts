import { blobPath, type Image, manifestPath } from '../content.ts'
import { MANIFEST_TYPES, pullUntilWarm } from './prime.ts'
import { LOOP, type LoadScenario } from './scenario.ts'

const NODES = 30
const IMAGES = 12
const MIB = 2 ** 20
const SHARED = [16 * MIB, 8 * MIB, 4 * MIB]
const OWN: readonly [number, ...number[]] = [6 * MIB, 1 * MIB, 20_000]

/** Nodes that pull the same images at the same time, each a layer only once. */
export function createRolloutScenarios(): readonly LoadScenario[] {
  return [rollout('rollout-cold', true), rollout('rollout-warm', false)]
}

function rollout(name: string, cold: boolean): LoadScenario {
  return {
    name,
    title: `rollout, ${NODES} nodes × ${IMAGES} images, ${cold ? 'cold' : 'warm'}`,
    measures: 'blobs',
    roles: ['larder', 'distribution'],
    cold,
    comparisons: [
      { figure: 'seconds', versus: 'distribution' },
      { figure: 'cpuSeconds', versus: 'distribution' },
      { figure: 'upstreamRequests', versus: 'distribution' },
      LOOP,
    ],
    async push({ pusher }) {
      const shared = []
      for (const size of SHARED) shared.push(await pusher.pushLayer(size))
      const images: Image[] = []
      while (images.length < IMAGES) images.push(await pusher.pushImage(OWN, shared))
      return images
    },
    async prime(bench, _role, server, images) {
      if (!cold) await pullUntilWarm(bench, server, pathsOf(images))
    },
    load: (_bench, _role, images) => ({
      paths: pathsOf(images),
      connections: NODES,
      requests: pathsOf(images).length,
      isWalk: true,
      headers: [MANIFEST_TYPES],
    }),
  }
}

/** What a node asks for, in its order: tag, manifest, configuration, the layers it has not yet. */
function pathsOf(images: readonly Image[]): readonly string[] {
  const paths = images.flatMap((image) => [
    manifestPath(image, image.tag),
    manifestPath(image, image.manifest),
    ...[image.config, ...image.layers].map((digest) => blobPath(image.repository, digest)),
  ])
  return [...new Set(paths)]
}
