import type { ServerResponse } from 'node:http'

import { Rounds } from './rounds.ts'

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

/** Writes bodies to clients. One for a process: they share the turns of its event loop. */
export class BodyWriter {
  readonly #rounds = new Rounds()
  readonly #patience: Patience

  constructor(patience: Patience = PATIENCE) {
    this.#patience = patience
  }

  /**
   * Writes `pieces` as the client takes them, each when the kernel has all of the one before: until
   * then that one's memory is in use, and longer it is not lent. What fails on the way destroys the
   * connection: a cut is the only way left to say that a body is not whole.
   *
   * @returns whether all of them were written
   */
  async write(
    response: ServerResponse,
    pieces: AsyncIterable<Uint8Array>,
    onWritten: (bytes: number) => void,
  ): Promise<boolean> {
    const client = new Client(response, this.#patience)
    try {
      for await (const piece of pieces) {
        await this.#rounds.enter(piece.byteLength)
        if (response.destroyed) return false
        const taken = client.take(piece)
        onWritten(piece.byteLength)
        if (!(await taken)) return false
      }
      return true
    } catch (error) {
      response.destroy()
      throw error
    } finally {
      client.leave()
    }
  }
}

/** Whoever takes a body, and how long was waited for that. */
class Client {
  readonly #response: ServerResponse
  readonly #patience: Patience
  #takenBytes = 0
  #waitedMs = 0
  readonly #onClose = () => this.#settle?.(false)
  #settle: ((isTaken: boolean) => void) | undefined

  constructor(response: ServerResponse, patience: Patience) {
    this.#response = response
    this.#patience = patience
    response.once('close', this.#onClose)
  }

  /** @returns once the kernel has all of it; false when the client has gone, or was let go */
  async take(piece: Uint8Array): Promise<boolean> {
    const response = this.#response
    const taken = Promise.withResolvers<boolean>()
    this.#settle = taken.resolve
    const startedAt = performance.now()
    const limit = setTimeout(() => response.destroy(), this.#patience.ms - this.#waitedMs)
    response.write(piece, (error) => taken.resolve(error === undefined || error === null))
    const isTaken = await taken.promise
    clearTimeout(limit)
    this.#waitedMs += performance.now() - startedAt
    this.#took(piece.byteLength)
    return isTaken
  }

  /** Nothing more is written. */
  leave(): void {
    this.#response.off('close', this.#onClose)
  }

  #took(bytes: number): void {
    this.#takenBytes += bytes
    if (this.#takenBytes < this.#patience.bytes) return
    this.#takenBytes = 0
    this.#waitedMs = 0
  }
}
