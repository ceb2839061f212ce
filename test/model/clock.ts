import type { Clock } from '../../src/upstream/clock.ts'

/** The system's clocks, of which one can be set and both can be skipped. */
export class ModelClock implements Clock {
  #wallMs = 0
  #monotonicMs = 0
  /** By which it was skipped in all. */
  passedMs = 0

  now(): number {
    return Date.now() + this.#wallMs
  }

  elapsed(): number {
    return performance.now() + this.#monotonicMs
  }

  /** Time that nobody wants to wait: both clocks go on. */
  pass(milliseconds: number): void {
    this.passedMs += milliseconds
    this.#wallMs += milliseconds
    this.#monotonicMs += milliseconds
  }

  /** Somebody sets the wall clock; no time passes. */
  set(byMs: number): void {
    this.#wallMs += byMs
  }
}
