import type { Digest } from '../oci/digest.ts'

/** Which contents are just being deleted: they look as if they were here, and are so no more. */
export class Unlinking {
  readonly #ends = new Map<Digest, Promise<unknown>>()

  /** @param gone settles when its file has gone, or stays after all */
  add(digest: Digest, gone: Promise<unknown>): void {
    const end = Promise.allSettled([this.#ends.get(digest), gone]).then(() => {
      if (this.#ends.get(digest) === end) this.#ends.delete(digest)
    })
    this.#ends.set(digest, end)
  }

  /** Resolves when it is not being deleted any more. */
  async end(digest: Digest): Promise<void> {
    await this.#ends.get(digest)
  }
}
