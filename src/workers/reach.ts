import { NO_FILE } from './relayed.ts'

/** How far the file of a download may be read, as the process that fills it says. */
export class Reach {
  #end = 0
  #isOver = false
  #next = Promise.withResolvers<void>()

  /** @param text the value of the header */
  take(text: string): void {
    if (text === NO_FILE) this.#isOver = true
    else this.#end = Number(text)
    const { resolve } = this.#next
    this.#next = Promise.withResolvers()
    resolve()
  }

  /**
   * How far, once that is further than `position`; `undefined`: no further.
   *
   * @throws the signal's reason
   */
  async beyond(position: number, signal: AbortSignal): Promise<number | undefined> {
    const aborted = Promise.withResolvers<never>()
    aborted.promise.catch(() => undefined)
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort)
    try {
      signal.throwIfAborted()
      while (this.#end <= position && !this.#isOver) {
        await Promise.race([this.#next.promise, aborted.promise])
      }
      return this.#end > position ? this.#end : undefined
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
