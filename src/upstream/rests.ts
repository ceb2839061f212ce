import type { Logger } from '../log.ts'
import type { Clock } from './clock.ts'
import { UpstreamError } from './errors.ts'
import { Pauses } from './pauses.ts'
import type { RequestOptions } from './ports.ts'
import type { Quota } from './quota.ts'
import { isBackground } from './urgency.ts'

/** For how long a request waits in all until it may be made. */
const PATIENCE_MS = 5_000
/** However short the rests are that a registry asks for. */
const MAX_ASKED = 3

export interface RestsOptions {
  readonly upstream: string
  readonly clock: Clock
  readonly logger: Logger
  readonly quota: Quota
  /** Rejects when the signal says so. */
  readonly sleep: (delayMs: number, signal?: AbortSignal) => Promise<void>
  /** Milliseconds; default 5 s. */
  readonly patienceMs?: number | undefined
}

/**
 * The time for which a registry, or its token server, wants not to be asked, by credential. Asking
 * in that time would only prolong it, so requests wait when it is short, and fail when it is not.
 */
export class Rests {
  readonly #options: RestsOptions
  readonly #pauses: Pauses

  constructor(options: RestsOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
  }

  /**
   * Asks when that is allowed, and once more after a short rest when the registry asks for one.
   *
   * @param key of the credential
   * @throws {UpstreamError} `throttled`, at once, when the rest is long or nobody waits
   */
  async run<T>(key: string, options: RequestOptions, ask: () => Promise<T>): Promise<T> {
    const { patienceMs = PATIENCE_MS } = this.#options
    const isHurried = isBackground(options) || options.hasCopy === true
    let patience = isHurried ? 0 : patienceMs
    for (let asked = 0; ; ) {
      const restMs = this.#pauses.remaining(key)
      if (restMs > patience) throw this.#refusal(restMs)
      if (restMs > 0) {
        patience -= restMs
        await this.#sleep(restMs, options.signal)
        continue
      }
      try {
        asked++
        return await ask()
      } catch (error) {
        const isShort = this.#learn(key, error, options) <= patience
        if (!isShort || asked === MAX_ASKED) throw error
      }
    }
  }

  /** For how long the registry wants to be left alone; `Infinity`: it was not that, or does not say. */
  #learn(key: string, error: unknown, { as }: RequestOptions): number {
    if (!(error instanceof UpstreamError) || error.kind !== 'throttled') return Infinity
    const { retryAfterMs = 0 } = error
    if (retryAfterMs === 0) return Infinity
    const { upstream, logger, quota } = this.#options
    const restMs = this.#pauses.remaining(key)
    this.#pauses.pause(key, Math.max(restMs, retryAfterMs))
    // A caller's rest is no concern of the others'.
    if (as.kind !== 'caller') quota.rest(retryAfterMs)
    // All who ask at the same moment are told the same: one line is enough.
    if (restMs === 0) logger.warn({ upstream, retryAfterMs }, 'the registry limits requests')
    return retryAfterMs
  }

  async #sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#options.sleep(delayMs, signal)
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    }
  }

  #refusal(retryAfterMs: number): UpstreamError {
    const { upstream } = this.#options
    const message = 'the registry limits how often it is asked'
    return new UpstreamError('throttled', { upstream, reason: 'throttled', message, retryAfterMs })
  }
}
