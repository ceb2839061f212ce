import { Random } from '../soak/random.ts'
import type { Change, Disk } from './disk.ts'
import type { Fate } from './disk-state.ts'
import type { History } from './history.ts'

/** When the power fails, and what of the changes under way is on the disk by then. */
export interface Crash {
  readonly at: number
  readonly way: Way
  /** Of all that is random in it. */
  readonly seed: number
}

const RANDOM_WAYS = ['without', 'only', 'some', 'torn', 'prefix'] as const
type Way = 'nothing' | 'everything' | (typeof RANDOM_WAYS)[number]

const WHOLE: Fate = { kind: 'whole' }
const LOST: Fate = { kind: 'lost' }
const ZEROS: Fate = { kind: 'zeros' }
const SECTORS = [512, 4096] as const
/** Most that matters has happened lately: what nobody ever syncs would be picked all the time. */
const LATELY = 12

/**
 * Crashes in the order of time: with nothing and with everything that is not synced, wherever
 * something was promised or is about to become durable; then as many random ones as are wanted.
 */
export function planCrashes(history: History, count: number, seed: number): readonly Crash[] {
  const random = new Random(seed)
  const next = () => random.below(2 ** 32)
  const corners = [...history.marks.map(({ at }) => at), ...history.syncs.map((at) => at - 1)]
  const moments = [...new Set([...corners, ...history.disk.changes.map(({ at }) => at)])]
  const certain = [...new Set(corners)].flatMap((at) =>
    (['nothing', 'everything'] as const).map((way) => ({ at, way, seed: next() })),
  )
  const few = certain.filter(() => random.next() < count / (2 * certain.length))
  const rest = Array.from({ length: Math.max(0, count - few.length) }, () => ({
    at: random.pick(moments),
    way: random.pick(RANDOM_WAYS),
    seed: next(),
  }))
  return [...few, ...rest].sort((one, other) => one.at - other.at)
}

/** @returns what becomes of each change that is not durable when the power fails */
export function fatesOf(disk: Disk, { at, way, seed }: Crash): (change: Change) => Fate {
  const pending = disk.changes.filter((change) => change.at <= at && change.durableAt > at)
  const random = new Random(seed)
  const fates = new Map<number, Fate>()
  const chosen = pending.at(-1 - random.below(Math.min(LATELY, pending.length)))
  for (const change of pending) {
    fates.set(change.id, fateOf(change, way, chosen, random))
  }
  return (change) => fates.get(change.id) ?? WHOLE
}

function fateOf(change: Change, way: Way, chosen: Change | undefined, random: Random): Fate {
  switch (way) {
    case 'nothing':
      return LOST
    case 'everything':
      return WHOLE
    case 'without':
      return change === chosen ? lose(change, random) : WHOLE
    case 'only':
      return change === chosen ? WHOLE : LOST
    case 'some':
      return random.below(2) === 0 ? WHOLE : LOST
    case 'torn':
      return random.below(3) === 0 ? WHOLE : lose(change, random)
    case 'prefix':
      if (chosen === undefined || change.id < chosen.id) return WHOLE
      return change === chosen ? lose(change, random) : LOST
    default:
      return way satisfies never
  }
}

/** A write may also be lost in part, or leave nothing but its length. */
function lose({ kind }: Change, random: Random): Fate {
  const loss = kind === 'write' ? random.below(4) : 0
  if (loss === 0) return LOST
  if (loss === 1) return ZEROS
  const share = random.next()
  const seed = random.below(2 ** 32)
  const isKept = (index: number) => new Random(seed ^ Math.imul(index, 0x9e3779b1)).next() < share
  return { kind: 'torn', sector: random.pick(SECTORS), isKept }
}
