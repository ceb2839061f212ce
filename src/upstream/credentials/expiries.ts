import type { Clock } from '../clock.ts'
import type { Credential } from './credential.ts'

/** After so long without being found, a credential is taken for removed. */
const FORGET_MS = 10 * 60_000

/** Which of the credentials in use expires first: what an operator wants to be told in time. */
export class Expiries {
  readonly #clock: Clock
  readonly #report: (at: number | undefined) => void
  /** By source, so that a rotated credential takes the place of the one before. */
  readonly #known = new Map<string, { readonly at: number; readonly seen: number }>()
  #reported: number | undefined

  /** @param report told of every change; epoch milliseconds, `undefined` when none is known */
  constructor(clock: Clock, report: (at: number | undefined) => void) {
    this.#clock = clock
    this.#report = report
  }

  saw(credentials: readonly Credential[]): void {
    const seen = this.#clock.elapsed()
    for (const { source = '', expiresAt } of credentials) {
      if (expiresAt === undefined) this.#known.delete(source)
      else this.#known.set(source, { at: expiresAt, seen })
    }
    for (const [source, known] of this.#known) {
      if (seen - known.seen > FORGET_MS) this.#known.delete(source)
    }
    const times = [...this.#known.values()].map(({ at }) => at)
    const soonest = times.length === 0 ? undefined : Math.min(...times)
    if (soonest === this.#reported) return
    this.#reported = soonest
    this.#report(soonest)
  }
}
