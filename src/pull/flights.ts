import type { Logger } from '../log.ts'
import type { FetchReason } from '../metrics/pulls.ts'
import type { Digest } from '../oci/digest.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import type { BlobStore, Catalog, Ingest, Place } from '../store/ports.ts'
import { ChunkPool } from './chunk-pool.ts'
import type { Content } from './content.ts'
import type { Epochs } from './epochs.ts'
import { Flight } from './flight.ts'
import { Hashers } from './hashers.ts'
import type { Pull } from './pull.ts'

/** Stored blobs as content, and what a flight leaves for those who come after it. */
export interface Shelves {
  /**
   * @param verifiedAt when its bytes were last hashed, epoch milliseconds; what is not known, or long
   *   ago, is hashed while it is sent
   */
  open(digest: Digest, verifiedAt: number | undefined): Promise<Content | undefined>
  /** Verified chunks that are still in memory. */
  remember(digest: Digest, size: number, chunks: ReadonlyMap<number, Buffer>): void
}

export interface FlightsOptions {
  readonly blobs: BlobStore
  readonly shelves: Shelves
  readonly catalog: Catalog
  readonly epochs: Epochs
  readonly logger: Logger
  readonly events: FlightsEvents
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** How long a broken download waits for a registry that says when it may be asked again. */
  readonly patienceMs?: number | undefined
}

export interface FlightsEvents {
  fetched(upstream: string, bytes: number, reason: FetchReason): void
  /** All of it has come, is right, and is stored if it could be; `ms` since it was asked for. */
  downloaded(upstream: string, bytes: number, ms: number): void
  resumed(upstream: string): void
  mismatched(upstream: string, what: 'digest' | 'size'): void
  broken(upstream: string, reason: string): void
  storeFailed(operation: string, error: unknown): void
}

export interface Departure {
  readonly pull: Pull
  /** Rejects only when it could not begin. */
  readonly flight: Promise<Flight>
  /** Somebody waits for it from now on. */
  raise(): void
}

/** The downloads under way: at most one for a digest. */
export class Flights {
  readonly #options: FlightsOptions
  readonly #departures = new Map<Digest, Departure>()
  readonly #pool = new ChunkPool()
  readonly #hashers: Hashers

  constructor(options: FlightsOptions) {
    this.#options = options
    const { logger } = options
    const onFailed = ({ message }: Error) =>
      logger.error({ reason: message }, 'from now on downloads are hashed by the main thread')
    this.#hashers = new Hashers({ onFailed })
  }

  get(digest: Digest): Departure | undefined {
    return this.#departures.get(digest)
  }

  /** By upstream. */
  counts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { pull } of this.#departures.values()) {
      counts.set(pull.place.upstream, (counts.get(pull.place.upstream) ?? 0) + 1)
    }
    return counts
  }

  /**
   * Begins a download, as whom and where `pull` says. From now until it has landed it is the only
   * one of its digest.
   *
   * @param mayDepart asked when no other can land any more; what it throws calls the flight off
   */
  depart(
    pull: Pull,
    digest: Digest,
    epoch: number,
    mayDepart: () => Promise<void>,
  ): Promise<Flight> {
    const raising = new AbortController()
    const flight = mayDepart().then(() => this.#start(pull, digest, epoch, raising.signal))
    const departure = { pull, flight, raise: () => raising.abort() }
    this.#departures.set(digest, departure)
    const leave = () => {
      if (this.#departures.get(digest) === departure) this.#departures.delete(digest)
      if (this.#departures.size > 0) return
      this.#pool.rest()
      this.#hashers.rest()
    }
    flight.then((one) => one.landed.catch(() => undefined).finally(leave), leave)
    return flight
  }

  /** Ends all. What has arrived stays on disk, to be resumed. */
  async stop(): Promise<void> {
    const departures = [...this.#departures.values()]
    const flights = await Promise.allSettled(departures.map(({ flight }) => flight))
    for (const one of flights) if (one.status === 'fulfilled') one.value.stop()
    await Promise.allSettled(flights.map((one) => one.status === 'fulfilled' && one.value.landed))
    await this.#hashers.close()
  }

  async #start(pull: Pull, digest: Digest, epoch: number, raised: AbortSignal): Promise<Flight> {
    const { upstream, place, reason = 'pull' } = pull
    const urgency = pull.urgency === undefined ? {} : { urgency: pull.urgency, raised }
    const { catalog, events, elapsed, patienceMs } = this.#options
    const member = await catalog.getMember(place, digest, 'blob')
    const ingest = await this.#ingest(digest)
    const sizeHint = member === undefined || member.size < 0 ? undefined : member.size
    const startedAt = elapsed()
    const flight = new Flight({
      digest,
      upstream: place.upstream,
      open: async (offset, signal) => {
        const options = { as: pull.as, offset, signal, ...urgency }
        const remote = await upstream.registry.openBlob(place.repository, digest, options)
        const size = remote.size ?? sizeHint
        if (size !== undefined) ingest?.expect(size)
        return remote
      },
      ingest,
      pool: this.#pool,
      hash: (digest, size) => this.#hashers.begin(digest, size),
      elapsed,
      patienceMs,
      sizeHint,
      events: {
        fetched: (bytes) => events.fetched(place.upstream, bytes, reason),
        resumed: () => events.resumed(place.upstream),
        mismatched: (error) => events.mismatched(place.upstream, error.what),
        broken: (reason) => events.broken(place.upstream, reason),
        storeFailed: (error) => events.storeFailed('blob', error),
      },
    })
    flight.landed.then(
      () => {
        events.downloaded(place.upstream, flight.size, elapsed() - startedAt)
        return this.#land(flight, place, epoch)
      },
      (error: unknown) => this.#crash(pull, digest, error),
    )
    return flight
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
      shelves.remember(digest, size, flight.keepsakes)
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
