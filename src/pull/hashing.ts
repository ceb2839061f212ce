import type { Digest } from '../oci/digest.ts'
import { Verifier } from '../oci/verify.ts'

/** Hashes a download as it comes, in order, and says at its end whether it is what the digest names. */
export interface Hashing {
  /** @returns a promise where there is no room yet: until it settles, `bytes` must stay as they are */
  update(bytes: Buffer): Promise<void> | undefined
  /** @throws {ContentMismatchError} with both digests */
  finish(): Promise<void>
  /** Nobody will ask. */
  leave(): void
}

/** At once, on the thread that asks. */
export class DirectHashing implements Hashing {
  readonly #verifier: Verifier

  constructor(digest: Digest) {
    this.#verifier = new Verifier(digest)
  }

  update(bytes: Uint8Array): undefined {
    this.#verifier.update(bytes)
  }

  async finish(): Promise<void> {
    this.#verifier.finish()
  }

  leave(): void {}
}
