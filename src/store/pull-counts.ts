import type { Digest } from '../oci/digest.ts'
import { Flusher } from './flusher.ts'
import type { Place } from './ports.ts'

/** How often a manifest was pulled since it was last written down. */
export interface PullCount {
  readonly place: Place
  readonly digest: Digest
  readonly count: number
  /** The last of them, epoch milliseconds. */
  readonly at: number
}

export interface PullCountsOptions {
  /** Adds to what is known, in one transaction. */
  readonly write: (counts: readonly PullCount[]) => Promise<void>
  readonly flushIntervalMs: number
  /** Told of a failed flush; its counts are kept for the next. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** While the disk refuses, no more than this is kept in memory: what is counted is for eyes. */
const MAX_WAITING = 20_000

/** Pulls of images, gathered in memory and written now and then: a pull itself writes nothing. */
export class PullCounts {
  readonly #options: PullCountsOptions
  readonly #flusher: Flusher
  #waiting = new Map<string, PullCount>()

  constructor(options: PullCountsOptions) {
    const { flushIntervalMs: intervalMs, onError } = options
    this.#options = options
    this.#flusher = new Flusher({ write: () => this.#write(), intervalMs, onError })
  }

  pulled(place: Place, digest: Digest): void {
    this.#add({ place, digest, count: 1, at: this.#options.now() })
  }

  /** Writes what is gathered. Never rejects: `onError` is told. */
  flush(): Promise<void> {
    return this.#flusher.flush()
  }

  /** Flushes for the last time. */
  close(): Promise<void> {
    return this.#flusher.close()
  }

  async #write(): Promise<void> {
    if (this.#waiting.size === 0) return
    const counts = [...this.#waiting.values()]
    this.#waiting = new Map()
    try {
      await this.#options.write(counts)
    } catch (error) {
      for (const one of counts) this.#add(one)
      throw error
    }
  }

  #add(one: PullCount): void {
    const { place, digest, count, at } = one
    const key = `${place.upstream} ${place.repository} ${digest}`
    const known = this.#waiting.get(key)
    if (known === undefined && this.#waiting.size >= MAX_WAITING) return
    const sum = { count: count + (known?.count ?? 0), at: Math.max(at, known?.at ?? 0) }
    this.#waiting.set(key, { place, digest, ...sum })
  }
}
