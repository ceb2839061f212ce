import { abortion } from './abortion.ts'

/** Something goes on, and whoever waits for it looks again. */
export class Progress {
  #next = Promise.withResolvers<void>()

  wake(): void {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers()
    resolve()
  }

  /** A race leaves something behind at the loser, so each wait has a loser of its own. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    if (signal === undefined) return this.#next.promise
    const cancelled = abortion(signal)
    try {
      await Promise.race([this.#next.promise, cancelled.promise])
    } finally {
      cancelled.dispose()
    }
  }
}
