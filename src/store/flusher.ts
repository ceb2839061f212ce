export interface FlusherOptions {
  /** Writes what is gathered. What it could not write it keeps for the next time. */
  readonly write: () => Promise<void>
  readonly intervalMs: number
  /** Told of what `write` has failed with. */
  readonly onError: (error: unknown) => void
}

/** Has what is gathered in memory written now and then, one write after the other. */
export class Flusher {
  readonly #options: FlusherOptions
  readonly #timer: NodeJS.Timeout
  #flushing: Promise<void> = Promise.resolve()

  constructor(options: FlusherOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.flush(), options.intervalMs)
    this.#timer.unref()
  }

  /** Writes what is gathered. Never rejects: `onError` is told. */
  flush(): Promise<void> {
    const { write, onError } = this.#options
    this.#flushing = this.#flushing.then(write).catch(onError)
    return this.#flushing
  }

  /** Flushes for the last time. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.flush()
  }
}
