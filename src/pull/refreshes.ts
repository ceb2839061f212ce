/** What is asked behind an answer that nobody waits for: once at a time for a key, until stopped. */
export class Refreshes {
  readonly #running = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()

  /** Aborts when the process is about to end. */
  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  /**
   * @param work must not reject: nobody would be told
   * @returns whether it is under way now
   */
  begin(key: string, work: () => Promise<void>): boolean {
    if (this.#stopping.signal.aborted) return false
    if (this.#running.has(key)) return true
    const running = work().finally(() => this.#running.delete(key))
    this.#running.set(key, running)
    return true
  }

  /** Gives up what is under way, and begins no more. Settles when nothing is left. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#running.values())
  }
}
