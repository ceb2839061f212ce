import { PULL_RESULTS, type PullResult } from '../oci/pull-result.ts'
import { add, type MinuteTally, NOTHING, type Tally } from './history.ts'
import { HITS, NOT_COUNTED } from './pulls.ts'

const MINUTE_MS = 60_000

/** A value for each step; `null`: Larder did not run, or there is none. */
export type Column = readonly (number | null)[]

/** As charts want it: all of the same length, oldest first. */
export interface HistoryColumns {
  readonly stepSeconds: number
  /** Epoch milliseconds, at the end of each step. */
  readonly times: readonly number[]
  readonly results: Readonly<Record<PullResult, Column>>
  readonly hitRatio: Column
  readonly byteHitRatio: Column
  readonly servedBytes: Column
  readonly fetchedBytes: Column
  /** Of the disk, at the end of the step. */
  readonly usedBytes: Column
}

/** A share of all; `undefined`: of nothing there is none. */
export type Ratio = number | undefined

/** Pulls that moved nothing from a registry, of all that are not refused or passed through. */
export function hitRatio({ results }: Pick<Tally, 'results'>): Ratio {
  const count = (among: readonly PullResult[]) =>
    among.reduce((sum, result) => sum + results[result], 0)
  return ratio(count(HITS), count(PULL_RESULTS) - count(NOT_COUNTED))
}

/**
 * Bytes that clients got and no registry had to send for them; not below 0. What was preloaded is no
 * loss: it saves them once it is pulled.
 */
export function savedBytes({ servedBytes, fetchedBytes, preloadedBytes }: Tally): number {
  return Math.max(0, servedBytes - (fetchedBytes - preloadedBytes))
}

/** Of what was served, what was saved. */
export function byteHitRatio(tally: Tally): Ratio {
  return ratio(savedBytes(tally), tally.servedBytes)
}

/**
 * Steps of a fixed length, as the clock has them, the last with the minute `last` in it.
 *
 * @param minutes those that there are
 */
export function toColumns(
  minutes: readonly MinuteTally[],
  { last, count, step }: { readonly last: number; readonly count: number; readonly step: number },
): HistoryColumns {
  const first = (Math.floor(last / step) + 1 - count) * step
  const steps = new Map<number, Tally & { readonly usedBytes: number }>()
  for (const one of minutes) {
    const index = Math.floor((one.minute - first) / step)
    if (index < 0) continue
    const { usedBytes } = one
    steps.set(index, { ...add(steps.get(index) ?? NOTHING, one), usedBytes })
  }
  const indexes = Array.from({ length: count }, (_, index) => index)
  const column = (read: (one: Tally & { readonly usedBytes: number }) => Ratio): Column =>
    indexes.map((index) => {
      const found = steps.get(index)
      return (found === undefined ? undefined : read(found)) ?? null
    })
  const results = PULL_RESULTS.map((name) => [name, column((one) => one.results[name])] as const)
  return {
    stepSeconds: step * 60,
    times: indexes.map((index) => (first + (index + 1) * step) * MINUTE_MS),
    results: Object.fromEntries(results) as Record<PullResult, Column>,
    hitRatio: column(hitRatio),
    byteHitRatio: column(byteHitRatio),
    servedBytes: column((one) => one.servedBytes),
    fetchedBytes: column((one) => one.fetchedBytes),
    usedBytes: column((one) => one.usedBytes),
  }
}

function ratio(part: number, whole: number): Ratio {
  return whole > 0 ? part / whole : undefined
}
