/** A store that an operator keeps house in: the server as a process, and its commands. */
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { type Digest, encodedOf } from '../../src/oci/digest.ts'
import { metric } from '../e2e/metrics.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { buildImage, type Image, seededBytes } from '../support/images.ts'
import { type LarderOptions, type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Ended, larder as runHere, spawnLarder } from './admin.ts'

export const MIB = 1024 * 1024
export const CAP = 10 * MIB
/** Of a layer where nothing is to be evicted. */
export const SMALL = 64 * 1024
export const NAME = 'reg.test/team/app'
export const SHARED = seededBytes('shared', MIB)

export interface Site extends AsyncDisposable {
  readonly registry: FaultRegistry
  readonly larder: RunningLarder
  readonly options: LarderOptions
}

/** Larder as a process before one registry, on data that outlives it. */
export async function startSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack()
  const registry = await new FaultRegistry().start()
  stack.defer(() => registry.close())
  const dir = stack.use(await makeTempDir('larder-housekeeping-'))
  const options = {
    upstreams: [{ name: 'reg.test', url: registry.origin, default: true, access: 'public' }],
    storage: { maxSize: '10MiB', minFree: '0%' },
    dataDir: join(dir.path, 'data'),
  }
  const larder = stack.use(await startLarder(options))
  const parts = stack.move()
  const end = () => parts.disposeAsync()
  return { registry, larder, options, [Symbol.asyncDispose]: end }
}

/** A layer of its own, and 1 MiB that all images share; `tag` is its seed too. */
export function addImage({ registry }: Site, tag: string, ownBytes = 2 * MIB): Image {
  const image = buildImage({ seed: tag, layers: [SHARED, ownBytes] })
  registry.add('team/app', image, tag)
  return image
}

/** As a process of its own. */
export function spawn({ larder }: Site, ...args: readonly string[]): Promise<Ended> {
  return spawnLarder([...args, '--server', larder.adminUrl])
}

/** As {@link spawn}, without the time that a process takes: for what a test does besides. */
export function run({ larder }: Pick<Site, 'larder'>, ...args: readonly string[]): Promise<Ended> {
  return runHere([...args, '--server', larder.adminUrl])
}

/** Everything of it as a node asks for it, each byte looked at. */
export async function pull(
  { larder }: Pick<Site, 'larder'>,
  image: Image,
  tag: string,
): Promise<void> {
  const manifest = await send(larder.url, `/v2/team/app/manifests/${tag}`)
  assert.equal(manifest.status, 200, manifest.body.toString())
  assert.deepEqual(manifest.body, image.manifest.bytes)
  for (const [digest, bytes] of image.blobs) await pullBlob(larder, digest, bytes)
}

export async function pullBlob(
  larder: RunningLarder,
  digest: Digest,
  bytes: Buffer,
): Promise<void> {
  const { status, body } = await send(larder.url, `/v2/team/app/blobs/${digest}`)
  assert.equal(status, 200)
  assert.ok(body.equals(bytes), `other bytes for ${digest}`)
}

/** As {@link pull}; settles when it is stored, which the last byte does not wait for. */
export async function store(site: Site, image: Image, tag: string): Promise<void> {
  await pull(site, image, tag)
  await untilNothingLands(site)
}

export async function untilNothingLands({ larder }: Site): Promise<void> {
  for (const endsAt = performance.now() + 20_000; ; ) {
    const { usedBytes, parts } = await storage(larder)
    // What is promised or landing is used already, and has no row yet.
    const bytes = await metric(larder, 'larder_store_bytes')
    if (parts.count === 0 && usedBytes === bytes) return
    assert.ok(performance.now() < endsAt, `still landing: ${usedBytes} of ${bytes}`)
  }
}

/** @returns how many of its blobs, and its manifest, the registry was asked for meanwhile */
export async function misses(site: Site, image: Image, tag: string): Promise<number> {
  const { registry } = site
  const before = registry.countBlobs() + registry.countManifests('GET')
  await pull(site, image, tag)
  await untilNothingLands(site)
  return registry.countBlobs() + registry.countManifests('GET') - before
}

interface Storage {
  readonly usedBytes: number
  readonly quotaBytes: number
  readonly availableBytes: number
  readonly pinnedBytes: number
  readonly blobs: number
  readonly manifests: number
  readonly tags: number
  readonly parts: { readonly count: number; readonly bytes: number }
  readonly next: readonly {
    readonly name: string
    readonly bytes: number
    readonly lastUsedAt: number
  }[]
}

export async function storage(larder: RunningLarder): Promise<Storage> {
  const { status, body } = await send(larder.adminUrl, '/api/v1/storage')
  assert.equal(status, 200, body.toString())
  return JSON.parse(body.toString()) as Storage
}

export function fileOf({ larder }: Site, digest: Digest): string {
  const hex = encodedOf(digest)
  return join(larder.dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
}

export async function bytesOnDisk({ larder }: Site): Promise<number> {
  let sum = 0
  for (const folder of ['blobs', 'ingest']) {
    const root = join(larder.dataDir, folder)
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
    }
  }
  return sum
}

export function sizeOf({ manifest, blobs }: Image): number {
  return blobs.values().reduce((sum, bytes) => sum + bytes.length, manifest.bytes.length)
}

export function ownLayer(image: Image): Digest {
  const layer = image.layers.at(-1)
  assert.ok(layer)
  return layer.digest
}
