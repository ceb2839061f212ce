import type { Digest } from '../oci/digest.ts'

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
  readonly #timer: NodeJS.Timeout
  #times = new Map<Digest, number>()
  #flushing: Promise<void> = Promise.resolve()

  constructor(options: BatchOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.flush(), options.flushIntervalMs)
    this.#timer.unref()
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
    this.#flushing = this.#flushing.then(() => this.#flush())
    return this.#flushing
  }

  /** Flushes for the last time. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.flush()
  }

  async #flush(): Promise<void> {
    if (this.#times.size === 0) return
    const written = new Map(this.#times)
    try {
      // They stay readable meanwhile.
      await this.#options.write(written)
    } catch (error) {
      this.#options.onError(error)
      return
    }
    for (const [digest, at] of written) {
      if (this.#times.get(digest) === at) this.#times.delete(digest)
    }
  }
}
