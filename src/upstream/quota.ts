import type { Clock } from './clock.ts'
import type { RateLimit } from './headers.ts'

/** With less than this left, background work leaves the rest to nodes. */
const LOW_SHARE = 1 / 10
/** Docker Hub's, for a registry that does not say. */
const DEFAULT_WINDOW_SECONDS = 21_600

/** What an upstream has last said of how often Larder may ask; callers have quotas of their own. */
export class Quota {
  readonly #clock: Clock
  #last: { readonly rateLimit: RateLimit; readonly until: number } | undefined
  #restsUntil = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `undefined` once the window has passed of which it was said. */
  get rateLimit(): RateLimit | undefined {
    const last = this.#last
    return last !== undefined && this.#clock.elapsed() < last.until ? last.rateLimit : undefined
  }

  /** Milliseconds for which it wants to be left alone; 0: none. */
  get restsMs(): number {
    return Math.max(0, this.#restsUntil - this.#clock.elapsed())
  }

  get isLow(): boolean {
    const { limit = 0, remaining } = this.rateLimit ?? {}
    return remaining !== undefined && remaining <= limit * LOW_SHARE
  }

  told(rateLimit: RateLimit): void {
    const { windowSeconds = DEFAULT_WINDOW_SECONDS } = rateLimit
    this.#last = { rateLimit, until: this.#clock.elapsed() + windowSeconds * 1000 }
  }

  rest(delayMs: number): void {
    this.#restsUntil = Math.max(this.#restsUntil, this.#clock.elapsed() + delayMs)
  }
}
