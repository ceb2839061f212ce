import type { Digest } from '../oci/digest.ts'
import type { SqliteCatalog } from './catalog.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import { Leases } from './leases.ts'
import type { Pin, ReferencePin } from './pin.ts'
import { type Content, contentOf, placeOf } from './pin-content.ts'
import type { PinFiles } from './pin-files.ts'
import type { PinIndex } from './pin-index.ts'
import type { BlobStore, Place } from './ports.ts'
import type { Unlinking } from './unlinking.ts'

export interface PinKeeperOptions {
  readonly files: PinFiles
  readonly index: PinIndex
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'stat'>
  readonly unlinking: Pick<Unlinking, 'end'>
  readonly failAt?: FailAt | undefined
}

/**
 * Has a pin in its file, in the index and in its row, in this order, and takes it away in the same.
 * Its caller makes one change after the other.
 */
export class PinKeeper {
  readonly #options: PinKeeperOptions
  readonly #failAt: FailAt
  /** About to be pinned: it must not go between the look and the file. */
  readonly #held: Leases

  constructor(options: PinKeeperOptions) {
    this.#options = options
    this.#failAt = options.failAt ?? NEVER_FAILS
    this.#held = new Leases(options)
  }

  isHeld(digest: Digest): boolean {
    return this.#held.has(digest)
  }

  async keep(pin: Pin): Promise<void> {
    const { files, index, catalog } = this.#options
    await files.write(pin)
    index.put(pin)
    await catalog.putPins([pin])
    this.#failAt('pin.afterRow')
  }

  /** `undefined` when it is not here: then nothing is kept. */
  async keepDigest<P extends ReferencePin>(
    place: Place,
    digest: Digest | undefined,
    make: (content: Content) => P,
  ): Promise<P | undefined> {
    if (digest === undefined) return undefined
    const release = await this.#held.hold(digest)
    try {
      const content = await contentOf(this.#options, place, digest)
      if (content === undefined) return undefined
      const pin = make(content)
      await this.keep(pin)
      return pin
    } finally {
      release()
    }
  }

  /** Files of what a pattern has matched go first: without the pattern nobody would look for them. */
  async remove(pins: readonly Pin[]): Promise<void> {
    const { files, index, catalog } = this.#options
    const patterns = new Set(pins.filter((pin) => pin.kind === 'pattern'))
    const matches = index.all().filter((pin) => {
      const pattern = index.patternOf(pin)
      return pattern !== undefined && patterns.has(pattern)
    })
    for (const some of [matches, pins]) {
      if (some.length === 0) continue
      await files.remove(some)
      for (const pin of some) index.delete(pin)
      await catalog.deletePins(some)
    }
  }

  /** Writes into its file what the catalog has learned since. @returns whether that was anything */
  async renew(pin: ReferencePin): Promise<boolean> {
    const { files, index } = this.#options
    if (!index.has(pin)) return false
    const content = await contentOf(this.#options, placeOf(pin), pin.digest)
    if (content === undefined) return false
    const isPublicAsBefore = (content.publicAt === undefined) === (pin.publicAt === undefined)
    const isSame =
      content.unproven.join() === pin.unproven.join() &&
      content.referrers.join() === pin.referrers.join()
    if (isPublicAsBefore && isSame) return false
    const renewed = { ...pin, ...content }
    await files.write(renewed)
    index.put(renewed)
    return true
  }
}
