import type { Digest } from '../oci/digest.ts'
import { Batch } from './batch.ts'
import type { Catalog } from './ports.ts'

export interface UsageRecorderOptions {
  readonly catalog: Pick<Catalog, 'touch'>
  readonly flushIntervalMs: number
  /** Told of a failed flush; its uses are kept for the next. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** When blobs were last used: serving a cached blob writes nothing to disk. */
export class UsageRecorder {
  readonly #batch: Batch
  readonly #now: () => number

  constructor({ catalog, flushIntervalMs, onError, now = Date.now }: UsageRecorderOptions) {
    const write = (times: ReadonlyMap<Digest, number>) => catalog.touch(times)
    this.#batch = new Batch({ write, flushIntervalMs, onError })
    this.#now = now
  }

  used(digest: Digest): void {
    this.#batch.set(digest, this.#now())
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
