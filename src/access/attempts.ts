import { isIPv6 } from 'node:net'

import { LRUCache } from 'lru-cache'

import { RegistryError } from '../oci/errors.ts'

const MINUTE_MS = 60_000
/** Of addresses that have failed. Whoever has more of them than this is forgotten the sooner. */
const MAX_ADDRESSES = 10_000

export interface AttemptsOptions {
  /** Failures that an address may have in a row, and how many it gets back in a minute. */
  readonly perMinute: number
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

interface Budget {
  readonly left: number
  readonly at: number
}

/**
 * How often an address may try what it has no right to. It is the address that has to wait, so that
 * nobody can lock anybody's account; what succeeds costs nothing.
 */
export class Attempts {
  readonly #options: AttemptsOptions
  readonly #budgets = new LRUCache<string, Budget>({ max: MAX_ADDRESSES })

  constructor(options: AttemptsOptions) {
    this.#options = options
  }

  /**
   * Makes an attempt. It is paid for before its outcome is known, as many may be made at once, and
   * given back when it succeeds.
   *
   * @throws {RegistryError} `TOOMANYREQUESTS` with `Retry-After`, when there have been too many
   */
  async make<Outcome>(
    address: string,
    attempt: () => Promise<Outcome>,
    isFailure: (outcome: Outcome) => boolean,
  ): Promise<Outcome> {
    const key = networkOf(address)
    this.#take(key)
    let hasFailed = false
    try {
      const outcome = await attempt()
      hasFailed = isFailure(outcome)
      return outcome
    } finally {
      if (!hasFailed) this.#add(key, 1)
    }
  }

  #take(key: string): void {
    const left = this.#left(key)
    if (left >= 1) {
      this.#add(key, -1)
      return
    }
    const { perMinute } = this.#options
    const seconds = Math.max(1, Math.ceil(((1 - left) * MINUTE_MS) / perMinute / 1000))
    const headers = { 'Retry-After': String(seconds) }
    throw new RegistryError('TOOMANYREQUESTS', {
      message: 'too many wrong credentials from this address',
      headers,
    })
  }

  #add(key: string, count: number): void {
    const left = Math.min(this.#options.perMinute, this.#left(key) + count)
    if (left === this.#options.perMinute) this.#budgets.delete(key)
    else this.#budgets.set(key, { left, at: this.#options.monotonic() })
  }

  #left(key: string): number {
    const { perMinute, monotonic } = this.#options
    const known = this.#budgets.get(key)
    if (known === undefined) return perMinute
    const regained = ((monotonic() - known.at) * perMinute) / MINUTE_MS
    return Math.min(perMinute, known.left + regained)
  }
}

/** Of IPv6 the /64: one machine has that many addresses. */
function networkOf(address: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0')
  const groups = tail === undefined ? before : [...before, ...zeros, ...after]
  return groups.slice(0, 4).join(':')
}
