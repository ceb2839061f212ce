/** What a preload has come to, for people and for scripts. */
import { type Failed, type Preloaded, summaryOf } from './preload-run.ts'

const EXIT_PARTIAL = 3
const EXIT_UPSTREAM = 5
const EXIT_NO_ROOM = 7

/** What registries and credentials are to blame for. */
const OF_REGISTRIES: ReadonlySet<string> = new Set([
  'DENIED',
  'NOT_PUBLIC',
  'TOOMANYREQUESTS',
  'UNAUTHORIZED',
  'UNAVAILABLE',
  'UPSTREAM_FAILED',
])

/** The failed come last, where they are seen. */
export function tableOf({ images, done }: Preloaded, isDryRun: boolean): readonly string[] {
  const unchecked = [...images.values()].flatMap(({ image, warning }) =>
    warning === undefined ? [] : [`${image}: here, but its tag could not be looked up: ${warning}`],
  )
  const failed = done.failed.map(({ image, message }) => `${image}: ${message}`)
  const title = failed.length === 0 ? [] : ['', 'FAILED']
  return [...unchecked, summaryOf(done, isDryRun), ...title, ...failed]
}

/** 0 all is here, 3 some is not, 5 registries or credentials are why, 7 there is no room. */
export function exitCodeOf(failed: readonly Failed[], isPartial: boolean): number {
  if (failed.some(({ code }) => code === 'NO_ROOM')) return EXIT_NO_ROOM
  if (failed.length === 0) return isPartial ? EXIT_PARTIAL : 0
  return failed.every(({ code }) => OF_REGISTRIES.has(code)) ? EXIT_UPSTREAM : EXIT_PARTIAL
}
