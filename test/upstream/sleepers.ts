interface Sleeper {
  readonly delayMs: number
  readonly wake: () => void
}

/** Those who sleep, until they are woken or their signal says so. */
export class Sleepers {
  readonly #all = new Set<Sleeper>()

  /** The delays that are slept at the moment. */
  get delays(): readonly number[] {
    return [...this.#all].map(({ delayMs }) => delayMs)
  }

  readonly sleep = async (delayMs: number, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const sleeper = { delayMs, wake: resolve }
    const abort = () => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    this.#all.add(sleeper)
    try {
      await promise
    } finally {
      this.#all.delete(sleeper)
      signal?.removeEventListener('abort', abort)
    }
  }

  wakeAll(): void {
    for (const { wake } of this.#all) wake()
  }
}
