import type { Clock } from '../../src/upstream/clock.ts'

/** A clock that only its test moves. */
export class StandingClock implements Clock {
  #time = Date.now()

  now(): number {
    return this.#time
  }

  elapsed(): number {
    return this.#time
  }

  skip(milliseconds: number): void {
    this.#time += milliseconds
  }
}
