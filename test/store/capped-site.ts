import { createHash } from 'node:crypto'
import { join } from 'node:path'

import { keepStore } from '../../src/app/upkeep.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type Child, MAX_MANIFEST_BYTES } from '../../src/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import type { FailAt } from '../../src/store/failpoints.ts'
import type { Place } from '../../src/store/ports.ts'
import type { Disk, StorageLimits } from '../../src/store/quota.ts'
import type { EvictionReason } from '../../src/store/removal.ts'
import { Unlinking } from '../../src/store/unlinking.ts'
import { makeTempDir } from '../support/temp-dir.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR
const PLENTY: Disk = { size: 2 ** 40, free: 2 ** 39 }

export interface CappedSiteOptions {
  /** Bytes. */
  readonly cap: number
  readonly failAt?: FailAt
  /** Settles when it is known what is here; default: at once. */
  readonly ready?: Promise<unknown>
  /** An earlier run's data directory. */
  readonly path?: string
}

export interface EvictionEvent {
  readonly reason: EvictionReason
  readonly contents: number
  readonly bytes: number
}

/** A real store with a cap, a clock and a disk that are set by hand, and a set of pins. */
export type CappedSite = Awaited<ReturnType<typeof openCappedSite>>

export async function openCappedSite(options: CappedSiteOptions) {
  const dir = await makeTempDir()
  const path = options.path ?? dir.path
  const time = { now: 1_000 * DAY, elapsed: 0 }
  const disk: { value: Disk } = { value: PLENTY }
  const settings: { value: StorageLimits } = {
    value: { maxSize: { bytes: options.cap }, minFree: { bytes: 0 }, unusedForMs: undefined },
  }
  const failAt = options.failAt === undefined ? {} : { failAt: options.failAt }
  const now = () => time.now
  const elapsed = () => time.elapsed
  const files = await FileBlobs.open({ path, now, ...failAt })
  const { database } = openDatabase(join(path, 'larder.db'))
  const catalog = new SqliteCatalog(database, options.failAt)
  const pins = new Set<Digest>()
  const protection = { isProtected: (digest: Digest) => pins.has(digest) }
  const evictions: EvictionEvent[] = []
  const removed: Digest[] = []
  const purged: string[] = []
  const failures: string[] = []
  const events = {
    evicted: (reason: EvictionReason, contents: number, bytes: number) =>
      void evictions.push({ reason, contents, bytes }),
    removed: (digests: readonly Digest[]) => void removed.push(...digests),
    purged: (_: Place, references: readonly string[]) => void purged.push(...references),
    storeFailed: (operation: string) => void failures.push(operation),
  }
  const kept = await keepStore({
    path,
    files,
    catalog,
    settings: () => settings.value,
    protection,
    unlinking: new Unlinking(),
    events,
    flushUses: async () => {},
    ready: options.ready ?? Promise.resolve(),
    now,
    elapsed,
    onError: (error) => void failures.push(String(error)),
    measure: async () => disk.value,
    ...failAt,
  })
  const close = async () => {
    await kept.stop()
    await catalog.close()
  }
  return {
    path,
    time,
    disk,
    settings,
    files,
    catalog,
    database,
    pins,
    evictions,
    removed,
    purged,
    failures,
    ...kept,
    close,
    async [Symbol.asyncDispose]() {
      await close()
      await dir.remove()
    },
  }
}

export const HUB: Place = { upstream: 'docker.io', repository: parseRepository('library/app') }
export const OTHER: Place = { upstream: 'ghcr.io', repository: parseRepository('acme/app') }

/** Bytes that are always the same for a name. */
export function layerOf(name: string, size: number): Buffer {
  const seed = createHash('sha256').update(name).digest()
  return Buffer.alloc(size, seed)
}

/** Keeps it as a pull does: a part that is appended to, a final name, a row. */
export async function pullBlob(
  { blobs, catalog, time }: CappedSite,
  bytes: Buffer,
  place: Place = HUB,
): Promise<Digest> {
  const digest = digestOf(bytes)
  const ingest = await blobs.ingest(digest)
  try {
    ingest.expect(bytes.length)
    const half = Math.floor(bytes.length / 2)
    await ingest.append([bytes.subarray(0, half)])
    await ingest.append([bytes.subarray(half)])
    await ingest.commit()
    await ingest.close()
  } catch (error) {
    await ingest.discard()
    throw error
  }
  await catalog.putBlob(digest, bytes.length, time.now, place)
  return digest
}

export interface TestManifest {
  readonly children: readonly Child[]
  readonly place?: Place
  readonly tag?: string
  readonly subject?: Digest
  /** Makes it another manifest. */
  readonly note?: string
}

/** Keeps a manifest as a pull does. */
export async function pullManifest(site: CappedSite, manifest: TestManifest): Promise<Digest> {
  const { place = HUB, children, tag, subject, note = tag ?? '' } = manifest
  const isIndex = children.some(({ kind }) => kind === 'manifest')
  const mediaType = isIndex ? OCI_INDEX : OCI_MANIFEST
  const bytes = Buffer.from(JSON.stringify({ mediaType, children, subject, note }))
  const digest = digestOf(bytes)
  await site.blobs.put(digest, bytes)
  const record = { digest, mediaType, size: bytes.length, subject, artifactType: undefined }
  const tagged = tag === undefined ? undefined : { tag: tag as Tag, checkedAt: site.time.now }
  await site.catalog.putManifest(place, { ...record, annotations: {} }, children, tagged)
  await site.catalog.putBlob(digest, bytes.length, site.time.now)
  return digest
}

export interface PulledImage {
  readonly manifest: Digest
  readonly layers: readonly Digest[]
}

/** A manifest, then its layers, by name and size; an hour later than what came before. */
export async function pullImage(
  site: CappedSite,
  tag: string,
  layers: Readonly<Record<string, number>>,
  place: Place = HUB,
): Promise<PulledImage> {
  site.time.now += 2 * HOUR
  const contents = Object.entries(layers).map(([name, size]) => layerOf(name, size))
  const children = contents.map(
    (bytes): Child => ({ digest: digestOf(bytes), size: bytes.length, kind: 'blob' }),
  )
  const manifest = await pullManifest(site, { children, tag, place })
  for (const bytes of contents) {
    const isHere = (await site.blobs.stat(digestOf(bytes))) !== undefined
    if (!isHere) await pullBlob(site, bytes, place)
    else await site.catalog.touch(new Map([[digestOf(bytes), site.time.now]]))
  }
  return { manifest, layers: children.map(({ digest }) => digest) }
}

/** Whether file and row are both here; throws when only one is. */
export async function isHere(site: CappedSite, digest: Digest): Promise<boolean> {
  const hasFile = (await site.files.read(digest, MAX_MANIFEST_BYTES)) !== undefined
  const hasRow = (await site.catalog.getBlob(digest)) !== undefined
  if (hasFile !== hasRow) throw new Error(`${digest}: file ${hasFile}, row ${hasRow}`)
  return hasFile
}

/** The names of what is here, of those given. */
export async function present(
  site: CappedSite,
  named: Readonly<Record<string, Digest | undefined>>,
): Promise<readonly string[]> {
  const names: string[] = []
  for (const [name, digest] of Object.entries(named)) {
    if (digest !== undefined && (await isHere(site, digest))) names.push(name)
  }
  return names
}
