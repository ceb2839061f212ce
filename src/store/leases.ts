import type { Digest } from '../oci/digest.ts'
import type { Unlinking } from './unlinking.ts'

export interface LeasesOptions {
  /** What whoever holds has to see gone first. */
  readonly unlinking: Pick<Unlinking, 'end'>
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
}

interface Passing {
  readonly endsAt: number
  readonly release: () => void
}

/** Which contents are in use, so that eviction leaves them alone. In memory only: it ends with us. */
export class Leases {
  readonly #unlinking: LeasesOptions['unlinking']
  readonly #elapsed: () => number
  readonly #counts = new Map<Digest, number>()
  /** Those that end by themselves, in the order in which they began. */
  readonly #passing = new Set<Passing>()

  constructor({ unlinking, elapsed = () => performance.now() }: LeasesOptions) {
    this.#unlinking = unlinking
    this.#elapsed = elapsed
  }

  /**
   * Nothing begins to delete it from now on, and what was just being deleted has gone when it
   * resolves: what is here then stays.
   *
   * @returns what gives it back; a second call does nothing
   */
  async hold(digest: Digest): Promise<() => void> {
    const release = this.holdOn(digest)
    await this.#unlinking.end(digest)
    return release
  }

  /** For what is held already. @returns what gives it back; a second call does nothing */
  holdOn(digest: Digest): () => void {
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

  /**
   * As {@link hold}, for what may never be used and then is not given back, such as a blob that was
   * opened to answer a HEAD. All of them are to last equally long.
   */
  async holdFor(digest: Digest, milliseconds: number): Promise<() => void> {
    this.#endPassed()
    const release = await this.hold(digest)
    const passing = { endsAt: this.#elapsed() + milliseconds, release }
    this.#passing.add(passing)
    return () => {
      this.#passing.delete(passing)
      release()
    }
  }

  has(digest: Digest): boolean {
    this.#endPassed()
    return this.#counts.has(digest)
  }

  #endPassed(): void {
    if (this.#passing.size === 0) return
    const now = this.#elapsed()
    for (const passing of this.#passing) {
      if (passing.endsAt > now) return
      this.#passing.delete(passing)
      passing.release()
    }
  }
}
