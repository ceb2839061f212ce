import type { CandidateRow, RetentionRows, UseKey } from './catalog/retention.ts'
import type { Slices } from './slices.ts'

/** Before everything. */
export const START: UseKey = {
  usedAt: Number.MIN_SAFE_INTEGER,
  digest: '' as UseKey['digest'],
}

/** Rows looked at in one question. */
const PAGE = 64

export interface UseOrderOptions {
  readonly rows: Pick<RetentionRows, 'pageByUse'>
  readonly from: UseKey
  /** Epoch milliseconds; not itself. */
  readonly usedBefore: number
  readonly slices: Slices
}

/** What is here, what was not used for the longest time first. */
export async function* byUse(options: UseOrderOptions): AsyncGenerator<CandidateRow> {
  const { rows, usedBefore, slices } = options
  for (let after = options.from; ; ) {
    const page = rows.pageByUse(after, PAGE)
    for (const row of page) {
      if (row.usedAt >= usedBefore) return
      yield row
    }
    const last = page.at(-1)
    if (last === undefined) return
    after = last
    await slices.rest()
  }
}
