import { LRUCache } from 'lru-cache'

import type { Clock } from './clock.ts'

/** How long what failed is kept out of the way unless it said for how long itself. */
const SET_BACK_MS = 30_000
const MAX_ENTRIES = 10_000

/** A bounded memory of what is best left alone for a while, by any key. */
export class Pauses {
  readonly #clock: Clock
  readonly #until = new LRUCache<string, number>({ max: MAX_ENTRIES })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  pause(key: string, delayMs: number = SET_BACK_MS): void {
    this.#until.set(key, this.#clock.elapsed() + delayMs)
  }

  /** Milliseconds left; 0: none. */
  remaining(key: string): number {
    const until = this.#until.get(key)
    if (until === undefined) return 0
    const left = until - this.#clock.elapsed()
    if (left > 0) return left
    this.#until.delete(key)
    return 0
  }

  end(key: string): void {
    this.#until.delete(key)
  }
}
