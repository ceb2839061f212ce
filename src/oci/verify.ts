import type { Hash } from 'node:crypto'

import { algorithmOf, createHasher, type Digest } from './digest.ts'
import { ContentMismatchError } from './errors.ts'

/** Hashes what passes, in order, and says at the end whether it was what the digest names. */
export class Verifier {
  readonly digest: Digest
  readonly #hash: Hash

  constructor(digest: Digest) {
    this.digest = digest
    this.#hash = createHasher(digest)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** @throws {ContentMismatchError} with both digests */
  finish(): void {
    const actual = `${algorithmOf(this.digest)}:${this.#hash.digest('hex')}`
    if (actual !== this.digest) throw new ContentMismatchError('digest', this.digest, actual)
  }
}
