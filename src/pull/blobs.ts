import type { ByteSource } from '../metrics/pulls.ts'
import type { Digest } from '../oci/digest.ts'
import type { Damage } from '../store/damage.ts'
import type { BlobRecord, Place } from '../store/ports.ts'
import type { Content } from './content.ts'
import { toRegistryError } from './failures.ts'
import type { Flight } from './flight.ts'
import { type Departure, Flights, type FlightsEvents, type FlightsOptions } from './flights.ts'
import { HealingContent } from './healing.ts'
import type { Negatives } from './negatives.ts'
import { Passage } from './passage.ts'
import { keyOf, keyPrefix, type Outcome, type Pull } from './pull.ts'
import type { Restoration } from './restoration.ts'
import { Standing } from './standing.ts'

export interface PulledBlob {
  readonly content: Content
  readonly source: ByteSource
  readonly outcome: Outcome
}

export interface BlobsOptions extends FlightsOptions {
  readonly negatives: Negatives
  readonly restoration: Restoration
  readonly damage: Pick<Damage, 'report'>
  readonly events: BlobEvents
}

export interface BlobEvents extends FlightsEvents {
  used(digest: Digest): void
}

export interface ObtainOptions {
  /** Told of what comes from the registry for it, as it comes. */
  readonly onBytes?: (bytes: number) => void
  /** Ends the reading, though not the download; default: that of the pull. */
  readonly signal?: AbortSignal | undefined
}

/** Between the look into the store and the departure, another flight has landed. */
class LandedError extends Error {
  override readonly name = 'LandedError'
}

/** A digest → its bytes: from the store, else from the flight under way, else from a new one. */
export class Blobs {
  readonly #options: BlobsOptions
  readonly #standing: Standing
  readonly #flights: Flights

  constructor(options: BlobsOptions) {
    const { catalog, negatives, epochs, restoration, events } = options
    this.#options = options
    const onStoreFailed = events.storeFailed
    this.#standing = new Standing({ catalog, negatives, epochs, restoration, onStoreFailed })
    this.#flights = new Flights(options)
  }

  /** What HEAD answers. Downloads nothing. */
  async stat(
    pull: Pull,
    digest: Digest,
  ): Promise<{ readonly size: number | undefined; readonly outcome: Outcome }> {
    try {
      const size = (await this.#statStored(digest))?.size ?? (await this.#landingSize(digest))
      if (size !== undefined && (await this.#mayServe(pull, digest))) {
        return { size, outcome: { result: 'hit' } }
      }
      const remote = await this.#standing.confirm(pull, digest)
      const result = size === undefined ? 'miss' : 'revalidated'
      return { size: size ?? remote.size, outcome: { result } }
    } catch (error) {
      throw toRegistryError(error, 'blob')
    }
  }

  /** @throws {RegistryError} before the first byte; afterwards the content's reader throws */
  async open(pull: Pull, digest: Digest): Promise<PulledBlob> {
    try {
      const stored = await this.#openStored(pull, digest)
      if (stored === undefined) return await this.#board(pull, digest)
      const content = new HealingContent(stored.content, () => this.#reopen(pull, digest))
      return { ...stored, content }
    } catch (error) {
      if (error instanceof LandedError) return this.open(pull, digest)
      throw toRegistryError(error, 'blob')
    }
  }

  /**
   * Sees to it that the place has it here, as far as the disk takes it.
   *
   * @returns whether it had to be fetched
   * @throws {RegistryError}
   */
  async obtain(
    pull: Pull,
    digest: Digest,
    { onBytes, signal = pull.signal }: ObtainOptions = {},
  ): Promise<boolean> {
    const { content, source } = await this.open(pull, digest)
    // Stored bytes are not read for it: whether they are right is for others to check. All of it may
    // have come for somebody else just now, and wait for the disk.
    if (source === 'cache') {
      await this.settled(digest)
      return false
    }
    const range = { start: 0, end: content.size - 1 }
    for await (const bytes of content.read(range, signal)) onBytes?.(bytes.byteLength)
    await this.settled(digest)
    return true
  }

  /** A delete went through to the registry. */
  forget(place: Place, digest: Digest): Promise<void> {
    return this.#standing.forget(place, digest)
  }

  /** Downloads under way, by upstream. */
  flights(): ReadonlyMap<string, number> {
    return this.#flights.counts()
  }

  /**
   * Resolves once the download of it that is under way, if there is one, is stored or given up: its
   * readers have their last byte before the disk has.
   */
  async settled(digest: Digest): Promise<void> {
    const flight = await this.#flights.get(digest)?.flight.catch(() => undefined)
    await flight?.landed.catch(() => undefined)
  }

  /** Ends all downloads. What has arrived stays on disk, to be resumed. */
  stop(): Promise<void> {
    return this.#flights.stop()
  }

  /** The store has failed to give its first byte. */
  async #reopen(pull: Pull, digest: Digest): Promise<Content> {
    try {
      const pulled = (await this.#openStored(pull, digest)) ?? (await this.#board(pull, digest))
      return pulled.content
    } catch (error) {
      if (error instanceof LandedError) return this.#reopen(pull, digest)
      throw toRegistryError(error, 'blob')
    }
  }

  async #openStored(pull: Pull, digest: Digest): Promise<PulledBlob | undefined> {
    const { shelves, events } = this.#options
    const stored = await this.#statStored(digest)
    if (stored === undefined) return undefined
    const isProven = await this.#mayServe(pull, digest)
    if (!isProven) await this.#standing.confirm(pull, digest)
    const content = await shelves.open(digest, stored.verifiedAt)
    if (content === undefined) return undefined
    events.used(digest)
    const outcome = { result: isProven ? 'hit' : 'revalidated' } as const
    return { content, source: 'cache', outcome }
  }

  /** All bytes have come and are right, but their file does not have its name yet. */
  async #landingSize(digest: Digest): Promise<number | undefined> {
    const flight = await this.#flights.get(digest)?.flight.catch(() => undefined)
    return flight?.isVerified === true ? flight.size : undefined
  }

  /** A file of another size than was committed is damaged: it is put aside and fetched again. */
  async #statStored(digest: Digest): Promise<BlobRecord | undefined> {
    const { catalog, damage } = this.#options
    const size = await this.#statFile(digest)
    if (size === undefined) return undefined
    const committed = await catalog.getBlob(digest)
    if (committed === undefined) return { size, verifiedAt: undefined }
    if (committed.size === size) return committed
    await damage.report(digest, 'size')
    return undefined
  }

  /** A disk that cannot even say whether it is here: it is fetched. */
  async #statFile(digest: Digest): Promise<number | undefined> {
    const { blobs, events } = this.#options
    try {
      return await blobs.stat(digest)
    } catch (error) {
      events.storeFailed('read', error)
      return undefined
    }
  }

  async #mayServe(pull: Pull, digest: Digest): Promise<boolean> {
    const member = await this.#standing.get(pull.place, digest)
    if (member === undefined || member.isProven) return member !== undefined
    // It may have come this very moment, and be under its name before that is written down.
    const departure = this.#flights.get(digest)
    const flight = await departure?.flight.catch(() => undefined)
    return flight?.isVerified === true && isSamePlace(departure?.pull, pull)
  }

  /** Joins the flight under way, or starts one. */
  async #board(pull: Pull, digest: Digest): Promise<PulledBlob> {
    for (;;) {
      const departure = this.#flights.get(digest)
      if (departure === undefined) return this.#depart(pull, digest)
      const boarded = await this.#join(departure, pull, digest)
      if (boarded !== undefined) return boarded
    }
  }

  /** `undefined`: it has failed for reasons of its own, or its first bytes are gone. */
  async #join(departure: Departure, pull: Pull, digest: Digest): Promise<PulledBlob | undefined> {
    // What another configuration's credential is refused says nothing of this one's.
    const isSame =
      keyOf(departure.pull) === keyOf(pull) && departure.pull.upstream === pull.upstream
    if (!isSame && !(await this.#mayJoin(departure, pull, digest))) {
      await this.#standing.confirm(pull, digest)
    }
    const isUrgent = pull.urgency === undefined
    if (isUrgent) departure.raise()
    const flight = await departure.flight
    try {
      await flight.opened
    } catch (error) {
      // A refusal of somebody else's credential says nothing about this caller, nor one of what
      // nobody waited for about who waits.
      if (isSame && (!isUrgent || departure.pull.urgency === undefined)) throw error
      await flight.landed.catch(() => undefined)
      return undefined
    }
    if (!flight.isJoinable) {
      await flight.landed.catch(() => undefined)
      return undefined
    }
    const content = this.#passage(flight)
    if (flight.isVerified) return { content, source: 'cache', outcome: { result: 'hit' } }
    return { content, source: 'upstream', outcome: { result: 'coalesced' } }
  }

  /** A download that the registry opened in this very repository is as good as its confirmation. */
  async #mayJoin(departure: Departure, pull: Pull, digest: Digest): Promise<boolean> {
    const member = await this.#standing.get(pull.place, digest)
    if (member === undefined) return false
    return member.isProven || isSamePlace(departure.pull, pull)
  }

  async #depart(pull: Pull, digest: Digest): Promise<PulledBlob> {
    const { negatives, epochs } = this.#options
    const epoch = epochs.of(pull.place)
    return negatives.asked(keyOf(pull, String(epoch), digest), async () => {
      const flight = await this.#flights.depart(pull, digest, epoch, async () => {
        if ((await this.#statStored(digest)) !== undefined) throw new LandedError()
      })
      await flight.opened
      // What a manifest lists is learned together with the stored blob, in one write.
      if ((await this.#standing.get(pull.place, digest)) === undefined) {
        await this.#standing.learn(pull.place, digest, -1, epoch)
      }
      return { content: this.#passage(flight), source: 'upstream', outcome: { result: 'miss' } }
    })
  }

  #passage(flight: Flight): Passage {
    // It was hashed as it came.
    const { shelves, now } = this.#options
    return new Passage(flight, (digest) => shelves.open(digest, now()))
  }
}

function isSamePlace(one: Pull | undefined, other: Pull): boolean {
  return one !== undefined && keyPrefix(one.place) === keyPrefix(other.place)
}
