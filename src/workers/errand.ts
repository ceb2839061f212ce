import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

import type { Carrier } from './carrier.ts'
import { without } from './raw-headers.ts'
import { PARCEL, type ParcelNote } from './relayed.ts'

/** Of the answer's connection alone, or of whoever answers. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'date',
])

export interface ErrandOptions {
  readonly incoming: IncomingMessage
  /** The same, on its way to the process that decides. */
  readonly outgoing: ClientRequest
  /** To the client. */
  readonly response: ServerResponse
  readonly carrier: Carrier
}

/** One request that is passed on, and its answer. */
export class Errand {
  readonly #options: ErrandOptions
  readonly #arrivedAt = performance.now()
  /** The body is, or was, sent from here. */
  #isCarried = false

  constructor(options: ErrandOptions) {
    this.#options = options
  }

  /** @param sends what follows the head: the client's body, what becomes of a note, or nothing */
  go(sends: 'body' | 'note' | 'nothing'): void {
    const { incoming, outgoing, response } = this.#options
    // Without an answer there is none to give: the other process ends, or has cut this one short.
    outgoing.on('error', () => response.destroy())
    outgoing.once('response', (answer) => void this.#answered(answer))
    response.once('close', () => {
      if (!response.writableFinished && !this.#isCarried) outgoing.destroy()
    })
    if (sends === 'nothing') outgoing.end()
    if (sends === 'body') pipeline(incoming, outgoing).catch(() => outgoing.destroy())
    if (sends === 'note') {
      outgoing.on('information', ({ headers }) => this.#noted(headers[PARCEL]))
      outgoing.flushHeaders()
    }
  }

  #noted(text: string | string[] | undefined): void {
    if (typeof text !== 'string') return
    const { outgoing: report, response, carrier } = this.#options
    const note = JSON.parse(text) as ParcelNote
    this.#isCarried = true
    const carriage = { note, report, response, arrivedAt: this.#arrivedAt }
    carrier.carry(carriage).then(
      (isDone) => {
        this.#isCarried = isDone
      },
      () => response.destroy(),
    )
  }

  async #answered(answer: IncomingMessage): Promise<void> {
    const { outgoing, response } = this.#options
    if (this.#isCarried) {
      // It follows what was reported. One that comes earlier says that something went wrong.
      if (!outgoing.writableEnded) response.destroy()
      answer.resume()
      return
    }
    if (!outgoing.writableEnded && outgoing.getHeader(PARCEL) !== undefined) outgoing.end()
    try {
      response.writeHead(answer.statusCode ?? 502, without(OWN_HEADERS, answer.rawHeaders))
      await pipeline(answer, response)
    } catch {
      // What comes short here has to come short there.
      response.destroy()
      answer.destroy()
    }
  }
}
