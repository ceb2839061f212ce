/** Holds whoever waits until the test releases them: order without sleeping. */
export class Barrier {
  readonly #released = Promise.withResolvers<void>()
  readonly #arrivals: { readonly count: number; readonly resolve: () => void }[] = []
  #waiting = 0

  /** How many have reached the barrier so far, those already let through included. */
  get count(): number {
    return this.#waiting
  }

  /** Arrives, and waits for {@link release}. */
  wait(): Promise<void> {
    this.#waiting++
    for (const arrival of this.#arrivals) if (this.#waiting >= arrival.count) arrival.resolve()
    return this.#released.promise
  }

  /** Settles once `count` have arrived. */
  arrived(count = 1): Promise<void> {
    if (this.#waiting >= count) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#arrivals.push({ count, resolve })
    return promise
  }

  /** Lets everyone through, now and later. */
  release(): void {
    this.#released.resolve()
  }
}
