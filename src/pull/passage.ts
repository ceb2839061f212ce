import type { Digest } from '../oci/digest.ts'
import type { ByteRange, Content, Lent } from './content.ts'
import type { Flight } from './flight.ts'

/**
 * A place on a flight. A caller may read late, or several times: when the flight has landed by then,
 * its bytes are read from where it left them.
 */
export class Passage implements Content {
  readonly size: number
  readonly #flight: Flight
  readonly #openStored: (digest: Digest) => Promise<Content | undefined>

  constructor(flight: Flight, openStored: (digest: Digest) => Promise<Content | undefined>) {
    this.size = flight.size
    this.#flight = flight
    this.#openStored = openStored
  }

  lend(range: ByteRange): Lent | undefined {
    return this.#flight.lend(range)
  }

  async *read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const flight = this.#flight
    const landed =
      flight.hasLanded && flight.isStored ? await this.#openStored(flight.digest) : undefined
    yield* (landed ?? flight).read(range, signal)
  }
}
