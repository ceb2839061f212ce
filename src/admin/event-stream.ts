import type { Response } from 'express'

import { EVENTS_TYPE } from './media-types.ts'

const RETRY_MS = 2_000
const HEARTBEAT_MS = 15_000
/** Who is so far behind is cut off, comes again, and is told how it stands. */
const MAX_BEHIND_BYTES = 1024 * 1024

/**
 * An answer of server-sent events: what a page listens to with `EventSource`, which comes again by
 * itself when the connection breaks and says which event it had last.
 */
export class EventStream {
  readonly #response: Response
  #seq = 0

  constructor(response: Response) {
    this.#response = response
    response.status(200).setHeader('Content-Type', EVENTS_TYPE)
    response.flushHeaders()
    response.write(`retry: ${RETRY_MS}\n\n`)
    // A proxy takes what is silent for long for dead.
    const heartbeat = setInterval(() => response.write(':\n\n'), HEARTBEAT_MS).unref()
    response.once('close', () => clearInterval(heartbeat))
  }

  /** @param id default: a number of this connection */
  send(event: string, data: object, id = String(++this.#seq)): void {
    const response = this.#response
    if (!response.writable) return
    if (response.writableLength > MAX_BEHIND_BYTES) {
      response.destroy()
      return
    }
    response.write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /** Who reads too slowly misses it. */
  offer(event: string, data: object): void {
    if (!this.#response.writableNeedDrain) this.send(event, data)
  }

  end(): void {
    this.#response.end()
  }
}
