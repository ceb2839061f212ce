import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'

/** Nobody is left to be told of anything. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'
}

/**
 * How long may be waited for a client. One that takes nothing at all is the listener's to end; this
 * is for those who take a little now and then, and would hold what they hold for ever.
 */
export interface Patience {
  /** So many bytes have to be taken … */
  readonly bytes: number
  /** … in this time, in which only the waiting for the client counts; in milliseconds. */
  readonly ms: number
}

/** Some 3.5 KiB/s: less than a modem, and less than containers can be started with. */
const PATIENCE: Patience = { bytes: 1024 * 1024, ms: 300_000 }
/**
 * A client as fast as memory never makes us wait, and would keep everybody else waiting: after this
 * many bytes in one go the others have a turn.
 */
const TURN_BYTES = 2 * 1024 * 1024

/**
 * Writes `pieces` as the client takes them. What fails on the way destroys the connection: a cut is
 * the only way left to say that a body is not whole.
 *
 * @returns whether all of them were written
 */
export async function writeBody(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array>,
  onWritten: (bytes: number) => void,
  patience: Patience = PATIENCE,
): Promise<boolean> {
  const client = new Client(response, patience)
  try {
    let turn = 0
    for await (const piece of pieces) {
      if (response.destroyed) return false
      const isRoomLeft = response.write(piece)
      onWritten(piece.byteLength)
      if (!isRoomLeft && !(await client.drained())) return false
      client.took(piece.byteLength)
      turn += piece.byteLength
      if (turn < TURN_BYTES) continue
      turn = 0
      await setImmediate()
    }
    return true
  } catch (error) {
    response.destroy()
    throw error
  }
}

/** Whoever takes a body, and how long was waited for that. */
class Client {
  readonly #response: ServerResponse
  readonly #patience: Patience
  #takenBytes = 0
  #waitedMs = 0

  constructor(response: ServerResponse, patience: Patience) {
    this.#response = response
    this.#patience = patience
  }

  took(bytes: number): void {
    this.#takenBytes += bytes
    if (this.#takenBytes < this.#patience.bytes) return
    this.#takenBytes = 0
    this.#waitedMs = 0
  }

  /** Waits until more can be written; false when the client has gone, or was let go. */
  async drained(): Promise<boolean> {
    const response = this.#response
    if (response.destroyed) return false
    const left = new AbortController()
    const onClose = () => left.abort()
    response.once('close', onClose)
    const startedAt = performance.now()
    const limit = setTimeout(() => response.destroy(), this.#patience.ms - this.#waitedMs)
    try {
      await once(response, 'drain', { signal: left.signal })
      return true
    } catch {
      return false
    } finally {
      clearTimeout(limit)
      this.#waitedMs += performance.now() - startedAt
      response.off('close', onClose)
    }
  }
}
