import { Admission } from '../store/admission.ts'
import type { FileBlobs } from '../store/blobs.ts'
import { CappedBlobs } from '../store/capped.ts'
import type { SqliteCatalog } from '../store/catalog.ts'
import { Eviction } from '../store/eviction.ts'
import type { FailAt } from '../store/failpoints.ts'
import { Garbage } from '../store/gc.ts'
import { Leases } from '../store/leases.ts'
import { Leftovers } from '../store/leftovers.ts'
import type { Protection } from '../store/plan.ts'
import type { BlobStore } from '../store/ports.ts'
import { Purge } from '../store/purge.ts'
import { type Disk, Quota, type StorageLimits } from '../store/quota.ts'
import { Removal, type StoreEvents } from '../store/removal.ts'
import { Turns } from '../store/turns.ts'
import type { Unlinking } from '../store/unlinking.ts'
import { Upkeep } from '../store/upkeep.ts'

export interface UpkeepParts {
  /** The data directory. */
  readonly path: string
  readonly files: FileBlobs
  readonly catalog: SqliteCatalog
  /** Asked each time, so that a reload counts. */
  readonly settings: () => StorageLimits
  readonly protection: Protection
  /** Told of everything that is deleted. */
  readonly unlinking: Unlinking
  readonly events: StoreEvents
  /** Told of each time that the store was put in order; in milliseconds. */
  readonly onRun?: (isWhole: boolean, ms: number) => void
  readonly flushUses: () => Promise<void>
  /** Settles when the catalog agrees with the files and the pins are known. */
  readonly ready: Promise<unknown>
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  readonly onError: (error: unknown) => void
  /** Throws while the disk refuses writes; default: it never does. */
  readonly assertWritable?: () => void
  readonly failAt?: FailAt
  readonly measure?: (path: string) => Promise<Disk>
}

/** The store that keeps to its cap, and all that removes from it. */
export interface KeptStore {
  /** What `pull` is to write to. */
  readonly blobs: BlobStore
  readonly leases: Leases
  readonly quota: Quota
  readonly removal: Removal
  readonly eviction: Eviction
  readonly admission: Admission
  readonly leftovers: Leftovers
  readonly garbage: Garbage
  readonly purge: Purge
  /** Not started yet. */
  readonly upkeep: Upkeep
  /** Resolves when nothing is being removed: before the catalog is closed. */
  stop(): Promise<void>
}

export async function keepStore(parts: UpkeepParts): Promise<KeptStore> {
  const { path, files, catalog, settings, protection, events, flushUses, ready, now } = parts
  const { elapsed, onError, assertWritable, unlinking } = parts
  const runs = { elapsed, ...(parts.onRun === undefined ? {} : { onRun: parts.onRun }) }
  const { retention, selection, remembered } = catalog
  const rows = retention
  const failAt = parts.failAt === undefined ? {} : { failAt: parts.failAt }
  const measure = parts.measure === undefined ? {} : { measure: parts.measure }
  const leases = new Leases({ unlinking, elapsed })
  const turns = new Turns()
  const quota = new Quota({ path, rows, settings, elapsed, ...measure })
  quota.seed(await files.listParts())
  const going = { quota, leases, unlinking }
  const removal = new Removal({ ...going, rows, blobs: files, events, ...failAt })
  const common = { removal, leases, protection, turns, flushUses, now }
  const eviction = new Eviction({ ...common, rows, quota })
  const admission = new Admission({ quota, eviction, ready, onError, elapsed })
  const blobs = new CappedBlobs({ blobs: files, quota, admission, removal, leases, assertWritable })
  const leftovers = new Leftovers({ ...going, blobs: files, retention, remembered, now })
  const garbage = new Garbage({ ...common, ...runs, retention, selection, leftovers, ready })
  const purge = new Purge({ ...common, retention, selection, eviction, events })
  const tasks = { eviction, admission, leftovers }
  const upkeep = new Upkeep({ ...tasks, ...runs, settings, ready, now, onError })
  const stop = async () => {
    await upkeep.stop()
    await admission.idle()
    await turns.take(async () => {})
  }
  return {
    blobs,
    leases,
    quota,
    removal,
    eviction,
    admission,
    leftovers,
    garbage,
    purge,
    upkeep,
    stop,
  }
}
