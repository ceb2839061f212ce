import { UpstreamError } from '../upstream/errors.ts'

/** Attempts in a row that bring nothing, before a download is given up. */
const MAX_FRUITLESS_ATTEMPTS = 4
/** A registry that sends a byte a connection is not worth more. */
const MAX_RESUMES = 50
const PATIENCE_MS = 30_000

export interface PersistenceOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** How long it waits without a byte for a registry that says when it may be asked again. */
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
    if (this.#fruitless >= MAX_FRUITLESS_ATTEMPTS || this.#resumes > MAX_RESUMES) return undefined
    return this.#delay(error, now - this.#fruitlessSince)
  }

  #delay(error: unknown, waitedMs: number): number | undefined {
    const { random, patienceMs = PATIENCE_MS } = this.#options
    const backoffMs = 100 * 2 ** this.#fruitless * (0.5 + random())
    const askedMs = error instanceof UpstreamError ? (error.retryAfterMs ?? 0) : 0
    if (askedMs > 0 && waitedMs + askedMs > patienceMs) return undefined
    return Math.max(backoffMs, askedMs)
  }
}
