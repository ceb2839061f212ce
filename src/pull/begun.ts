/**
 * A reading whose first piece was waited for. That piece is given out once and not held after that:
 * a variable of a generator would hold it for as long as the client takes for all the rest.
 */
export class BegunReading implements AsyncIterableIterator<Uint8Array, void, undefined> {
  readonly #rest: AsyncGenerator<Uint8Array, void, undefined>
  #first: IteratorResult<Uint8Array, void> | undefined

  private constructor(
    first: IteratorResult<Uint8Array, void>,
    rest: AsyncGenerator<Uint8Array, void, undefined>,
  ) {
    this.#first = first
    this.#rest = rest
  }

  /** @throws what the reading throws instead of its first piece */
  static async begin(reading: AsyncGenerator<Uint8Array, void, undefined>): Promise<BegunReading> {
    return new BegunReading(await reading.next(), reading)
  }

  next(): Promise<IteratorResult<Uint8Array, void>> {
    const first = this.#first
    if (first === undefined) return this.#rest.next()
    this.#first = undefined
    return Promise.resolve(first)
  }

  return(): Promise<IteratorResult<Uint8Array, void>> {
    this.#first = undefined
    return this.#rest.return()
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
