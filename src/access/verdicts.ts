import { LRUCache } from 'lru-cache'

import { atMost } from '../bound.ts'
import type { Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { Identity } from '../upstream/ports.ts'
import type { Verdict } from './proof.ts'

const MAX_VERDICTS = 50_000

/** What a registry has just shown, and for how long that is good. */
export interface Shown {
  readonly verdict: Verdict
  readonly lifetimeMs: number
}

interface Remembered {
  readonly verdict: Verdict
  readonly at: number
  readonly until: number
}

/** Who was found to have a right where, and when. No secret is in it: a caller is its HMAC. */
export class Verdicts {
  readonly #monotonic: () => number
  readonly #remembered = new LRUCache<string, Remembered>(atMost(MAX_VERDICTS))
  readonly #asking = new Map<string, Promise<Verdict>>()
  #cleared = 0

  /** @param monotonic milliseconds that a jump of the wall clock does not move */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** The verdict that is remembered, else the question's answer: asked once, whoever asks meanwhile. */
  async ask(place: Place, as: Identity, question: () => Promise<Shown>): Promise<Verdict> {
    const fresh = this.fresh(place, as)
    if (fresh !== undefined) return fresh
    const key = keyOf(place, as)
    const asking = this.#asking.get(key)
    if (asking === undefined) return this.#begin(key, place, as, question)
    const verdict = await asking.catch((error: unknown) => {
      // Something else was asked for, and is absent: that says nothing of this question.
      if (error instanceof UpstreamError && error.kind === 'unknown') return undefined
      throw error
    })
    return verdict ?? this.fresh(place, as) ?? this.#answer(place, as, question)
  }

  put(place: Place, as: Identity, verdict: Verdict, lifetimeMs: number): void {
    const at = this.#monotonic()
    this.#remembered.set(keyOf(place, as), { verdict, at, until: at + lifetimeMs })
  }

  fresh(place: Place, as: Identity): Verdict | undefined {
    const known = this.#remembered.get(keyOf(place, as))
    return known !== undefined && this.#monotonic() < known.until ? known.verdict : undefined
  }

  knows(place: Place, as: Identity): boolean {
    return this.#remembered.has(keyOf(place, as))
  }

  /** Granted only by a grant that is no older than `maxAgeMs`. */
  stale(place: Place, as: Identity, maxAgeMs: number): Verdict {
    const known = this.#remembered.get(keyOf(place, as))
    const isGood = known?.verdict === 'granted' && this.#monotonic() - known.at <= maxAgeMs
    return isGood ? 'granted' : 'refused'
  }

  /** What is being asked now is answered to whoever asked, and neither joined nor remembered. */
  clear(): void {
    this.#cleared++
    this.#remembered.clear()
    this.#asking.clear()
  }

  #begin(
    key: string,
    place: Place,
    as: Identity,
    question: () => Promise<Shown>,
  ): Promise<Verdict> {
    const mine = this.#answer(place, as, question).finally(() => {
      if (this.#asking.get(key) === mine) this.#asking.delete(key)
    })
    this.#asking.set(key, mine)
    return mine
  }

  async #answer(place: Place, as: Identity, question: () => Promise<Shown>): Promise<Verdict> {
    // A right lasts from when it was asked for: it may be withdrawn while the answer is on its way.
    const at = this.#monotonic()
    const cleared = this.#cleared
    const { verdict, lifetimeMs } = await question()
    if (cleared !== this.#cleared) return verdict
    this.#remembered.set(keyOf(place, as), { verdict, at, until: at + lifetimeMs })
    return verdict
  }
}

function keyOf({ upstream, repository }: Place, as: Identity): string {
  return `${upstream}\n${repository}\n${as.kind === 'caller' ? as.fingerprint : as.kind}`
}
