import type { ByteRange, Lent } from '../pull/content.ts'

/** A body that is not sent from here. */
export interface Parcel {
  readonly status: 200 | 206
  readonly lent: Lent
  readonly range: ByteRange
}

/** The process that has the client's connection, and can read stored blobs by itself. */
export interface Courier {
  /** What costs less to send from here than to have it opened there; in bytes. */
  readonly leastBytes: number
  /** How much longer a client may wait for what comes by way of a file that is being filled; milliseconds. */
  readonly patienceMs: number
  /**
   * Sends the head, as it was set on the response, and the bytes.
   *
   * @param onSent told how many more have gone, now and then and at the end
   * @returns how many bytes it has sent: fewer than there are where it cannot go on, and the response has to be
   *   ended with the rest
   * @throws {ClientGoneError} when the client left or the bytes are condemned, and what failed on the way
   */
  carry(parcel: Parcel, onSent: (sent: Sent) => void): Promise<number>
}

export interface Sent {
  readonly bytes: number
  /** When the first of all went, as `performance.now()` says it. */
  readonly firstAt: number
}
