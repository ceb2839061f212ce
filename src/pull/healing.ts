import type { ByteRange, Content } from './content.ts'

/**
 * A stored blob that may turn out to be damaged, or be gone, when it is read. As long as nothing of
 * it was given out, its bytes can come from elsewhere.
 */
export class HealingContent implements Content {
  readonly #stored: Content
  readonly #openAgain: () => Promise<Content>

  /** @param openAgain asked once the store has failed */
  constructor(stored: Content, openAgain: () => Promise<Content>) {
    this.#stored = stored
    this.#openAgain = openAgain
  }

  get size(): number {
    return this.#stored.size
  }

  async *read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const reading = this.#stored.read(range, signal)
    let first: IteratorResult<Uint8Array, void> | undefined
    try {
      first = await reading.next()
    } catch (error) {
      if (signal?.aborted === true) throw error
    }
    if (first === undefined) {
      yield* (await this.#openAgain()).read(range, signal)
      return
    }
    try {
      if (first.done === true) return
      yield first.value
      yield* reading
    } finally {
      await reading.return()
    }
  }
}
