import { statfsSync } from 'node:fs'

import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Admission } from '../store/admission.ts'
import { Ballast } from '../store/ballast.ts'
import { NoRoomError, StoreRestingError } from '../store/errors.ts'
import { type Ailment, type Space, StoreHealth, type Trial } from '../store/health.ts'
import { type Disk, measureDisk, type Quota } from '../store/quota.ts'
import { tryWriting } from '../store/trial.ts'
import type { Trouble } from '../store/trouble.ts'
import { reasonOf } from './reason.ts'

export interface HealthParts {
  /** The data directory. */
  readonly path: string
  readonly logger: Logger
  readonly metrics: Metrics
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
}

/** What a trial needs of the store, which is opened later. */
export interface TrialParts {
  readonly admission: Pick<Admission, 'makeRoom' | 'mayFit'>
  readonly quota: Pick<Quota, 'minFreeBytes' | 'spareBytes'>
  /** Any small write. */
  readonly writeToDatabase: () => void
}

/** How the store is, and who is told of it. */
export interface Health {
  readonly state: StoreHealth
  /** A store's operation was refused: pulls go on without it. */
  readonly storeFailed: (operation: string, error: unknown) => void
  /** Begins to look for the end of what is wrong. */
  begin(parts: TrialParts): void
  close(): Promise<void>
}

const LOOK_MS = 1_000
/** A server that was just started has better things to write. */
const FIRST_BALLAST_MS = 60_000
const BALLAST_MS = 10 * 60_000
/** For a few downloads besides the ballast. */
const HEADROOM_BYTES = 1024 * 1024
/** How long a content is missed that no room could be made for. */
const MISSED_MS = 10 * 60_000
/** Operations that store one; the others write down what is known of it. */
const CONTENTS: ReadonlySet<string> = new Set(['ingest', 'blob', 'manifest'])

const BEGAN: Readonly<Record<Trouble, string>> = {
  full: 'no room to store: pulls pass through uncached; free space on the disk, unpin or raise maxSize',
  inodes: 'the disk has no inodes left: pulls pass through uncached; delete files on it',
  read_only:
    'the disk is read-only: pulls pass through uncached; see the kernel log, then remount it',
  denied:
    'no permission: what it concerns passes through uncached; check the owner of storage.path and of all in it',
  io: 'the disk fails: pulls pass through uncached; see the kernel log, it may have to be replaced',
  descriptors:
    'no file descriptors left: some pulls pass through or fail; raise the limit (ulimit -n)',
  other: 'the store refused a write: pulls that it concerns pass through uncached',
}

export async function openHealth(parts: HealthParts): Promise<Health> {
  const { path, logger, metrics, elapsed } = parts
  const ballast = await Ballast.open({ path, measure })
  // The database makes files of its own when it is opened.
  const isFull = (await measure(path)).free < HEADROOM_BYTES
  if (isFull || spaceOf(path)?.freeInodes === 0) ballast.release()
  let trialParts: TrialParts | undefined
  const state = new StoreHealth({
    async attempt(trial) {
      if (trialParts === undefined) throw new Error('the store is not open')
      await attempt(trial, path, ballast, trialParts)
    },
    measure: () => spaceOf(path),
    events: {
      began(trouble, { operation, error }, space) {
        const reason = reasonOf(error)
        logger.warn({ trouble, operation, reason, ...space }, BEGAN[trouble])
      },
      ended({ trouble, forMs, refused }) {
        const seconds = Math.round(forMs / 1000)
        const fields = { trouble, seconds, refused, ...spaceOf(path) }
        const isAll = state.ailments.length === 0
        const what = isAll ? 'the store works again: pulls are cached' : 'one trouble less'
        logger.info(fields, what)
      },
      failedOnce(trouble, { operation, error }) {
        const fields = { trouble, operation, reason: reasonOf(error) }
        logger.warn(fields, 'the disk failed once: this pull is not cached')
      },
      databaseFull: () => ballast.release(),
    },
    elapsed,
  })
  const storeFailed = createComplaint(state, logger, metrics)
  const timers: NodeJS.Timeout[] = []
  const lay = async ({ admission, quota }: TrialParts) => {
    if (state.ailments.length > 0) return
    const bytes = await ballast.neededBytes()
    // What `minFree` keeps free is no room for it: the cache would have none left.
    if ((await admission.mayFit(bytes)) || quota.spareBytes >= bytes) await ballast.lay()
  }
  return {
    state,
    storeFailed,
    begin(given) {
      trialParts = given
      const layNow = () => {
        lay(given).catch((error: unknown) => storeFailed('ballast', error))
      }
      timers.push(
        setInterval(() => void state.look(), LOOK_MS),
        setTimeout(layNow, FIRST_BALLAST_MS),
        setInterval(layNow, BALLAST_MS),
      )
      for (const timer of timers) timer.unref()
    },
    async close() {
      for (const timer of timers) clearInterval(timer)
      trialParts = undefined
      await state.look()
    },
  }
}

/** A sentence for an operator; `undefined`: nothing is wrong. */
export function warningOf(ailments: readonly Ailment[]): string | undefined {
  if (ailments.length === 0) return undefined
  const each = ailments.map(({ trouble, forMs }) => `${trouble} for ${Math.round(forMs / 1000)} s`)
  const isResting = ailments.some((one) => one.isResting)
  return `degraded: ${each.join(', ')}; ${isResting ? 'nothing is' : 'not all is'} cached`
}

async function attempt(
  { trouble, sides, wantedBytes, quietMs }: Trial,
  path: string,
  ballast: Ballast,
  { admission, quota, writeToDatabase }: TrialParts,
): Promise<void> {
  const isRefusedByDisk = sides.has('files') || sides.has('database')
  if (trouble === 'inodes' && !(await admission.makeRoom(0))) throw new Error('no inodes')
  if (isRefusedByDisk) {
    const needsBallast = trouble === 'full' && (await makeRoom({ admission, quota }, ballast))
    await tryWriting(path)
    if (sides.has('database')) writeToDatabase()
    // What has no room for the ballast has none for anything else.
    if (needsBallast && !(await ballast.lay())) throw new Error('too little space')
  }
  // A content that will never fit is not waited for: whoever pulls others has his cache.
  if (isRefusedByDisk || quietMs > MISSED_MS) return
  if (sides.has('reading')) throw new Error('a content could not be read')
  if (!(await admission.mayFit(wantedBytes))) throw new Error('no room')
}

/**
 * Also for the ballast, if so much may go; else what `minFree` asks for: others may keep what they took.
 *
 * @returns whether the ballast is to be laid
 */
async function makeRoom(
  { admission, quota }: Pick<TrialParts, 'admission' | 'quota'>,
  ballast: Ballast,
): Promise<boolean> {
  const ballastBytes = await ballast.neededBytes()
  if (await admission.makeRoom(ballastBytes + HEADROOM_BYTES)) return true
  for (const bytes of [HEADROOM_BYTES, 0]) if (await admission.makeRoom(bytes)) break
  // What is kept free does as well.
  return quota.minFreeBytes < ballastBytes
}

function createComplaint(
  state: StoreHealth,
  logger: Logger,
  metrics: Metrics,
): Health['storeFailed'] {
  return (operation, error) => {
    logger.debug({ operation, reason: reasonOf(error) }, 'not stored')
    if (error instanceof StoreRestingError) {
      if (CONTENTS.has(operation)) metrics.store.notStored('resting')
      return
    }
    if (error instanceof NoRoomError) {
      metrics.store.notStored(error.why)
      // Of the others the store itself has nothing the matter.
      if (error.why !== 'no_room' && error.why !== 'no_inodes') return
    } else metrics.store.error(operation)
    state.failed(operation, error)
  }
}

/** Of a file system that does not say how large it is there is nothing to be held. */
function measure(path: string): Promise<Disk> {
  return measureDisk(path).catch(() => ({ size: 0, free: 0 }))
}

function spaceOf(path: string): Space | undefined {
  try {
    const { bsize, bavail, files, ffree } = statfsSync(path)
    return { freeBytes: bsize * bavail, freeInodes: files > 0 ? ffree : undefined }
  } catch {
    return undefined
  }
}
