import type { Clock } from '../../src/upstream/clock.ts'

/** A clock that stands still until the test moves it. */
export class TestClock implements Clock {
  #now = Date.now()
  #elapsed = 1_000_000

  now(): number {
    return this.#now
  }

  elapsed(): number {
    return this.#elapsed
  }

  /** Both times, in milliseconds. */
  advance(milliseconds: number): void {
    this.#now += milliseconds
    this.#elapsed += milliseconds
  }
}
