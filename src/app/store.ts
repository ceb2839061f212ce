import { stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { StoreReadings } from '../metrics/store.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { ClockKeeper, type ClockMark, SteadyClock } from '../steady-clock.ts'
import { FileBlobs } from '../store/blobs.ts'
import type { SqliteCatalog } from '../store/catalog.ts'
import { ChunkCache } from '../store/chunks.ts'
import type { FailAt } from '../store/failpoints.ts'
import { Pins } from '../store/pins.ts'
import type { Place } from '../store/ports.ts'
import { PullCounts } from '../store/pull-counts.ts'
import { timed } from '../store/query-times.ts'
import { openCatalog } from '../store/rebuild.ts'
import { recalling } from '../store/recall.ts'
import type { BlobShelves } from '../store/shelves.ts'
import { Unlinking } from '../store/unlinking.ts'
import { UsageRecorder } from '../store/usage.ts'
import type { Clock } from '../upstream/clock.ts'
import { type Health, openHealth } from './health.ts'
import { createIntegrity, type Integrity } from './integrity.ts'
import { shareOfChunks } from './memory.ts'
import { type KeptStore, keepStore } from './upkeep.ts'

const USAGE_FLUSH_MS = 5_000
/** How often it is looked whether a pin has ended, and what pins have gained. */
const PIN_LOOK_MS = 60_000
const PIN_RENEWAL_MS = 3_600_000

export interface StoreParts {
  /** As it is now: a reload changes what is not fixed. */
  readonly config: () => Config
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  /** Told what is no longer here. */
  readonly onRemoved: (digests: readonly Digest[]) => void
  /** Told what a place no longer has, though its bytes may stay. */
  readonly onPurged: (place: Place, references: readonly (Tag | Digest)[]) => void
  readonly failAt?: FailAt | undefined
}

/** What is here, and all that looks after it. */
export interface Store {
  /** Larder's own time line, which everything stored is dated by. */
  readonly clock: Clock
  readonly files: FileBlobs
  readonly catalog: SqliteCatalog
  readonly kept: KeptStore
  readonly pins: Pins
  readonly shelves: BlobShelves
  readonly integrity: Integrity
  readonly usage: UsageRecorder
  readonly pullCounts: PullCounts
  readonly storeFailed: (operation: string, error: unknown) => void
  readonly health: Health['state']
  /** Settles when it is known what is here. Never rejects. */
  readonly ready: Promise<unknown>
  /** For a scrape. */
  read(): Promise<StoreReadings>
  close(): Promise<void>
}

export async function openStore(parts: StoreParts): Promise<Store> {
  const { config, logger, metrics } = parts
  const { path } = config().storage
  const failAt = parts.failAt === undefined ? {} : { failAt: parts.failAt }
  const files = await FileBlobs.open({ path, ...failAt })
  const health = await openHealth({ path, logger, metrics, elapsed: () => parts.clock.elapsed() })
  const { storeFailed } = health
  const assertWritable = () => health.state.assertWritable()
  const onError = (error: unknown) => storeFailed('upkeep', error)
  let clock = new SteadyClock({ system: parts.clock, last: undefined })
  const now = () => clock.now()
  const elapsed = () => clock.elapsed()
  const beginTime = (last: ClockMark | undefined) => {
    clock = new SteadyClock({ system: parts.clock, last })
    return now
  }
  const { catalog: untimed, rebuilt } = openCatalog({
    path,
    blobs: files,
    logger,
    beginTime,
    assertWritable,
    ...failAt,
  })
  const catalog = recalling(timed(untimed, (kind, seconds) => metrics.store.queried(kind, seconds)))
  const keeper = new ClockKeeper({ clock, store: catalog, onError })
  const unlinking = new Unlinking()
  const pins = await Pins.open({ path, catalog, blobs: files, unlinking, logger, now, ...failAt })
  const chunks = new ChunkCache({ maxBytes: shareOfChunks(config()).main })
  const usage = new UsageRecorder({
    catalog,
    flushIntervalMs: USAGE_FLUSH_MS,
    onError: (error) => storeFailed('usage', error),
    now,
  })
  const pullCounts = new PullCounts({
    write: (counts) => catalog.countPulls(counts),
    flushIntervalMs: USAGE_FLUSH_MS,
    onError: (error) => storeFailed('usage', error),
    now,
  })
  const ready = Promise.all([rebuilt, pins.settled])
  const kept = await keepStore({
    path,
    files,
    catalog,
    settings: () => config().storage,
    protection: pins,
    unlinking,
    events: {
      evicted: (reason, contents, bytes) => metrics.store.evicted(reason, contents, bytes),
      removed(digests) {
        for (const digest of digests) chunks.drop(digest)
        parts.onRemoved(digests)
      },
      purged: parts.onPurged,
      storeFailed,
    },
    onRun: (isWhole, ms) => metrics.store.collected(isWhole, ms / 1000),
    flushUses: () => usage.flush(),
    ready,
    now,
    elapsed,
    onError,
    assertWritable,
    ...failAt,
  })
  const common = { files, catalog, chunks, pins, leases: kept.leases, ready, clock, ...failAt }
  const integrity = createIntegrity({ ...common, config, metrics, logger, storeFailed })
  const writeToDatabase = () => catalog.putClock(clock.mark())
  health.begin({ admission: kept.admission, quota: kept.quota, writeToDatabase })
  const endPinTimers = lookAfterPins(pins, kept, onError)
  return {
    clock,
    files,
    catalog,
    kept,
    pins,
    shelves: integrity.shelves,
    integrity,
    usage,
    pullCounts,
    storeFailed,
    health: health.state,
    ready,
    read: () => readStore(path, catalog, kept),
    async close() {
      endPinTimers()
      await health.close()
      await integrity.close()
      await kept.stop()
      await pins.close()
      await usage.close()
      await pullCounts.close()
      keeper.close()
      await catalog.close()
      await rebuilt
    },
  }
}

/** @returns ends it */
function lookAfterPins(pins: Pins, kept: KeptStore, onError: (error: unknown) => void): () => void {
  const expire = async () => {
    if ((await pins.expire()) > 0) kept.eviction.lookAgain()
  }
  const timers = [
    setInterval(() => void expire().catch(onError), PIN_LOOK_MS),
    setInterval(() => void pins.renew().catch(onError), PIN_RENEWAL_MS),
  ]
  for (const timer of timers) timer.unref()
  return () => {
    for (const timer of timers) clearInterval(timer)
  }
}

async function readStore(
  path: string,
  catalog: SqliteCatalog,
  { quota, eviction }: KeptStore,
): Promise<StoreReadings> {
  const totals = await catalog.totals()
  const { bsize, blocks, bavail } = await statfs(path)
  await quota.refresh()
  const database = join(path, 'larder.db')
  return {
    bytes: totals.blobBytes,
    blobs: totals.blobs,
    manifests: totals.manifests,
    tags: totals.tags,
    quotaBytes: quota.maxBytes,
    filesystemBytes: bsize * blocks,
    availableBytes: bsize * bavail,
    partialBytes: quota.partialBytes,
    databaseBytes: await sizeOf(database),
    databaseLogBytes: await sizeOf(`${database}-wal`),
    oldestAccessAt: await eviction.reachesBackTo(),
  }
}

/** What is not there takes no room. */
async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  )
}
