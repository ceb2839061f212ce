/** What goes to clients before everything else has a turn: some milliseconds. */
const ROUND_BYTES = 16 * 1024 * 1024

interface Waiter {
  readonly bytes: number
  readonly enter: () => void
}

/**
 * Turns of the event loop, shared by all who write to clients. A client as fast as memory never makes
 * its writer wait, and a thousand that are ready at once would each be written a chunk before anybody
 * else has a turn: a request that comes meanwhile, a timer, a probe. So only so much is written in a
 * round, and who comes after that waits for the next, first come, first served.
 */
export class Rounds {
  readonly #waiting: Waiter[] = []
  #left = ROUND_BYTES
  #isRunning = false

  /** @returns when `bytes` may be written; `undefined`: now */
  enter(bytes: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#left > 0) {
      this.#take(bytes)
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ bytes, enter: resolve })
    return promise
  }

  #take(bytes: number): void {
    this.#left -= bytes
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(() => this.#begin())
  }

  #begin(): void {
    this.#isRunning = false
    this.#left = ROUND_BYTES
    while (this.#left > 0) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#take(next.bytes)
      next.enter()
    }
  }
}
