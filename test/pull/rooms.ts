import { join } from 'node:path'

import type { TagRule, UpstreamConfig } from '../../src/config/config.ts'
import { createLogger, type Logger } from '../../src/log.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseRepository } from '../../src/oci/reference.ts'
import { Blobs } from '../../src/pull/blobs.ts'
import { Epochs } from '../../src/pull/epochs.ts'
import { Lists } from '../../src/pull/lists.ts'
import { Manifests } from '../../src/pull/manifests.ts'
import { Negatives } from '../../src/pull/negatives.ts'
import type { Pull } from '../../src/pull/pull.ts'
import { Restoration } from '../../src/pull/restoration.ts'
import { Shelf } from '../../src/pull/shelf.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import type { Fault } from '../../src/store/check.ts'
import { ChunkCache } from '../../src/store/chunks.ts'
import { StoredContent } from '../../src/store/content.ts'
import { Damage } from '../../src/store/damage.ts'
import { openDatabase } from '../../src/store/database.ts'
import { Sendings } from '../../src/store/sending.ts'
import type { Identity } from '../../src/upstream/ports.ts'
import type { Upstream } from '../../src/upstream/routing.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { StubRegistry } from './stub-registry.ts'

const HOUR = 3_600_000
export const ALWAYS: TagRule = {
  match: '*',
  repository: '**',
  pullPolicy: 'Always',
  maxAgeMs: 0,
  refresh: 'blocking',
}
export const PRESENT: TagRule = { ...ALWAYS, pullPolicy: 'IfNotPresent', maxAgeMs: HOUR }
export const BEHIND: TagRule = { ...PRESENT, refresh: 'background' }
export const NEVER: TagRule = { ...ALWAYS, pullPolicy: 'Never', maxAgeMs: Number.POSITIVE_INFINITY }

/** The rooms of `pull` over a real store and a stub of a registry. */
export interface Rooms extends AsyncDisposable {
  readonly registry: StubRegistry
  readonly files: FileBlobs
  readonly catalog: SqliteCatalog
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly lists: Lists
  readonly epochs: Epochs
  readonly path: string
  /** The operations that the store refused. */
  readonly storeFailures: readonly string[]
  /** What was found to be wrong with stored bytes. */
  readonly faults: readonly Fault[]
  /** What was logged of manifests: level and fields. */
  readonly lines: readonly (readonly [string, object])[]
  /** The wall clock, epoch milliseconds. */
  now: number
  /** From now on this one holds for every tag. */
  follow(rule: TagRule): void
  pull(repository?: string, as?: Identity): Pull
}

export interface RoomsOptions {
  readonly rule?: TagRule
  readonly staleIfErrorMs?: number
}

export async function openRooms({
  rule = PRESENT,
  staleIfErrorMs = 24 * HOUR,
}: RoomsOptions = {}): Promise<Rooms> {
  const dir = await makeTempDir()
  const files = await FileBlobs.open({ path: dir.path })
  const catalog = new SqliteCatalog(openDatabase(join(dir.path, 'larder.db')).database)
  const registry = new StubRegistry()
  const upstreamOf = (one: TagRule): Upstream => ({
    config: { tags: [one], staleIfErrorMs } as unknown as UpstreamConfig,
    registry,
  })
  let upstream = upstreamOf(rule)
  const storeFailures: string[] = []
  const faults: Fault[] = []
  const lines: [string, object][] = []
  const listener = {
    debug: (fields: object) => void lines.push(['debug', fields]),
    warn: (fields: object) => void lines.push(['warn', fields]),
  }
  const onStoreFailed = (operation: string) => void storeFailures.push(operation)
  const now = () => rooms.now
  const negatives = new Negatives()
  const epochs = new Epochs()
  const restoration = new Restoration(Promise.resolve())
  const nothing = () => undefined
  const cache = new ChunkCache({ maxBytes: 0 })
  const damage = new Damage({
    blobs: files,
    catalog,
    chunks: cache,
    sendings: new Sendings(),
    events: { damaged: (_digest, fault) => void faults.push(fault), storeFailed: onStoreFailed },
  })
  const shelf = new Shelf({
    blobs: files,
    catalog,
    epochs,
    restoration,
    damage,
    onStoreFailed,
    now,
  })
  const shelves = {
    async open(digest: Digest) {
      const size = await files.stat(digest)
      return size === undefined
        ? undefined
        : new StoredContent({ digest, size, blobs: files, cache })
    },
    remember: nothing,
  }
  const events = {
    used: nothing,
    fetched: nothing,
    downloaded: nothing,
    resumed: nothing,
    mismatched: nothing,
    broken: nothing,
  }
  const logger = createLogger({ level: 'silent', format: 'json' })
  const rooms: Rooms = {
    registry,
    files,
    catalog,
    epochs,
    path: dir.path,
    storeFailures,
    faults,
    lines,
    follow(one) {
      upstream = upstreamOf(one)
    },
    now: 1_800_000_000_000,
    manifests: new Manifests({
      shelf,
      negatives,
      epochs,
      onFetched: nothing,
      onUsed: nothing,
      logger: listener as unknown as Logger,
      now,
    }),
    blobs: new Blobs({
      blobs: files,
      shelves,
      catalog,
      negatives,
      epochs,
      restoration,
      damage,
      elapsed: () => performance.now(),
      logger,
      events: { ...events, storeFailed: onStoreFailed },
      now,
    }),
    lists: new Lists({ catalog, negatives, epochs, onStoreFailed, onFetched: nothing, now }),
    pull: (repository = 'acme/app', as = { kind: 'larder' }) => ({
      upstream,
      place: { upstream: 'test', repository: parseRepository(repository) },
      as,
    }),
    async [Symbol.asyncDispose]() {
      await rooms.manifests.stop()
      await rooms.blobs.stop()
      await catalog.close()
      await dir.remove()
    },
  }
  return rooms
}

export function caller(name: string): Identity {
  return { kind: 'caller', username: name, password: 'secret', fingerprint: `hmac of ${name}` }
}
