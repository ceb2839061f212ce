import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream'

import { ignore } from './body.ts'

/** So much may come at once after a time of silence. */
const BURST_MS = 1_000

export interface BandwidthOptions {
  readonly bytesPerSecond: number
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** Rejects with the signal's reason when that comes first. */
  readonly sleep: (delayMs: number, signal?: AbortSignal) => Promise<void>
}

export interface LimitedBody {
  readonly body: Readable
  /** Milliseconds for which the body was held back until now. */
  readonly heldMs: () => number
}

/** A token bucket that all bodies of an upstream draw from. */
export class Bandwidth {
  readonly #options: BandwidthOptions
  /** Below zero: what was let through already and must be waited for. */
  #tokens: number
  #filledAt: number

  constructor(options: BandwidthOptions) {
    this.#options = options
    this.#tokens = this.#capacity
    this.#filledAt = options.elapsed()
  }

  /** The same bytes, no faster than the upstream's share. Its errors are those of `source`. */
  limit(source: Readable): LimitedBody {
    let held = 0
    const gone = new AbortController()
    const body = new Transform({
      transform: (chunk: Buffer, _encoding, done: TransformCallback) => {
        const delayMs = this.#draw(chunk.length)
        if (delayMs === 0) return done(undefined, chunk)
        this.#options.sleep(delayMs, gone.signal).then(() => {
          held += delayMs
          done(undefined, chunk)
        }, done)
      },
      destroy: (error, done) => {
        gone.abort(error)
        done(error)
      },
    })
    // It ends one when the other ends; whoever reads the body is told the error by the body.
    pipeline(source, body, ignore)
    body.on('error', ignore)
    return { body, heldMs: () => held }
  }

  /** Milliseconds until these bytes may pass. Those who come later wait for those before them. */
  #draw(bytes: number): number {
    const { bytesPerSecond, elapsed } = this.#options
    const now = elapsed()
    const refilled = this.#tokens + ((now - this.#filledAt) / 1000) * bytesPerSecond
    this.#filledAt = now
    this.#tokens = Math.min(this.#capacity, refilled) - bytes
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / bytesPerSecond) * 1000)
  }

  get #capacity(): number {
    return (this.#options.bytesPerSecond * BURST_MS) / 1000
  }
}
