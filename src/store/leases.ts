import type { Digest } from '../oci/digest.ts'

/** Which contents are in use, so that eviction leaves them alone. In memory only: it ends with us. */
export class Leases {
  readonly #counts = new Map<Digest, number>()

  /** @returns what gives it back; a second call does nothing */
  hold(digest: Digest): () => void {
    this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = (this.#counts.get(digest) ?? 1) - 1
      if (left > 0) this.#counts.set(digest, left)
      else this.#counts.delete(digest)
    }
  }

  has(digest: Digest): boolean {
    return this.#counts.has(digest)
  }
}
