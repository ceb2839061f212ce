import type { IncomingMessage, ServerResponse } from 'node:http'

import { ClientGoneError } from '../api/body.ts'
import type { Courier, Parcel, Sent } from '../api/courier.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import type { Lent } from '../pull/content.ts'
import { NO_FILE, PARCEL, type ParcelNote, type ParcelReport, REACH, TRUNCATED } from './relayed.ts'

/** What a worker says last. */
type ParcelEnd = Exclude<ParcelReport, { kind: 'sent' }>

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
  readonly patienceMs: number
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #arrivedAt = performance.now()
  #hasBegun = false

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    { leastBytes, patienceMs }: Pick<Courier, 'leastBytes' | 'patienceMs'>,
  ) {
    this.leastBytes = leastBytes
    this.patienceMs = patienceMs
    this.#request = request
    this.#response = response
  }

  async carry(parcel: Parcel, onSent: (sent: Sent) => void): Promise<number> {
    const { lent, range, status } = parcel
    const response = this.#response
    if (response.destroyed) throw new ClientGoneError()
    if (lent.condemned.aborted) return 0
    const over = new AbortController()
    const { signal } = over
    try {
      this.#hint(PARCEL, JSON.stringify(noteOf(parcel, response)))
      const { end, bytes } = await Promise.race([
        this.#follow(parcel, onSent),
        condemnation(lent, signal),
        this.#point(parcel, signal),
      ])
      if (end.kind === 'declined') return bytes
      if (end.kind === 'failed') await this.#fail(lent, end.code)
      if (end.kind === 'cut') throw new ClientGoneError()
      response.setHeader('Content-Length', 0)
      response.writeHead(status)
      response.end()
      return range.end - range.start + 1
    } catch (error) {
      // The client has the beginning of an answer: whoever answers with the error must not begin anew.
      if (this.#hasBegun) response.writeHead(status)
      if (error instanceof ClientGoneError) response.destroy()
      throw error
    } finally {
      over.abort()
    }
  }

  /** Node wants a link in an early hint; nobody reads this one. */
  #hint(name: string, value: string): void {
    this.#response.writeEarlyHints({ link: '</>; rel=preload', [name]: value })
  }

  /**
   * Says how far the file may be read, as it is filled.
   *
   * @throws why the download has failed, which is not to be sent any more; otherwise never settles
   */
  async #point({ lent: { trail }, range }: Parcel, signal: AbortSignal): Promise<never> {
    const { start, end } = range
    try {
      for (let known = start; trail !== undefined && known <= end; ) {
        const reach = await trail.reach(known, signal)
        this.#hint(REACH, reach === undefined ? NO_FILE : String(reach))
        known = reach ?? end + 1
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
    return new Promise<never>(() => undefined)
  }

  /** Until the worker has said the last of it. */
  async #follow(
    { lent: { trail }, range: { start } }: Parcel,
    onSent: (sent: Sent) => void,
  ): Promise<{ readonly end: ParcelEnd; readonly bytes: number }> {
    let bytes = 0
    try {
      for await (const report of reportsOf(this.#request)) {
        if (report.kind !== 'sent') {
          this.#request.resume()
          return { end: report, bytes }
        }
        onSent({ bytes: report.bytes - bytes, firstAt: this.#arrivedAt + report.firstMs })
        bytes = report.bytes
        this.#hasBegun = true
        trail?.passed(start + bytes)
      }
    } catch {
      // The worker has ended, or its connection was cut from here.
    }
    return { end: { kind: 'cut' }, bytes }
  }

  async #fail(lent: Lent, code: string): Promise<never> {
    const error =
      code === TRUNCATED
        ? new ContentMismatchError('size', String(lent.size), 'fewer bytes on disk')
        : new UnreadableError(code)
    await lent.failed(error)
    throw error
  }
}

/** @throws once its bytes are found to be damaged; otherwise never settles */
function condemnation({ condemned, digest }: Lent, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(new ContentMismatchError('digest', digest, 'other bytes on disk'))
    condemned.addEventListener('abort', onAbort, { signal })
  })
}

function noteOf({ status, lent, range }: Parcel, response: ServerResponse): ParcelNote {
  const headers = Object.entries(response.getHeaders()).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, String(one)]),
  )
  const { digest, size, trail } = lent
  const flight = trail === undefined ? {} : { flight: trail.id }
  return { status, headers, digest, size, ...range, ...flight }
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
