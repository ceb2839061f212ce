import { UpstreamError } from '../upstream/errors.ts'

/** Attempts in a row that bring nothing, before a download is given up: if there was time for it. */
const MAX_FRUITLESS_ATTEMPTS = 4
/** A registry that sends a byte a connection is not worth more. */
const MAX_RESUMES = 50
/** A registry that is being restarted is back within this. */
const PATIENCE_MS = 30_000
const MAX_BACKOFF_MS = 5_000

export interface PersistenceOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** How long it goes on without a byte; attempts that take longer than that are made all the same. */
  readonly patienceMs?: number | undefined
}

/** When a download that was broken off is continued, and when it is given up. */
export class Persistence {
  readonly #options: PersistenceOptions
  #resumes = 0
  #fruitless = 0
  #fruitlessSince: number | undefined

  constructor(options: PersistenceOptions) {
    this.#options = options
  }

  /**
   * After an attempt that ended with `error`, and was of use or not.
   *
   * @returns milliseconds to wait before the next; `undefined`: there is to be none
   */
  delayAfter(error: unknown, wasOfUse: boolean): number | undefined {
    const now = this.#options.elapsed()
    // Of a registry that is not asked because others have failed there, nothing is known.
    const wasAsked = !(error instanceof UpstreamError && error.reason === 'circuit_open')
    if (wasOfUse) this.#fruitless = 0
    else if (wasAsked) this.#fruitless++
    this.#fruitlessSince = wasOfUse ? now : (this.#fruitlessSince ?? now)
    if (wasAsked) this.#resumes++
    const { patienceMs = PATIENCE_MS } = this.#options
    const waitedMs = now - this.#fruitlessSince
    // A refused connection costs no time: four of them may be over before a restart is.
    const isFutile = this.#fruitless >= MAX_FRUITLESS_ATTEMPTS && waitedMs >= patienceMs
    if (isFutile || this.#resumes > MAX_RESUMES) return undefined
    return this.#delay(error, waitedMs, patienceMs)
  }

  #delay(error: unknown, waitedMs: number, patienceMs: number): number | undefined {
    const backoffMs =
      Math.min(100 * 2 ** this.#fruitless, MAX_BACKOFF_MS) * (0.5 + this.#options.random())
    const askedMs = error instanceof UpstreamError ? (error.retryAfterMs ?? 0) : 0
    if (askedMs > 0 && waitedMs + askedMs > patienceMs) return undefined
    return Math.max(backoffMs, askedMs)
  }
}
