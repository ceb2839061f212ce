import { LRUCache } from 'lru-cache'

import { UpstreamError } from '../upstream/errors.ts'

const MAX_ENTRIES = 10_000
const UNKNOWN_MS = 10_000
const DENIED_MS = 30_000

/** A refusal that was remembered: the registry was not asked again. */
export class RememberedError extends UpstreamError {
  constructor(refusal: UpstreamError) {
    const { upstream, reason, message, status, code } = refusal
    super(refusal.kind, {
      upstream,
      reason,
      message,
      ...(status === undefined ? {} : { status }),
      ...(code === undefined ? {} : { code }),
      cause: refusal,
    })
  }
}

/** What a registry has just refused or not found, so that a storm of pods asks it once. */
export class Negatives {
  readonly #refusals = new LRUCache<string, UpstreamError>({ max: MAX_ENTRIES, ttl: UNKNOWN_MS })

  /**
   * Asks, unless the answer is known to be no. Keeps 404 for 10 s and refusals for 30 s.
   *
   * @param key with the epoch in it, so that a write makes what was refused before it unknown
   */
  async asked<Answer>(key: string, question: () => Promise<Answer>): Promise<Answer> {
    const refusal = this.#refusals.get(key)
    if (refusal !== undefined) throw new RememberedError(refusal)
    try {
      return await question()
    } catch (error) {
      if (error instanceof UpstreamError) {
        if (error.kind === 'unknown') this.#refusals.set(key, error)
        if (error.kind === 'denied') this.#refusals.set(key, error, { ttl: DENIED_MS })
      }
      throw error
    }
  }

  clear(): void {
    this.#refusals.clear()
  }
}
