import { LRUCache } from 'lru-cache'

import type { Clock } from './clock.ts'
import { Pauses } from './pauses.ts'

const MAX_CREDENTIALS = 1_000
/** For so many different things a password is refused before it is taken for wrong. */
const MAX_STRIKES = 3

/**
 * Which credentials are left alone for a while, and for what. One that is refused for a repository
 * may be good for the next; but a wrong password that is tried for each of a thousand repositories
 * locks the account.
 */
export class Refusals {
  readonly #pauses: Pauses
  /** What was refused since it was last accepted, by credential. */
  readonly #strikes = new LRUCache<string, Set<string>>({ max: MAX_CREDENTIALS })

  constructor(clock: Clock) {
    this.#pauses = new Pauses(clock)
  }

  /** @param access what for, as a text */
  rests(fingerprint: string, access: string): boolean {
    const keys = [fingerprint, `${fingerprint} ${access}`]
    return keys.some((key) => this.#pauses.remaining(key) > 0)
  }

  refused(fingerprint: string, access: string): void {
    this.#pauses.pause(`${fingerprint} ${access}`)
  }

  /** It was refused as such, by who had only to tell whether the password is right. */
  wrong(fingerprint: string, access: string): void {
    const strikes = this.#strikes.get(fingerprint) ?? new Set()
    this.#strikes.set(fingerprint, strikes)
    if (strikes.size < MAX_STRIKES) strikes.add(access)
    if (strikes.size >= MAX_STRIKES) this.#pauses.pause(fingerprint)
  }

  accepted(fingerprint: string): void {
    this.#strikes.delete(fingerprint)
  }
}
