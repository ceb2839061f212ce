import type { Digest } from '../oci/digest.ts'
import { Batch } from './batch.ts'

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

/** When stored bytes were last found to be right. */
export class CheckRecorder {
  readonly #options: CheckRecorderOptions
  readonly #batch: Batch

  constructor(options: CheckRecorderOptions) {
    const { catalog, flushIntervalMs, onError } = options
    const write = (times: ReadonlyMap<Digest, number>) => catalog.putChecks(times)
    this.#options = options
    this.#batch = new Batch({ write, flushIntervalMs, onError })
  }

  /** Its bytes were read and hashed just now. */
  verified(digest: Digest): void {
    this.#batch.set(digest, this.#options.now())
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
    const at = this.#batch.get(digest)
    return at === undefined || at <= limit
  }

  /** Whether it was checked and that is not yet written. */
  has(digest: Digest): boolean {
    return this.#batch.get(digest) !== undefined
  }

  /** Writes what is gathered, in one transaction. Never rejects: `onError` is told. */
  flush(): Promise<void> {
    return this.#batch.flush()
  }

  /** Flushes for the last time. */
  close(): Promise<void> {
    return this.#batch.close()
  }
}
