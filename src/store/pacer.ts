export interface PacerOptions {
  /** Asked again and again, so that a changed configuration counts at once. */
  readonly bytesPerSecond: () => number
  /** Whether something that matters more is under way. */
  readonly isBusy: () => boolean
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** Rejects with the signal's reason when that comes first. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>
}

/** How often it looks again whether there is leave to go on. */
const LOOK_MS = 250
/** A Larder that is never idle is to be checked all the same: a chunk so often disturbs nobody. */
const MAX_PAUSE_MS = 10_000
/** So that another rate counts soon. */
const MAX_NAP_MS = 1_000

/** Holds a reading in the background to its rate, and has it wait while there is load. */
export class Pacer {
  readonly #options: PacerOptions
  /** Bytes that were let through and are not yet due. */
  #ahead = 0
  #at: number

  constructor(options: PacerOptions) {
    this.#options = options
    this.#at = options.elapsed()
  }

  /** Resolves when `bytes` more may be read. */
  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    const { bytesPerSecond, sleep } = this.#options
    signal.throwIfAborted()
    for (;;) {
      this.#settle()
      if (this.#ahead <= 0) break
      const napMs = Math.min(MAX_NAP_MS, Math.ceil((this.#ahead / rateOf(bytesPerSecond)) * 1000))
      await sleep(napMs, signal)
    }
    await this.#untilIdle(signal)
    this.#settle()
    this.#ahead = bytes
  }

  async #untilIdle(signal: AbortSignal): Promise<void> {
    const { isBusy, elapsed, sleep } = this.#options
    const endsAt = elapsed() + MAX_PAUSE_MS
    while (isBusy() && elapsed() < endsAt) await sleep(LOOK_MS, signal)
  }

  /** Time that was not used is not saved up. */
  #settle(): void {
    const { bytesPerSecond, elapsed } = this.#options
    const now = elapsed()
    const passed = ((now - this.#at) / 1000) * rateOf(bytesPerSecond)
    this.#ahead = Math.max(0, this.#ahead - passed)
    this.#at = now
  }
}

function rateOf(bytesPerSecond: () => number): number {
  return Math.max(1, bytesPerSecond())
}
