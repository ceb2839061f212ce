/**
 * Shows the job without a network: a private registry on loopback that wants a token for everything,
 * Larder in front of it, and nodes that pull through it. `npm run demo -- --size 1MiB` is shorter.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { parseSize, SIZE_EXPECTED } from '../../src/config/sizes.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { buildImage, buildIndex, type Content, type Image } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import {
  type Costs,
  type Expected,
  findBreaches,
  formatBytes,
  formatTable,
  measure,
} from './costs.ts'
import { Node } from './node.ts'

const REGISTRY = 'registry.example.com'
const PASSWORD = 'only-for-the-demo'
const NODES = 20
const SMALLEST_LAYER = '10MiB'
const EXIT_FAILURE = 1
const EXIT_USAGE = 2
const EXIT_INTERRUPTED = 130

interface Release {
  readonly repository: string
  readonly index: Content
  /** The one that the nodes take. */
  readonly image: Image
}

interface Scene {
  readonly registry: FaultRegistry
  readonly larder: RunningLarder
  readonly signal: AbortSignal
}

process.exitCode = await main()

async function main(): Promise<number> {
  const layerBytes = readSize()
  if (layerBytes === undefined) {
    process.stderr.write(`--size is the smallest of three layers: ${SIZE_EXPECTED}\n`)
    return EXIT_USAGE
  }
  const interruption = new AbortController()
  // Before the default would: it leaves folders behind.
  process.once('SIGINT', () => interruption.abort())
  try {
    const breaches = await show(layerBytes, interruption.signal)
    for (const breach of breaches) process.stderr.write(`not as promised: ${breach}\n`)
    return breaches.length === 0 ? 0 : EXIT_FAILURE
  } catch (error) {
    if (interruption.signal.aborted) return EXIT_INTERRUPTED
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : error}\n`)
    return EXIT_FAILURE
  }
}

function readSize(): number | undefined {
  try {
    const options = { size: { type: 'string', default: SMALLEST_LAYER } } as const
    return parseSize(parseArgs({ options }).values.size) || undefined
  } catch {
    // An option that there is not.
    return undefined
  }
}

/** @returns what was not as promised */
async function show(layerBytes: number, signal: AbortSignal): Promise<string[]> {
  say('Larder, a pull-through cache for container images: cold, warm, and a rollout.\n')
  const [first, second] = [release('team/shop', layerBytes), release('team/search', layerBytes)]
  say(`two images of 3 layers, ${formatBytes(sizeOf(first.image))} each, for two platforms`)
  await using registry = await startRegistry([first, second])
  say(`a private registry at ${registry.origin}, which wants a token for everything`)
  await using dir = await makeTempDir('larder-demo-')
  await using larder = await startInFront(registry, join(dir.path, 'password'))
  say(`Larder in front of it at ${larder.url}, with the registry's password`)

  const scene = { registry, larder, signal }
  const one = weightOf(first)
  const nothing = { blobs: 0, registryBytes: 0, nodeBytes: one.nodeBytes }
  const all = { ...weightOf(second), nodeBytes: NODES * weightOf(second).nodeBytes }
  const cold = await pull('one node, cold', scene, first, 1)
  const warm = await pull('one node, warm', scene, first, 1)
  const rollout = await pull(`${NODES} nodes at once, cold`, scene, second, NODES)
  const rows = [cold, warm, rollout]
  say(`\n${formatTable(rows)}\n`)
  const breaches = [cold, warm, rollout].flatMap((row, index) =>
    findBreaches(row, [one, nothing, all][index] ?? nothing),
  )
  if (breaches.length === 0) say(conclude(rows))
  return breaches
}

function release(repository: string, layerBytes: number): Release {
  const layers = [layerBytes, 2 * layerBytes, 3 * layerBytes]
  const image = buildImage({ layers, seed: repository })
  const platform = { architecture: 'arm64', os: 'linux' }
  const other = buildImage({ seed: `${repository} for another platform`, platform })
  return { repository, index: buildIndex([image, other]), image }
}

async function startRegistry(releases: readonly Release[]): Promise<FaultRegistry> {
  const registry = new FaultRegistry({ auth: { kind: 'token', users: { larder: PASSWORD } } })
  for (const { repository, index } of releases) registry.add(repository, index, '1.0')
  return registry.start()
}

async function startInFront(registry: FaultRegistry, passwordFile: string): Promise<RunningLarder> {
  await writeFile(passwordFile, PASSWORD, { mode: 0o600 })
  const credentials = [{ username: 'larder', passwordFile }]
  return startLarder({
    log: { level: 'info' },
    upstreams: [{ name: REGISTRY, url: registry.origin, access: 'shared', credentials }],
  })
}

/** `nodes` of them pull the release, all at once. */
async function pull(
  step: string,
  { registry, larder, signal }: Scene,
  { repository }: Release,
  nodes: number,
): Promise<Costs> {
  say(`${step}: pulling ${REGISTRY}/${repository}:1.0 …`)
  return measure(step, registry, async () => {
    const fleet = Array.from({ length: nodes }, () => new Node(larder.url, signal))
    await Promise.all(
      fleet.map((node) => node.pull({ registry: REGISTRY, repository, tag: '1.0' })),
    )
    return fleet.reduce((sum, node) => sum + node.receivedBytes, 0)
  })
}

/** What a pull of the release by one node moves, if every piece of it moves once. */
function weightOf({ index, image }: Release): Expected {
  const manifests = index.manifest.bytes.length + image.manifest.bytes.length
  const bytes = manifests + sizeOf(image)
  return { blobs: image.blobs.size, registryBytes: bytes, nodeBytes: bytes }
}

function sizeOf({ blobs }: Image): number {
  return [...blobs.values()].reduce((sum, { length }) => sum + length, 0)
}

function conclude(rows: readonly Costs[]): string {
  const sent = rows.reduce((sum, { registryBytes }) => sum + registryBytes, 0)
  const got = rows.reduce((sum, { nodeBytes }) => sum + nodeBytes, 0)
  return [
    `The nodes got ${formatBytes(got)}, the registry sent ${formatBytes(sent)}: each layer once, however many`,
    'nodes asked, and nothing for what was there. Every byte was checked against its digest.',
    'A real one: npm start, and docker.io, ghcr.io, quay.io and others are served on port 5000.',
  ].join('\n')
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
