import type { Digest } from '../oci/digest.ts'
import type { Leases } from '../store/leases.ts'

/** What one run keeps from being removed, from before it looks whether it is here to its own end. */
export class Holds {
  readonly #leases: Pick<Leases, 'hold'>
  readonly #held = new Map<Digest, Promise<() => void>>()

  constructor(leases: Pick<Leases, 'hold'>) {
    this.#leases = leases
  }

  /** What is here of it when this resolves stays until {@link release}. */
  async hold(digest: Digest): Promise<void> {
    const held = this.#held.get(digest) ?? this.#leases.hold(digest)
    this.#held.set(digest, held)
    await held
  }

  /** Gives everything back. Never rejects. */
  async release(): Promise<void> {
    for (const held of this.#held.values()) (await held)()
    this.#held.clear()
  }
}
