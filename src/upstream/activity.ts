/** Whether anything is under way, and since when not. */
export class Activity {
  #count = 0
  #silence: { readonly lengthMs: number; readonly begun: () => void } | undefined
  #timer: NodeJS.Timeout | undefined

  /** @returns what ends it; more than once does no harm */
  begin(): () => void {
    this.#count++
    clearTimeout(this.#timer)
    let hasEnded = false
    return () => {
      if (hasEnded) return
      hasEnded = true
      this.#count--
      this.#listen()
    }
  }

  /** Resolves once nothing has been under way for so long. Keeps no process alive. Wait only once. */
  silence(lengthMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#silence = { lengthMs, begun: resolve }
    this.#listen()
    return promise
  }

  /** There is nothing to wait for any more. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#silence?.begun()
  }

  #listen(): void {
    if (this.#count > 0 || this.#silence === undefined) return
    const { lengthMs, begun } = this.#silence
    this.#timer = setTimeout(begun, lengthMs).unref()
  }
}
