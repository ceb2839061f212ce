import type { Digest } from '../oci/digest.ts'
import { Flusher } from './flusher.ts'

export interface BatchOptions {
  /** In one transaction. */
  readonly write: (times: ReadonlyMap<Digest, number>) => Promise<void>
  readonly flushIntervalMs: number
  /** Told of a failed flush; what it was to write is kept for the next. */
  readonly onError: (error: unknown) => void
}

/** Times of contents, gathered in memory and written now and then: what is hot writes nothing itself. */
export class Batch {
  readonly #options: BatchOptions
  readonly #flusher: Flusher
  #times = new Map<Digest, number>()

  constructor(options: BatchOptions) {
    const { flushIntervalMs: intervalMs, onError } = options
    this.#options = options
    this.#flusher = new Flusher({ write: () => this.#write(), intervalMs, onError })
  }

  /** @param at epoch milliseconds */
  set(digest: Digest, at: number): void {
    this.#times.set(digest, at)
  }

  /** `undefined`: nothing was gathered that is not yet written. */
  get(digest: Digest): number | undefined {
    return this.#times.get(digest)
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
    if (this.#times.size === 0) return
    const written = new Map(this.#times)
    // They stay readable meanwhile.
    await this.#options.write(written)
    for (const [digest, at] of written) {
      if (this.#times.get(digest) === at) this.#times.delete(digest)
    }
  }
}
