import type { RetentionRows, UseKey } from './catalog/retention.ts'
import type { Leases } from './leases.ts'
import { type Kept, Plan, type Protection } from './plan.ts'
import type { Quota } from './quota.ts'
import { type EvictionReason, keptOnly, type Removal, type Removed, sum } from './removal.ts'
import { Slices } from './slices.ts'
import type { Turns } from './turns.ts'
import { byUse, START } from './use-order.ts'

export interface EvictionOptions {
  readonly rows: RetentionRows
  readonly quota: Quota
  readonly removal: Removal
  readonly leases: Pick<Leases, 'has'>
  readonly protection: Protection
  /** Whatever removes takes its turn. */
  readonly turns: Turns
  /** Writes down the last uses that are known only in memory. */
  readonly flushUses: () => Promise<void>
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** What is wanted of a walk over what was not used for the longest time. */
interface Goal {
  /** How much is to be gained. */
  readonly bytes: number
  /** Only what was last used before, epoch milliseconds. */
  readonly usedBefore: number
}

interface Walked {
  readonly plan: Plan
  /** Where to go on; `undefined`: there is nothing more. */
  readonly next: UseKey | undefined
  readonly kept: Record<Kept, number>
}

/** What a long eviction plans before it is carried out, so that memory stays bounded. */
const MAX_PLANNED = 2048

/**
 * Removes what was not used for the longest time. Its unit is the image: what no manifest lists, with
 * all that nothing else lists. One at a time, in slices.
 */
export class Eviction {
  readonly #options: EvictionOptions
  /** What comes before was found to be listed by what stays, or pinned. */
  #from: UseKey = START
  /** What comes before would not leave first: it is pinned, or leaves with what lists it. */
  #horizon: UseKey = START

  constructor(options: EvictionOptions) {
    this.#options = options
  }

  /**
   * Gains at least `bytes`, and no more than the last image that it takes.
   *
   * @returns `undefined`, with nothing removed, when so much cannot be gained
   */
  gain(bytes: number): Promise<Removed | undefined> {
    return this.#options.turns.take(async () => {
      await this.#prepare()
      const goal = { bytes, usedBefore: Number.POSITIVE_INFINITY }
      const from = this.#from
      let { plan } = await this.#walk(from, goal, Number.POSITIVE_INFINITY)
      if (plan.bytes < bytes && from !== START) {
        this.#from = START
        plan = (await this.#walk(START, goal, Number.POSITIVE_INFINITY)).plan
      }
      if (plan.bytes >= bytes) return this.#carryOut(plan, 'lru')
      this.#from = START
      return undefined
    })
  }

  /** Gains `bytes`, or what can be gained. */
  reduce(bytes: number, reason: EvictionReason = 'lru'): Promise<Removed> {
    return this.#remove({ bytes, usedBefore: Number.POSITIVE_INFINITY }, reason)
  }

  /** Removes what was last used before `at`, epoch milliseconds. */
  expire(at: number, reason: EvictionReason = 'unused'): Promise<Removed> {
    return this.#remove({ bytes: Number.POSITIVE_INFINITY, usedBefore: at }, reason)
  }

  /** What `reduce` or `expire` would remove now. */
  preview(goal: Partial<Goal>): Promise<Pick<Walked, 'plan' | 'kept'>> {
    return this.#options.turns.take(async () => {
      await this.#prepare()
      const { bytes = Number.POSITIVE_INFINITY, usedBefore = Number.POSITIVE_INFINITY } = goal
      const walked = await this.#walk(START, { bytes, usedBefore }, Number.POSITIVE_INFINITY)
      // Nothing of it is carried out.
      this.#from = START
      return walked
    })
  }

  /**
   * How far back the cache reaches: when what would leave first was used, epoch milliseconds. What is
   * pinned says nothing of that, nor a layer whose image is pulled to this day.
   *
   * @returns `undefined`: nothing may leave
   */
  async reachesBackTo(): Promise<number | undefined> {
    const { rows, protection } = this.#options
    const walk = { rows, usedBefore: Number.POSITIVE_INFINITY, slices: new Slices() }
    for await (const row of byUse({ ...walk, from: this.#horizon })) {
      if (row.isListed === 0 && !protection.isProtected(row.digest)) return row.usedAt
      this.#horizon = { usedAt: row.usedAt, digest: row.digest }
    }
    return undefined
  }

  /** What was passed over is looked at again: pins end, and what listed it may be gone. */
  lookAgain(): void {
    this.#from = START
    this.#horizon = START
  }

  #remove(goal: Goal, reason: EvictionReason): Promise<Removed> {
    return this.#options.turns.take(async () => {
      await this.#prepare()
      let removed = keptOnly({ pinned: 0, inUse: 0 })
      this.#from = START
      let from: UseKey | undefined = START
      for (let left = goal.bytes; from !== undefined && left > 0; ) {
        const walked: Walked = await this.#walk(from, { ...goal, bytes: left }, MAX_PLANNED)
        const done = await this.#carryOut(walked.plan, reason)
        removed = sum(sum(removed, done), keptOnly(walked.kept))
        left -= done.bytes
        from = walked.next
      }
      return removed
    })
  }

  async #prepare(): Promise<void> {
    await this.#options.flushUses()
    await this.#options.removal.settleDebts()
  }

  #carryOut(plan: Plan, reason: EvictionReason): Promise<Removed> {
    return this.#options.removal.run(plan.leaving, reason, this.#options.protection)
  }

  async #walk(from: UseKey, goal: Goal, maxPlanned: number): Promise<Walked> {
    const { rows, leases, protection, removal, now } = this.#options
    const slices = new Slices()
    const gone = removal.owed
    const plan = new Plan({ rows, leases, protection, slices, now, keepsRecent: true, gone })
    const kept = { pinned: 0, inUse: 0 }
    // What is in use now is wanted again: the next walk must come by it.
    let isPassed = from === this.#from
    for await (const row of byUse({ rows, from, usedBefore: goal.usedBefore, slices })) {
      if (plan.bytes >= goal.bytes || plan.leaving.length >= maxPlanned) {
        return { plan, next: from, kept }
      }
      from = { usedAt: row.usedAt, digest: row.digest }
      if (row.isListed === 0 || plan.isReleased(row.digest)) {
        const verdict = await plan.take(row)
        if ('kept' in verdict) kept[verdict.kept]++
        if ('kept' in verdict && verdict.kept === 'inUse') isPassed = false
      }
      if (isPassed) this.#from = from
    }
    return { plan, next: undefined, kept }
  }
}
