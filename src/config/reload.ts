import type { Config } from './config.ts'
import { findFixedChanges } from './fixed.ts'
import type { LoadedConfig } from './load.ts'
import { ConfigError, compareProblems, type Problem } from './problems.ts'

/** What became of a reload. */
export type ReloadResult = Reloaded | ReloadRefused

export interface Reloaded {
  readonly ok: true
  /** Accepted, but noteworthy. */
  readonly warnings: readonly Problem[]
}

/** The configuration from before stays in use. */
export interface ReloadRefused {
  readonly ok: false
  /** For people: a line for each problem, `file:line:column: path: message`. */
  readonly message: string
  /** For programs. None: nothing is wrong with what is written; it could not be put in use. */
  readonly problems: readonly Problem[]
  /** What was thrown, for the log. */
  readonly error: Error
}

export interface ReloaderOptions {
  /**
   * Reads the configuration. It has to name the file that the server was started with: a file that
   * was found and is gone would else be read as the built-in defaults, without any front door.
   */
  readonly load: () => Promise<LoadedConfig>
  /** Puts it in use as a whole; when it rejects, nothing of it may be in use. */
  readonly apply: (loaded: LoadedConfig) => Promise<void>
  /** The configuration in use. */
  readonly current: () => Config
  /** Told of each run, however many asked for it, before they are; must not throw. */
  readonly onResult: (result: ReloadResult) => void
}

/** Takes over a changed configuration while the server runs: all of it or nothing, one at a time. */
export class Reloader {
  readonly #options: ReloaderOptions
  #running: Promise<ReloadResult> | undefined
  /** The one run after the one under way. */
  #next: Promise<ReloadResult> | undefined

  constructor(options: ReloaderOptions) {
    this.#options = options
  }

  /**
   * Reads the configuration after this call, and takes it over if it can. Whoever calls during a
   * run shares the one after it: the run under way may have read the file already.
   *
   * @returns what became of it; it never rejects
   */
  reload(): Promise<ReloadResult> {
    if (this.#next !== undefined) return this.#next
    if (this.#running === undefined) return this.#start()
    this.#next = this.#running.then(() => {
      this.#next = undefined
      return this.#start()
    })
    return this.#next
  }

  #start(): Promise<ReloadResult> {
    this.#running = this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #run(): Promise<ReloadResult> {
    const result = await this.#takeOver().catch(refusedBy)
    this.#options.onResult(result)
    return result
  }

  async #takeOver(): Promise<Reloaded> {
    const { load, apply, current } = this.#options
    const loaded = await load()
    const problems = findFixedChanges(current(), loaded)
    if (problems.length > 0) throw new ConfigError([...problems].sort(compareProblems))
    await apply(loaded)
    return { ok: true, warnings: loaded.warnings }
  }
}

function refusedBy(cause: unknown): ReloadRefused {
  const error = cause instanceof Error ? cause : new Error(String(cause), { cause })
  const problems = error instanceof ConfigError ? error.problems : []
  return { ok: false, message: error.message, problems, error }
}
