import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

import { ClientGoneError } from '../api/body.ts'
import type { Carrier } from './carrier.ts'
import { without } from './raw-headers.ts'
import { Reach } from './reach.ts'
import { PARCEL, type ParcelNote, REACH } from './relayed.ts'

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
  readonly #reach = new Reach()
  #note: ParcelNote | undefined
  readonly #carrying = new AbortController()
  /** The body is, or was, sent from here. */
  #isCarried = false
  /** The request has a body only to say in it what becomes of a note. */
  #mayReport = false

  constructor(options: ErrandOptions) {
    this.#options = options
  }

  /** @param sends what follows the head: the client's body, what becomes of a note, or nothing */
  go(sends: 'body' | 'note' | 'nothing'): void {
    const { incoming, outgoing, response } = this.#options
    // Without an answer there is none to give: the other process ends, or has cut this one short.
    outgoing.on('error', () => response.destroy())
    // What is written to a client that has just left.
    response.on('error', () => undefined)
    outgoing.once('response', (answer) => this.#answered(answer))
    response.once('close', () => {
      if (!response.writableFinished && !this.#isCarried) outgoing.destroy()
    })
    if (sends === 'nothing') outgoing.end()
    if (sends === 'body') pipeline(incoming, outgoing).catch(() => outgoing.destroy())
    if (sends === 'note') {
      this.#mayReport = true
      outgoing.on('information', ({ headers }) => this.#hinted(headers))
      outgoing.flushHeaders()
    }
  }

  #hinted(headers: IncomingHttpHeaders): void {
    const note = headers[PARCEL]
    const reach = headers[REACH]
    if (typeof note === 'string') this.#noted(JSON.parse(note) as ParcelNote)
    if (typeof reach === 'string') this.#reach.take(reach)
  }

  #noted(note: ParcelNote): void {
    const { outgoing: report, response, carrier } = this.#options
    this.#note = note
    this.#isCarried = true
    const { signal } = this.#carrying
    response.once('close', () => this.#carrying.abort(new ClientGoneError()))
    const arrivedAt = this.#arrivedAt
    const carriage = { note, reach: this.#reach, report, response, signal, arrivedAt }
    carrier.carry(carriage).then(
      (isDone) => {
        this.#isCarried = isDone
      },
      () => response.destroy(),
    )
  }

  #answered(answer: IncomingMessage): void {
    const { outgoing, response } = this.#options
    if (this.#isCarried) {
      const isOver = outgoing.writableEnded
      // One that comes before the last report says what has gone wrong, to whoever has no other yet.
      if (isOver || response.headersSent) {
        if (!isOver) response.destroy()
        answer.resume()
        return
      }
      this.#isCarried = false
      this.#carrying.abort(new ClientGoneError())
    }
    // There is nothing to report. Without its end the connection would be neither used again nor closed.
    if (this.#mayReport && !outgoing.writableEnded) outgoing.end()
    if (!response.headersSent) {
      response.writeHead(answer.statusCode ?? 502, without(OWN_HEADERS, answer.rawHeaders))
    } else if (answer.statusCode !== this.#note?.status) {
      // What was to come after the bytes that were sent does not.
      response.destroy()
      answer.destroy()
      return
    }
    passOn(answer, response)
  }
}

/** Node's own pipeline costs more than all else that is done for a manifest. */
function passOn(answer: IncomingMessage, response: ServerResponse): void {
  answer.on('data', (bytes: Buffer) => {
    if (!response.write(bytes)) answer.pause()
  })
  response.on('drain', () => answer.resume())
  answer.once('end', () => response.end())
  // What comes short here has to come short there; nobody needs what nobody takes.
  answer.once('error', () => response.destroy())
  answer.once('close', () => {
    if (!answer.complete) response.destroy()
  })
  response.once('close', () => {
    if (!response.writableFinished) answer.destroy()
  })
}
