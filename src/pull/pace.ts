/** A body that comes more slowly than this is cut and resumed: another connection may be better. */
const MIN_BYTES_PER_SECOND = 16 * 1024
const WINDOW_MS = 120_000

export interface PaceOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** Milliseconds for which Larder itself has held the body back until now. */
  readonly heldMs: () => number
}

/**
 * How fast a registry sends. Only the time counts for which its bytes are waited for: a slow disk
 * or a configured bandwidth is no fault of the registry's.
 */
export class Pace {
  readonly #options: PaceOptions
  #waitingSince: number
  #heldBefore: number
  #waitedMs = 0
  #bytes = 0

  constructor(options: PaceOptions) {
    this.#options = options
    this.#waitingSince = options.elapsed()
    this.#heldBefore = options.heldMs()
  }

  /** What had come is dealt with; more is waited for. */
  wait(): void {
    this.#waitingSince = this.#options.elapsed()
  }

  /** @returns whether it is fast enough; looked at once two minutes have been waited for bytes */
  took(bytes: number): boolean {
    const { elapsed, heldMs } = this.#options
    const held = heldMs()
    this.#waitedMs += Math.max(0, elapsed() - this.#waitingSince - (held - this.#heldBefore))
    this.#heldBefore = held
    this.#bytes += bytes
    if (this.#waitedMs < WINDOW_MS) return true
    const isFastEnough = this.#bytes >= (this.#waitedMs / 1000) * MIN_BYTES_PER_SECOND
    this.#waitedMs = 0
    this.#bytes = 0
    return isFastEnough
  }
}
