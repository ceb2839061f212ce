import type { Digest } from '../oci/digest.ts'

export interface CheckRecorderOptions {
  readonly catalog: { putChecks(verifiedAt: ReadonlyMap<Digest, number>): Promise<void> }
  readonly flushIntervalMs: number
  /** Told of each content whose bytes were found to be right. */
  readonly onVerified: (digest: Digest) => void
  /** Told of a failed flush; its checks are kept for the next. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Bytes whose last check is older are hashed when they are sent. */
const MAX_AGE_MS = 7 * 24 * 3_600_000

/** When stored bytes were last found to be right, gathered in memory and written in batches. */
export class CheckRecorder {
  readonly #options: CheckRecorderOptions
  readonly #timer: NodeJS.Timeout
  #verified = new Map<Digest, number>()
  #flushing: Promise<void> = Promise.resolve()

  constructor(options: CheckRecorderOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.flush(), options.flushIntervalMs)
    this.#timer.unref()
  }

  /** Its bytes were read and hashed just now. */
  verified(digest: Digest): void {
    this.#verified.set(digest, this.#options.now())
    this.#options.onVerified(digest)
  }

  /**
   * Whether it is to be hashed when it is sent.
   *
   * @param verifiedAt what its row says, epoch milliseconds; `undefined`: nothing
   */
  isDue(digest: Digest, verifiedAt: number | undefined): boolean {
    const limit = this.#options.now() - MAX_AGE_MS
    if (verifiedAt !== undefined && verifiedAt > limit) return false
    const at = this.#verified.get(digest)
    return at === undefined || at <= limit
  }

  /** Whether it was checked and that is not yet written. */
  has(digest: Digest): boolean {
    return this.#verified.has(digest)
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
    const verified = this.#verified
    if (verified.size === 0) return
    try {
      // They stay readable meanwhile, so that nothing is checked twice for the wait.
      await this.#options.catalog.putChecks(verified)
    } catch (error) {
      this.#options.onError(error)
      return
    }
    this.#verified = new Map(
      [...this.#verified].filter(([digest, at]) => verified.get(digest) !== at),
    )
  }
}
