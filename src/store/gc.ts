import type { Digest } from '../oci/digest.ts'
import type { CandidateRow, RetentionRows } from './catalog/retention.ts'
import type { SelectionRows } from './catalog/selection.ts'
import type { Leases } from './leases.ts'
import type { Leftovers } from './leftovers.ts'
import { type Kept, Plan, type Protection } from './plan.ts'
import { keptOnly, type Removal, sum } from './removal.ts'
import { Preview, type RemovalReport } from './removal-report.ts'
import { Slices } from './slices.ts'
import type { Turns } from './turns.ts'
import { byUse, START } from './use-order.ts'

export interface GarbageOptions {
  readonly retention: RetentionRows
  readonly selection: SelectionRows
  readonly removal: Removal
  readonly leftovers: Leftovers
  readonly leases: Pick<Leases, 'has'>
  readonly protection: Protection
  readonly turns: Turns
  readonly flushUses: () => Promise<void>
  /** Until it settles rows are missing that files have. */
  readonly ready: Promise<unknown>
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** Told when it has removed what there was, or has failed; in milliseconds. */
  readonly onRun?: (isWhole: boolean, ms: number) => void
}

export interface CollectOptions {
  readonly dryRun?: boolean
  /** How long it was not used, in milliseconds; default a day. */
  readonly unusedForMs?: number
}

export interface GarbageReport extends RemovalReport {
  /** Unfinished downloads, damaged content put aside, and content without a row; all in bytes too. */
  readonly files: { readonly count: number; readonly bytes: number }
}

const DAY_MS = 24 * 3_600_000
const PAGE = 512

/**
 * What nobody can come by any more: manifests that a tag once meant and none does now, blobs that
 * no manifest lists, and what downloads and damage have left behind.
 */
export class Garbage {
  readonly #options: GarbageOptions

  constructor(options: GarbageOptions) {
    this.#options = options
  }

  async collect(options: CollectOptions = {}): Promise<GarbageReport> {
    await this.#options.ready
    return this.#options.turns.take(() => this.#run(options))
  }

  async #run(options: CollectOptions): Promise<GarbageReport> {
    const { elapsed, onRun } = this.#options
    const startedAt = elapsed()
    let isWhole = false
    try {
      const report = await this.#collect(options)
      isWhole = true
      return report
    } finally {
      if (options.dryRun !== true) onRun?.(isWhole, elapsed() - startedAt)
    }
  }

  async #collect({ dryRun = false, unusedForMs = DAY_MS }: CollectOptions): Promise<GarbageReport> {
    const { removal, protection, leftovers, retention, selection } = this.#options
    const { plan, kept } = await this.#plan(unusedForMs)
    const preview = new Preview(kept)
    if (dryRun) await preview.addPlan(plan.leaving, { retention, selection }, new Slices())
    const removed = dryRun
      ? keptOnly(kept)
      : sum(keptOnly(kept), await removal.run(plan.leaving, 'manual', protection))
    const files = await this.#files(dryRun ? preview : undefined)
    if (!dryRun) {
      await leftovers.shortenHistories()
      await leftovers.forgetLists()
    }
    const report = dryRun ? preview.report() : { removed, items: [] }
    return { ...report, files }
  }

  async #plan(unusedForMs: number): Promise<{ plan: Plan; kept: Record<Kept, number> }> {
    const { retention: rows, leases, protection, removal, now, flushUses } = this.#options
    await flushUses()
    await removal.settleDebts()
    const slices = new Slices()
    const moved = await this.#movedFrom(slices)
    const gone = removal.owed
    const plan = new Plan({ rows, leases, protection, slices, now, keepsRecent: true, gone })
    const kept = { pinned: 0, inUse: 0 }
    const usedBefore = now() - unusedForMs
    for await (const row of byUse({ rows, from: START, usedBefore, slices })) {
      if (!this.#isGarbage(row, plan, moved)) continue
      const verdict = await plan.take(row)
      if ('kept' in verdict) kept[verdict.kept]++
    }
    return { plan, kept }
  }

  #isGarbage(row: CandidateRow, plan: Plan, moved: ReadonlySet<Digest>): boolean {
    if (row.isListed === 1 && !plan.isReleased(row.digest)) return false
    const { retention, selection } = this.#options
    if (!retention.isManifest(row.digest)) return true
    return moved.has(row.digest) && selection.tagsOf(row.digest).length === 0
  }

  async #movedFrom(slices: Slices): Promise<ReadonlySet<Digest>> {
    const digests = new Set<Digest>()
    for (let after = 0; ; ) {
      const page = this.#options.selection.pageMoves(after, PAGE)
      for (const { digest } of page) digests.add(digest)
      const last = page.at(-1)
      if (last === undefined) return digests
      after = last.id
      await slices.rest()
    }
  }

  async #files(preview: Preview | undefined): Promise<GarbageReport['files']> {
    const { leftovers } = this.#options
    let count = 0
    let bytes = 0
    const settle = async (name: string, size: number, remove: () => Promise<void>) => {
      count++
      bytes += size
      if (preview === undefined) await remove()
      else preview.add({ name, digest: undefined, size }, {})
    }
    for (const part of await leftovers.staleParts()) {
      await settle(`part of ${part.digest}`, part.size, () => leftovers.removePart(part))
    }
    for (const one of await leftovers.surplusQuarantine()) {
      const name = `quarantine/${one.name}`
      await settle(name, one.size, () => leftovers.removeQuarantined(one))
    }
    for await (const file of leftovers.strays()) {
      await settle(file.digest, file.size, () => leftovers.removeStray(file))
    }
    return { count, bytes }
  }
}
