import type { Logger } from '../log.ts'
import type { ByteSource } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import type { BlobStore, Catalog, Ingest, Place } from '../store/ports.ts'
import { Coalescer } from './coalesce.ts'
import type { Content } from './content.ts'
import type { Epochs } from './epochs.ts'
import { toRegistryError } from './failures.ts'
import { Flight } from './flight.ts'
import type { Negatives } from './negatives.ts'
import { Passage } from './passage.ts'
import { keyOf, keyPrefix, type Outcome, type Pull } from './pull.ts'

export interface PulledBlob {
  readonly content: Content
  readonly source: ByteSource
  readonly outcome: Outcome
}

/** Stored blobs as content, and what a flight leaves for those who come after it. */
export interface Shelves {
  open(digest: Digest): Promise<Content | undefined>
  /** Verified chunks that are still in memory. */
  remember(digest: Digest, size: number, chunks: ReadonlyMap<number, Buffer>): void
}

export interface BlobsOptions {
  readonly blobs: BlobStore
  readonly shelves: Shelves
  readonly catalog: Catalog
  readonly negatives: Negatives
  readonly epochs: Epochs
  readonly logger: Logger
  readonly events: BlobEvents
  /** Epoch milliseconds. */
  readonly now: () => number
}

export interface BlobEvents {
  used(digest: Digest): void
  fetched(upstream: string, bytes: number): void
  resumed(upstream: string): void
  mismatched(upstream: string, what: 'digest' | 'size'): void
  storeFailed(operation: string, error: unknown): void
}

interface Departure {
  readonly pull: Pull
  /** Rejects only when it could not begin. */
  readonly flight: Promise<Flight>
}

/** Between the look into the store and the departure, another flight has landed. */
class LandedError extends Error {
  override readonly name = 'LandedError'
}

/** A digest → its bytes: from the store, else from the flight under way, else from a new one. */
export class Blobs {
  readonly #options: BlobsOptions
  readonly #departures = new Map<Digest, Departure>()
  readonly #questions = new Coalescer<{ readonly size: number | undefined }>()

  constructor(options: BlobsOptions) {
    this.#options = options
  }

  /** What HEAD answers. Downloads nothing. */
  async stat(
    pull: Pull,
    digest: Digest,
  ): Promise<{ readonly size: number | undefined; readonly outcome: Outcome }> {
    try {
      const size = await this.#statStored(digest)
      if (size !== undefined && (await this.#mayServe(pull, digest))) {
        return { size, outcome: { result: 'hit' } }
      }
      const remote = await this.#confirm(pull, digest)
      const result = size === undefined ? 'miss' : 'revalidated'
      return { size: size ?? remote.size, outcome: { result } }
    } catch (error) {
      throw toRegistryError(error, 'blob')
    }
  }

  /** @throws {RegistryError} before the first byte; afterwards the content's reader throws */
  async open(pull: Pull, digest: Digest): Promise<PulledBlob> {
    try {
      return (await this.#openStored(pull, digest)) ?? (await this.#board(pull, digest))
    } catch (error) {
      if (error instanceof LandedError) return this.open(pull, digest)
      throw toRegistryError(error, 'blob')
    }
  }

  /** A delete went through to the registry. */
  async forget(place: Place, digest: Digest): Promise<void> {
    await this.#options.catalog.deleteMember(place, digest, 'blob')
  }

  /** Downloads under way, by upstream. */
  flights(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { pull } of this.#departures.values()) {
      counts.set(pull.place.upstream, (counts.get(pull.place.upstream) ?? 0) + 1)
    }
    return counts
  }

  /** Ends all downloads. What has arrived stays on disk, to be resumed. */
  async stop(): Promise<void> {
    const departures = [...this.#departures.values()]
    const flights = await Promise.allSettled(departures.map(({ flight }) => flight))
    for (const one of flights) if (one.status === 'fulfilled') one.value.stop()
    await Promise.allSettled(flights.map((one) => one.status === 'fulfilled' && one.value.landed))
  }

  async #openStored(pull: Pull, digest: Digest): Promise<PulledBlob | undefined> {
    const { shelves, events } = this.#options
    if ((await this.#statStored(digest)) === undefined) return undefined
    const isProven = await this.#mayServe(pull, digest)
    if (!isProven) await this.#confirm(pull, digest)
    const content = await shelves.open(digest)
    if (content === undefined) return undefined
    events.used(digest)
    const outcome = { result: isProven ? 'hit' : 'revalidated' } as const
    return { content, source: 'cache', outcome }
  }

  /** A file of another size than was committed is damaged: it is put aside and fetched again. */
  async #statStored(digest: Digest): Promise<number | undefined> {
    const { blobs, catalog, events } = this.#options
    const size = await blobs.stat(digest)
    const committed = size === undefined ? undefined : await catalog.getBlob(digest)
    if (committed === undefined || committed.size === size) return size
    await blobs.quarantine(digest)
    await catalog.deleteBlob(digest)
    events.storeFailed('blob', new ContentMismatchError('size', `${committed.size}`, `${size}`))
    return undefined
  }

  /**
   * Knowing a digest is no right to it, and whoever can push a manifest can list it: the registry
   * must once have given or confirmed it in this repository.
   */
  async #mayServe(pull: Pull, digest: Digest): Promise<boolean> {
    const member = await this.#options.catalog.getMember(pull.place, digest, 'blob')
    if (member === undefined || member.isProven) return member !== undefined
    // It may have come this very moment, and be under its name before that is written down.
    const departure = this.#departures.get(digest)
    const flight = await departure?.flight.catch(() => undefined)
    return flight?.isVerified === true && isSamePlace(departure?.pull, pull)
  }

  /** Else the registry must say that this repository has it, to this caller. */
  async #confirm(pull: Pull, digest: Digest): Promise<{ readonly size: number | undefined }> {
    const { upstream, place } = pull
    const { negatives, epochs } = this.#options
    const epoch = epochs.of(place)
    const key = keyOf(pull, String(epoch), digest)
    const { answer: remote } = await this.#questions.ask(key, () =>
      negatives.asked(key, () => upstream.registry.headBlob(place.repository, digest, pull)),
    )
    await this.#learnMember(place, digest, remote.size ?? -1, epoch)
    return remote
  }

  /** What was asked before a write says nothing of the place after it. */
  async #learnMember(place: Place, digest: Digest, size: number, epoch: number): Promise<void> {
    const { catalog, epochs, events } = this.#options
    if (epochs.of(place) !== epoch) return
    try {
      await catalog.putMember(place, { digest, size, kind: 'blob' })
    } catch (error) {
      events.storeFailed('member', error)
    }
  }

  /** Joins the flight under way, or starts one. */
  async #board(pull: Pull, digest: Digest): Promise<PulledBlob> {
    for (;;) {
      const departure = this.#departures.get(digest)
      if (departure === undefined) return this.#depart(pull, digest)
      const boarded = await this.#join(departure, pull, digest)
      if (boarded !== undefined) return boarded
    }
  }

  /** `undefined`: it has failed for reasons of its own, or its first bytes are gone. */
  async #join(departure: Departure, pull: Pull, digest: Digest): Promise<PulledBlob | undefined> {
    const isSame = keyOf(departure.pull) === keyOf(pull)
    if (!isSame && !(await this.#mayJoin(departure, pull, digest))) {
      await this.#confirm(pull, digest)
    }
    const flight = await departure.flight
    try {
      await flight.opened
    } catch (error) {
      // A refusal of somebody else's credential says nothing about this caller.
      if (isSame) throw error
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
    const member = await this.#options.catalog.getMember(pull.place, digest, 'blob')
    if (member === undefined) return false
    return member.isProven || isSamePlace(departure.pull, pull)
  }

  async #depart(pull: Pull, digest: Digest): Promise<PulledBlob> {
    const { negatives, epochs } = this.#options
    const epoch = epochs.of(pull.place)
    return negatives.asked(keyOf(pull, String(epoch), digest), async () => {
      const flight = this.#start(pull, digest, epoch)
      const departure = { pull, flight }
      this.#departures.set(digest, departure)
      const leave = () => {
        if (this.#departures.get(digest) === departure) this.#departures.delete(digest)
      }
      flight.then((one) => one.landed.catch(() => undefined).finally(leave), leave)
      const started = await flight
      await started.opened
      // What a manifest lists is learned together with the stored blob, in one write.
      if ((await this.#options.catalog.getMember(pull.place, digest, 'blob')) === undefined) {
        await this.#learnMember(pull.place, digest, -1, epoch)
      }
      return { content: this.#passage(started), source: 'upstream', outcome: { result: 'miss' } }
    })
  }

  async #start(pull: Pull, digest: Digest, epoch: number): Promise<Flight> {
    const { upstream, place } = pull
    const { catalog, events } = this.#options
    const member = await catalog.getMember(place, digest, 'blob')
    // While this departure stands nobody else can land, so this look is the last word.
    if ((await this.#statStored(digest)) !== undefined) throw new LandedError()
    const hint = member === undefined || member.size < 0 ? undefined : member.size
    const flight = new Flight({
      digest,
      upstream: place.upstream,
      open: (offset, signal) => {
        const options = { as: pull.as, offset, signal }
        return upstream.registry.openBlob(place.repository, digest, options)
      },
      ingest: await this.#ingest(digest),
      sizeHint: hint,
      events: {
        fetched: (bytes) => events.fetched(place.upstream, bytes),
        resumed: () => events.resumed(place.upstream),
        storeFailed: (error) => events.storeFailed('blob', error),
      },
    })
    flight.landed.then(
      () => this.#land(flight, place, epoch),
      (error: unknown) => this.#crash(pull, digest, error),
    )
    return flight
  }

  #passage(flight: Flight): Passage {
    return new Passage(flight, (digest) => this.#options.shelves.open(digest))
  }

  async #ingest(digest: Digest): Promise<Ingest | undefined> {
    try {
      return await this.#options.blobs.ingest(digest)
    } catch (error) {
      this.#options.events.storeFailed('ingest', error)
      return undefined
    }
  }

  async #land(flight: Flight, place: Place, epoch: number): Promise<void> {
    const { catalog, shelves, epochs, events, now } = this.#options
    const { digest, size } = flight
    if (!flight.isStored) return
    try {
      const from = epochs.of(place) === epoch ? place : undefined
      await catalog.putBlob(digest, size, now(), from)
      shelves.remember(digest, size, flight.chunks)
    } catch (error) {
      events.storeFailed('catalog', error)
    }
  }

  #crash(pull: Pull, digest: Digest, error: unknown): void {
    const { logger, events } = this.#options
    const { upstream, repository } = pull.place
    if (error instanceof ContentMismatchError) events.mismatched(upstream, error.what)
    const reason = error instanceof Error ? error.message : String(error)
    logger.warn({ upstream, repository, digest, reason }, 'download failed')
  }
}

function isSamePlace(one: Pull | undefined, other: Pull): boolean {
  return one !== undefined && keyPrefix(one.place) === keyPrefix(other.place)
}
