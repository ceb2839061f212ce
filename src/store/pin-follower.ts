import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { PinIndex } from './pin-index.ts'
import type { PinKeeper } from './pin-keeper.ts'
import type { Catalog, Place } from './ports.ts'

export interface PinFollowerOptions {
  readonly catalog: Pick<Catalog, 'getTag'>
  readonly index: PinIndex
  readonly keeper: Pick<PinKeeper, 'keepDigest'>
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Moves pins with their tags, and makes those that patterns ask for. */
export class PinFollower {
  readonly #options: PinFollowerOptions

  constructor(options: PinFollowerOptions) {
    this.#options = options
  }

  /** Whether any pin should say that the tag means `digest`, and does not. */
  isBehind(place: Place, tag: Tag, digest: Digest): boolean {
    return this.#affected(place, tag, digest).length > 0
  }

  /** What the tag means is in the store. */
  async follow(place: Place, tag: Tag, digest: Digest): Promise<void> {
    const { catalog, keeper, now } = this.#options
    const record = await catalog.getTag(place, tag)
    const checkedAt = record?.digest === digest ? record.checkedAt : now()
    for (const kept of this.#affected(place, tag, digest)) {
      const moved = { ...kept, kind: 'tag', reference: tag, checkedAt, follows: true } as const
      await keeper.keepDigest(place, digest, (content) => ({ ...moved, ...content }))
    }
  }

  /** The pins that do not say yet that the tag means `digest`, and should; those to be made too. */
  #affected(place: Place, tag: Tag, digest: Digest) {
    const { index, now } = this.#options
    const pins = index.ofTag(place, tag)
    const moving = pins
      .filter((pin) => pin.follows && pin.digest !== digest && !index.isExpired(pin))
      .map(({ owner, createdAt, expiresAt, platforms }) => ({
        owner,
        createdAt,
        expiresAt,
        ...(platforms === undefined ? {} : { platforms }),
      }))
    const matched = index
      .ownersFor(place, tag)
      .filter((owner) => pins.every((pin) => pin.owner !== owner))
      .map((owner) => ({ owner, createdAt: now(), expiresAt: undefined }))
    return [...moving, ...matched]
  }
}
