import { availableParallelism } from 'node:os'

import type { Digest } from '../oci/digest.ts'
import { HashThread, HashThreadError } from './hash-thread.ts'
import { DirectHashing, type Hashing } from './hashing.ts'

/** To hash as much takes longer than to tell another thread of it: 2 ms. */
const LARGE_BYTES = 4 * 1024 * 1024
/** A thread costs 10 MiB, and a tenth of a second of processor time to start. */
const IDLE_MS = 60_000

export interface HashersOptions {
  readonly onFailed: (error: HashThreadError) => void
  /** Processors of this machine, or the share of them that is ours. */
  readonly processors?: number
  /** Downloads below it are hashed by whoever asks; default 4 MiB. */
  readonly largeBytes?: number
  /** What the thread runs instead. */
  readonly program?: string
}

/**
 * Where downloads are hashed: large ones on a thread of their own, where there is a second processor.
 * Nobody waits for it to start: what comes before is hashed here, and so is all when it has failed.
 */
export class Hashers {
  readonly #options: HashersOptions
  readonly #isOfUse: boolean
  #thread: HashThread | undefined
  #hasFailed = false
  #idle: NodeJS.Timeout | undefined

  constructor(options: HashersOptions) {
    this.#options = options
    this.#isOfUse = (options.processors ?? availableParallelism()) > 1
  }

  /** @param size bytes that are to come, as far as is known */
  begin(digest: Digest, size: number | undefined): Hashing {
    const { largeBytes = LARGE_BYTES } = this.#options
    if (!this.#isOfUse || this.#hasFailed || (size ?? 0) < largeBytes) {
      return new DirectHashing(digest)
    }
    clearTimeout(this.#idle)
    this.#thread ??= this.#start()
    return this.#thread?.isReady ? this.#thread.begin(digest) : new DirectHashing(digest)
  }

  /** Nothing is being downloaded: in a while, the thread ends. */
  rest(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref()
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle)
    const thread = this.#thread
    this.#thread = undefined
    await thread?.close()
  }

  #start(): HashThread | undefined {
    const fail = (error: HashThreadError) => {
      this.#hasFailed = true
      this.#thread = undefined
      this.#options.onFailed(error)
    }
    try {
      return new HashThread(fail, this.#options.program)
    } catch (error) {
      fail(new HashThreadError(`the thread that hashes downloads cannot be started: ${error}`))
      return undefined
    }
  }
}
