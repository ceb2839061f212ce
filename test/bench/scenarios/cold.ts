import { blobPath, type Image, layerPath } from '../content.ts'
import { pullManifests } from './prime.ts'
import { type Comparison, LOOP, type LoadScenario } from './scenario.ts'

const SMALL_BYTES = 20_000
const SMALL_LAYERS = 200

/** What nobody has pulled before. */
export function createColdScenarios(): readonly LoadScenario[] {
  return [
    cold('cold-1', 1, [
      { figure: 'seconds', versus: 'distribution', atMost: 1 },
      { figure: 'cpuSeconds', versus: 'distribution', atMost: 1 },
      { figure: 'seconds', versus: 'nginx' },
    ]),
    cold('cold-50', 50, [
      { figure: 'seconds', versus: 'distribution', atMost: 0.5 },
      { figure: 'cpuSeconds', versus: 'distribution' },
      { figure: 'blobGets', atMost: 1 },
      { figure: 'firstByteP50Ms', versus: 'nginx', atMost: 0.2 },
    ]),
    coldSmall('cold-small-1', 1),
    coldSmall('cold-small-50', 50),
  ]
}

function cold(name: string, clients: number, comparisons: readonly Comparison[]): LoadScenario {
  return {
    name,
    title: clients === 1 ? 'cold blob, one client' : `cold blob, ${clients} clients at once`,
    measures: 'blobs',
    roles: ['larder', 'distribution', 'nginx'],
    cold: true,
    comparisons: [...comparisons, LOOP],
    push: async ({ pusher, blobBytes }) => [await pusher.pushImage([blobBytes])],
    prime: ({ client }, _role, server, images) => pullManifests(client, server, images),
    load: (_bench, _role, images) => ({
      paths: images.map(layerPath),
      connections: clients,
      requests: 1,
    }),
  }
}

/** An image of many small layers: what counts is what is done for each of them. */
function coldSmall(name: string, clients: number): LoadScenario {
  const who = clients === 1 ? 'one client' : `${clients} clients at once`
  return {
    name,
    title: `cold, ${SMALL_LAYERS} layers of 20 kB, ${who}`,
    measures: 'requests',
    roles: ['larder', 'distribution', 'nginx'],
    cold: true,
    comparisons: [
      { figure: 'seconds', versus: 'distribution' },
      { figure: 'usPerRequest', versus: 'distribution' },
      { figure: 'blobGets', atMost: SMALL_LAYERS },
      LOOP,
    ],
    push: async ({ pusher }) => {
      const sizes = Array.from({ length: SMALL_LAYERS - 1 }, () => SMALL_BYTES)
      return [await pusher.pushImage([SMALL_BYTES, ...sizes])]
    },
    prime: ({ client }, _role, server, images) => pullManifests(client, server, images),
    load: (_bench, _role, images) => ({
      paths: images.flatMap(layerPaths),
      connections: clients,
      requests: SMALL_LAYERS,
      isWalk: true,
    }),
  }
}

function layerPaths({ repository, layers }: Image): readonly string[] {
  return layers.map((digest) => blobPath(repository, digest))
}
