import { LRUCache } from 'lru-cache'

import type { Digest } from '../oci/digest.ts'
import type { Catalog, Member, Place } from '../store/ports.ts'
import { Coalescer } from './coalesce.ts'
import type { Epochs } from './epochs.ts'
import type { Negatives } from './negatives.ts'
import { keyOf, type Pull } from './pull.ts'
import type { Restoration } from './restoration.ts'

/** A yes is remembered as long as a no: a storm of pods asks once. */
const CONFIRMED_MS = 10_000

export interface Confirmed {
  /** `undefined` when the registry does not say. */
  readonly size: number | undefined
}

export interface StandingOptions {
  readonly catalog: Catalog
  readonly negatives: Negatives
  readonly epochs: Epochs
  readonly restoration: Restoration
  readonly onStoreFailed: (operation: string, error: unknown) => void
}

/**
 * Which blobs belong to which repository. Knowing a digest is no right to it, and whoever can push a
 * manifest can list it: the registry must once have given or confirmed it in this repository.
 */
export class Standing {
  readonly #options: StandingOptions
  readonly #questions = new Coalescer<Confirmed>()
  readonly #confirmed = new LRUCache<string, Confirmed>({ max: 10_000, ttl: CONFIRMED_MS })

  constructor(options: StandingOptions) {
    this.#options = options
  }

  get(place: Place, digest: Digest): Promise<Member | undefined> {
    const { catalog, restoration } = this.#options
    return restoration.ask(
      () => catalog.getMember(place, digest, 'blob'),
      (member) => member?.isProven !== true,
    )
  }

  /** Has the registry say, to this caller, that the repository has it. */
  async confirm(pull: Pull, digest: Digest): Promise<Confirmed> {
    const { upstream, place } = pull
    const { negatives, epochs } = this.#options
    const epoch = epochs.of(place)
    const key = keyOf(pull, String(epoch), digest)
    const known = this.#confirmed.get(key)
    if (known !== undefined) return known
    const { answer: remote } = await this.#questions.ask(key, () =>
      negatives.asked(key, () => upstream.registry.headBlob(place.repository, digest, pull)),
    )
    this.#confirmed.set(key, remote)
    await this.learn(place, digest, remote.size ?? -1, epoch)
    return remote
  }

  /** @param epoch when it was asked: what was asked before a write says nothing of after it */
  async learn(place: Place, digest: Digest, size: number, epoch: number): Promise<void> {
    const { catalog, epochs, onStoreFailed } = this.#options
    if (epochs.of(place) !== epoch) return
    try {
      await catalog.putMember(place, { digest, size, kind: 'blob' })
    } catch (error) {
      onStoreFailed('member', error)
    }
  }

  /** A delete went through to the registry. */
  async forget(place: Place, digest: Digest): Promise<void> {
    await this.#options.catalog.deleteMember(place, digest, 'blob')
  }
}
