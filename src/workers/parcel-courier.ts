import type { IncomingMessage, ServerResponse } from 'node:http'

import { ClientGoneError } from '../api/body.ts'
import type { Courier, Parcel, Sent } from '../api/courier.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import type { Lent } from '../pull/content.ts'
import { PARCEL, type ParcelNote, type ParcelReport, TRUNCATED } from './relayed.ts'

/** The worker could not read on. */
class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
  readonly code: string

  constructor(code: string) {
    super(`a worker could not read a stored blob: ${code}`)
    this.code = code
  }
}

/**
 * Hands a body to the worker that a request has come by. All that is said of it goes over that
 * request's own connection: the note in an early hint, reports in the request's body. So whichever of
 * the two processes ends, the other knows, and a body that is cut here is cut there.
 */
export class ParcelCourier implements Courier {
  readonly leastBytes: number
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #arrivedAt = performance.now()

  constructor(request: IncomingMessage, response: ServerResponse, leastBytes: number) {
    this.leastBytes = leastBytes
    this.#request = request
    this.#response = response
  }

  async carry(parcel: Parcel, onSent: (sent: Sent) => void): Promise<boolean> {
    const { status, lent } = parcel
    const response = this.#response
    if (response.destroyed) throw new ClientGoneError()
    const cut = () => response.destroy()
    lent.condemned.addEventListener('abort', cut)
    try {
      if (lent.condemned.aborted) return false
      // Node wants a link in an early hint; nobody reads this one.
      const note = JSON.stringify(noteOf(parcel, response))
      response.writeEarlyHints({ link: '</>; rel=preload', [PARCEL]: note })
      const end = await this.#follow(onSent)
      if (end.kind === 'declined') return false
      response.setHeader('Content-Length', 0)
      response.writeHead(status)
      if (end.kind === 'failed') await this.#fail(lent, end.code)
      if (end.kind === 'cut') throw this.#gone(lent)
      response.end()
      return true
    } finally {
      lent.condemned.removeEventListener('abort', cut)
    }
  }

  /** Until the worker has said the last of it. */
  async #follow(onSent: (sent: Sent) => void): Promise<Exclude<ParcelReport, { kind: 'sent' }>> {
    let known = 0
    try {
      for await (const report of reportsOf(this.#request)) {
        if (report.kind !== 'sent') {
          this.#request.resume()
          return report
        }
        onSent({ bytes: report.bytes - known, firstAt: this.#arrivedAt + report.firstMs })
        known = report.bytes
      }
    } catch {
      // The worker has ended, or its connection was cut from here.
    }
    return { kind: 'cut' }
  }

  async #fail(lent: Lent, code: string): Promise<never> {
    const error =
      code === TRUNCATED
        ? new ContentMismatchError('size', String(lent.size), 'fewer bytes on disk')
        : new UnreadableError(code)
    await lent.failed(error)
    throw error
  }

  #gone({ condemned, digest }: Lent): Error {
    this.#response.destroy()
    if (!condemned.aborted) return new ClientGoneError()
    return new ContentMismatchError('digest', digest, 'other bytes on disk')
  }
}

function noteOf({ status, lent, range }: Parcel, response: ServerResponse): ParcelNote {
  const headers = Object.entries(response.getHeaders()).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, String(one)]),
  )
  const { digest, size } = lent
  return { status, headers, digest, size, ...range }
}

/** @throws when the connection ends before the body does */
async function* reportsOf(request: IncomingMessage): AsyncGenerator<ParcelReport> {
  let rest = ''
  request.setEncoding('utf8')
  // What follows the last report is for Node: its end, and then another request.
  for await (const text of request.iterator({ destroyOnReturn: false })) {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line) as ParcelReport
  }
}
