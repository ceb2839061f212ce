import { BegunReading } from './begun.ts'
import type { ByteRange, Content, Lent } from './content.ts'

/**
 * What was announced of a stored blob was the size of a damaged file, of which nothing else was
 * known. It is right when it is opened anew.
 */
export class ResizedError extends Error {
  override readonly name = 'ResizedError'

  constructor(announced: number, size: number) {
    super(`${announced} bytes were announced of a blob of ${size}`)
  }
}

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

  /** Who cannot read it asks for it here, and then it is healed. */
  lend(range: ByteRange): Lent | undefined {
    return this.#stored.lend?.(range)
  }

  async *read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let begun: BegunReading | undefined
    try {
      begun = await BegunReading.begin(this.#stored.read(range, signal))
    } catch (error) {
      if (signal?.aborted === true) throw error
    }
    if (begun !== undefined) return yield* begun
    const again = await this.#openAgain()
    if (again.size !== this.size) throw new ResizedError(this.size, again.size)
    yield* again.read(range, signal)
  }
}
