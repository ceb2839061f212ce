import type { Pasted } from '../../airgap/pasted.ts'
import type { RunEvent } from '../../airgap/run.ts'
import type { RunDetail, RunReport, RunRequest } from '../../airgap/run-report.ts'

/** Preloads that go on by themselves, and those that somebody listens to. */
export interface PreloadRuns {
  list(): RunsReport
  /** The names of the jobs of the configuration in effect. */
  configured(): readonly string[]
  /** `undefined`: there is none. */
  find(id: string): RunDetail | undefined
  /** @throws {AdminError} when too many wait */
  begin(request: RunRequest, warnings: readonly string[]): RunDetail
  /** @throws {AdminError} when it has ended */
  cancel(id: string): RunReport | undefined
  /** Begins one with what has failed. @throws {AdminError} when there is nothing of that */
  retry(id: string): RunDetail | undefined
  /** @returns ends that; `undefined`: there is none under way */
  follow(id: string, listener: (event: RunEvent) => void): (() => void) | undefined
  /** What a text names that somebody has pasted. */
  readText(text: string): Pasted
}

export interface RunsReport {
  /** Those under way, then the newest first. */
  readonly jobs: readonly RunReport[]
  readonly configured: readonly ConfiguredJob[]
}

/** A preload job of the configuration. */
export interface ConfiguredJob {
  readonly name: string
  readonly sources: readonly string[]
  /** A cron expression, in UTC; `undefined`: only when asked. */
  readonly schedule: string | undefined
  /** Epoch milliseconds of the wall clock. */
  readonly nextRunAt: number | undefined
  readonly platforms: readonly string[]
  readonly pin: boolean
  /** The id of a run of it that is under way. */
  readonly running: string | undefined
  /** The last that has ended, dry runs aside. */
  readonly last: RunReport | undefined
}
