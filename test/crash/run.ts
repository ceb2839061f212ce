import { join } from 'node:path'

import { FAILPOINTS } from '../../src/store/failpoints.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { Chain, type ChainResult } from './chain.ts'

/** Each waits for its process most of the time. */
const CHAINS = 2

export interface CrashOptions {
  readonly rounds: number
  readonly seed: number
  readonly say: (line: string) => void
}

export interface CrashResult {
  /** One line for each promise that was broken. */
  readonly violations: readonly string[]
  /** How many rounds ended there. */
  readonly hits: ReadonlyMap<string, number>
  /** Rounds that did not come to their failpoint. */
  readonly missed: number
  /** Milliseconds from the start of a process to its first 200 of `/readyz`. */
  readonly readyMs: { readonly median: number; readonly max: number }
}

/** Kills Larder again and again, on some data directories that nobody ever cleans. */
export async function crash({ rounds, seed, say }: CrashOptions): Promise<CrashResult> {
  await using dir = await makeTempDir('larder-crash-')
  const violations: string[] = []
  const startedAt = performance.now()
  const results = await Promise.all(
    Array.from({ length: CHAINS }, async (_, i) => {
      const own = seed * CHAINS + i
      const broken = (round: number, what: string) => {
        violations.push(`chain ${i}, round ${round}: ${what}`)
        say(`BROKEN (seed ${seed}, chain ${i}, round ${round}): ${what}`)
      }
      const path = join(dir.path, String(i))
      const share = Math.ceil(rounds / CHAINS)
      return new Chain({ rounds: share, seed: own, path, broken }).run()
    }),
  )
  const seconds = (performance.now() - startedAt) / 1000
  const result = summarize(results, violations)
  report(result, results, seconds, say)
  return result
}

function summarize(results: readonly ChainResult[], violations: readonly string[]): CrashResult {
  const hits = new Map<string, number>(FAILPOINTS.map((point) => [point, 0]))
  for (const one of results) {
    for (const [end, count] of one.hits) hits.set(end, (hits.get(end) ?? 0) + count)
  }
  const times = results.flatMap(({ readyMs }) => readyMs).sort((a, b) => a - b)
  const median = times[Math.floor(times.length / 2)] ?? 0
  const missed = results.reduce((sum, one) => sum + one.missed, 0)
  return { violations, hits, missed, readyMs: { median, max: times.at(-1) ?? 0 } }
}

function report(
  { hits, missed, readyMs }: CrashResult,
  results: readonly ChainResult[],
  seconds: number,
  say: (line: string) => void,
): void {
  for (const [end, count] of hits) say(`${String(count).padStart(6)}  ${end}`)
  say(`${String(missed).padStart(6)}  did not come to their failpoint`)
  const most = (key: keyof ChainResult['most']) => Math.max(...results.map((one) => one.most[key]))
  say(
    `ready after ${Math.round(readyMs.median)} ms (median), ${Math.round(readyMs.max)} ms at most; ` +
      `${seconds.toFixed(0)} s in all`,
  )
  say(
    `at most: ${most('parts')} parts, ${most('quarantined')} files put aside, ` +
      `${most('databaseBytes')} bytes of database and ${most('walBytes')} of WAL`,
  )
}
