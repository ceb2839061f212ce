import type { Clock } from '../../src/upstream/clock.ts'

/** The system's clock, of which a test may skip some time that nobody wants to wait. */
export class SkippingClock implements Clock {
  #skippedMs = 0

  now(): number {
    return Date.now() + this.#skippedMs
  }

  elapsed(): number {
    return performance.now() + this.#skippedMs
  }

  skip(milliseconds: number): void {
    this.#skippedMs += milliseconds
  }
}
