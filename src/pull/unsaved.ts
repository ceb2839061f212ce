import { LRUCache } from 'lru-cache'

export interface UnsavedOptions {
  /** Told what the store has refused again. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** More are fetched again once memory has forgotten them. */
const MAX_UNSAVED = 2048
/** How often a store that refused is asked again. */
const RETRY_MS = 10_000

/**
 * What the store has refused and memory has: it would be served from there and never be stored, until
 * a restart forgets it.
 */
export class Unsaved {
  readonly #options: UnsavedOptions
  readonly #saves = new LRUCache<string, () => Promise<void>>({ max: MAX_UNSAVED })
  #triedAt = 0
  #isTrying = false

  constructor(options: UnsavedOptions) {
    this.#options = options
  }

  add(key: string, save: () => Promise<void>): void {
    this.#triedAt = this.#options.now()
    this.#saves.set(key, save)
  }

  /** It has been stored. */
  delete(key: string): void {
    this.#saves.delete(key)
  }

  /** To be called as content is asked for: in the background, oldest first, until one is refused. */
  trySaving(): void {
    if (this.#saves.size === 0 || this.#isTrying) return
    const now = this.#options.now()
    if (now - this.#triedAt < RETRY_MS) return
    this.#triedAt = now
    this.#isTrying = true
    this.#save()
      .catch(this.#options.onError)
      .finally(() => {
        this.#isTrying = false
      })
  }

  async #save(): Promise<void> {
    for (const [key, save] of [...this.#saves].reverse()) {
      await save()
      // What was refused meanwhile is another.
      if (this.#saves.peek(key) === save) this.#saves.delete(key)
    }
  }
}
