import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { FileBlobs } from '../store/blobs.ts'
import type { SqliteCatalog } from '../store/catalog.ts'
import { Checker } from '../store/check.ts'
import { CheckRecorder } from '../store/check-recorder.ts'
import type { ChunkCache } from '../store/chunks.ts'
import { Damage } from '../store/damage.ts'
import type { FailAt } from '../store/failpoints.ts'
import type { Leases } from '../store/leases.ts'
import type { Pins } from '../store/pins.ts'
import { type Refetch, Repair } from '../store/repair.ts'
import { Scrub } from '../store/scrub.ts'
import { Sendings } from '../store/sending.ts'
import { BlobShelves } from '../store/shelves.ts'
import { Verification } from '../store/verify.ts'
import type { Clock } from '../upstream/clock.ts'

const CHECK_FLUSH_MS = 5_000

export interface IntegrityParts {
  readonly config: () => Config
  readonly files: FileBlobs
  readonly catalog: SqliteCatalog
  readonly chunks: ChunkCache
  readonly leases: Leases
  readonly pins: Pick<Pins, 'lost'>
  /** Settles when the catalog agrees with the files. */
  readonly ready: Promise<unknown>
  readonly clock: Clock
  readonly metrics: Metrics
  readonly logger: Logger
  readonly storeFailed: (operation: string, error: unknown) => void
  readonly failAt?: FailAt | undefined
}

/** What sees to it that stored bytes stay what they were. */
export interface Integrity {
  readonly shelves: BlobShelves
  readonly damage: Damage
  readonly verification: Verification
  /** Reads and hashes it: what is wrong is put aside, and is missing from then on. */
  isRight(digest: Digest, signal: AbortSignal): Promise<boolean>
  /** What is lost is fetched by it from now on. What fetches is built of what is kept here. */
  fetchWith(refetch: Refetch): void
  /** Begins to check in the background, as far as pulls leave room for it. */
  begin(activity: { readonly isBusy: () => boolean }): void
  close(): Promise<void>
}

export function createIntegrity(parts: IntegrityParts): Integrity {
  const { config, files, catalog, chunks, leases, ready, clock, metrics, logger } = parts
  const { storeFailed } = parts
  const now = () => clock.now()
  const onError = (error: unknown) => storeFailed('scrub', error)
  const sendings = new Sendings()
  const recorder = new CheckRecorder({
    catalog,
    flushIntervalMs: CHECK_FLUSH_MS,
    onVerified: () => metrics.store.integrity('ok'),
    onError,
    now,
  })
  const damage = new Damage({
    blobs: files,
    catalog,
    chunks,
    sendings,
    events: {
      damaged(digest, fault) {
        metrics.store.integrity(fault)
        const what = fault === 'missing' ? 'missing on disk' : 'damaged on disk: put aside'
        logger.warn({ digest, fault }, `${what}, fetched again when wanted`)
      },
      storeFailed,
    },
    ...(parts.failAt === undefined ? {} : { failAt: parts.failAt }),
  })
  const checker = new Checker({ blobs: files, catalog, leases, recorder, damage })
  const shelves = new BlobShelves({
    blobs: files,
    chunks,
    leases,
    sendings,
    recorder,
    damage,
    onFailed: (error) => storeFailed('read', error),
  })
  let fetcher: Refetch = async () => false
  const refetch: Refetch = (source, digest, signal) => fetcher(source, digest, signal)
  const repair = new Repair({ blobs: files, catalog, refetch, onError })
  const common = { catalog, checker, recorder, ready }
  const verification = new Verification({ ...common, blobs: files, pins: parts.pins, repair })
  let scrub: Scrub | undefined
  return {
    shelves,
    damage,
    verification,
    async isRight(digest, signal) {
      for (;;) {
        const row = await catalog.getBlob(digest)
        if (row === undefined) return false
        const result = await checker.check({ digest, ...row }, { signal })
        if (result !== 'gone') return result === 'ok'
      }
    },
    fetchWith(refetch) {
      fetcher = refetch
    },
    begin(activity) {
      scrub = new Scrub({
        ...common,
        repair,
        settings: () => config().storage.scrub,
        isBusy: activity.isBusy,
        onError,
        now,
        elapsed: () => clock.elapsed(),
      })
      scrub.start()
    },
    async close() {
      await scrub?.stop()
      await recorder.close()
    },
  }
}
