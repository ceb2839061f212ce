import type { Digest } from '../oci/digest.ts'
import type { Catalog } from './ports.ts'

export interface UsageRecorderOptions {
  readonly catalog: Pick<Catalog, 'touch'>
  readonly flushIntervalMs: number
  /** Told of a failed flush; its uses are kept for the next. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** When blobs were last used, gathered in memory: serving a cached blob writes nothing to disk. */
export class UsageRecorder {
  readonly #catalog: Pick<Catalog, 'touch'>
  readonly #onError: (error: unknown) => void
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  #used = new Map<Digest, number>()
  #flushing: Promise<void> = Promise.resolve()

  constructor({ catalog, flushIntervalMs, onError, now = Date.now }: UsageRecorderOptions) {
    this.#catalog = catalog
    this.#onError = onError
    this.#now = now
    this.#timer = setInterval(() => void this.flush(), flushIntervalMs)
    this.#timer.unref()
  }

  used(digest: Digest): void {
    this.#used.set(digest, this.#now())
  }

  /** Writes what is gathered, in one transaction. Never rejects: `onError` is told. */
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
    if (this.#used.size === 0) return
    const used = this.#used
    this.#used = new Map()
    try {
      await this.#catalog.touch(used)
    } catch (error) {
      for (const [digest, usedAt] of this.#used) used.set(digest, usedAt)
      this.#used = used
      this.#onError(error)
    }
  }
}
