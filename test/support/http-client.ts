import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { connect } from 'node:net'

export interface ClientRequest {
  readonly method?: string
  /** Several values are several header lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** For `Range`, such as `bytes=0-9`. */
  readonly range?: string
  readonly body?: Buffer | string
  /** Hangs up when at least so many bytes of the body have come. */
  readonly abortAfter?: number
  /** Default: a connection of its own. */
  readonly agent?: Agent
  /** PEM, for https. */
  readonly ca?: string
  /** The client's own certificate, PEM, with its key. */
  readonly cert?: string
  readonly key?: string
  readonly signal?: AbortSignal
}

export interface ClientResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** False when the connection ended before Content-Length or the last chunk, or by `abortAfter`. */
  readonly complete: boolean
}

/**
 * Sends `path` as it is, without normalising it, and never decodes or follows anything.
 *
 * @param origin such as `http://127.0.0.1:5000`
 * @throws when no response head arrives
 */
export async function send(
  origin: string,
  path: string,
  options: ClientRequest = {},
): Promise<ClientResponse> {
  return readResponse(await open(origin, path, options), options.abortAfter)
}

/** As {@link send}, but settles with the head: the body is for the caller to read or destroy. */
export function open(
  origin: string,
  path: string,
  options: ClientRequest = {},
): Promise<IncomingMessage> {
  const { hostname, port, protocol } = new URL(origin)
  const { method = 'GET', range, body, agent, ca, cert, key, signal } = options
  const headers = { ...options.headers, ...(range === undefined ? {} : { Range: range }) }
  return new Promise((resolve, reject) => {
    const start = protocol === 'https:' ? secureRequest : request
    const outgoing = start(
      {
        hostname,
        port,
        method,
        path,
        headers,
        agent: agent ?? false,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(signal === undefined ? {} : { signal }),
      },
      resolve,
    )
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

/** Settles once so many bytes of the body have come; who reads it besides gets them too. */
export function received(response: IncomingMessage, bytes: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let count = 0
  response.on('data', (piece: Buffer) => {
    count += piece.length
    if (count >= bytes) resolve()
  })
  return promise
}

/** Reads to the end, however it comes. */
export function readResponse(
  response: IncomingMessage,
  abortAfter = Number.POSITIVE_INFINITY,
): Promise<ClientResponse> {
  const chunks: Buffer[] = []
  let received = 0
  return new Promise((resolve) => {
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      received += chunk.length
      if (received >= abortAfter) response.destroy()
    })
    // An end that comes too early is an answer too. Node takes a reset for the end of a body that
    // only the connection delimits, so the socket is asked as well.
    let isBroken = false
    const onError = () => {
      isBroken = true
    }
    response.on('error', onError)
    const { socket } = response
    socket.once('error', onError)
    response.on('close', () => {
      socket.off('error', onError)
      const { statusCode: status = 0, headers, rawHeaders } = response
      const complete = response.complete && response.readableEnded && !isBroken
      resolve({ status, headers, rawHeaders, body: Buffer.concat(chunks), complete })
    })
  })
}

/**
 * Writes `text` to the port as it is and gathers what comes back until the server closes, or until
 * a response with Content-Length or a chunked body is whole. A HEAD needs `Connection: close`.
 */
export function rawRequest(port: number, text: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let received = ''
    socket.setEncoding('latin1')
    socket.on('data', (data: string) => {
      received += data
      if (isWhole(received)) socket.destroy()
    })
    socket.on('error', (error) => {
      // What came before a reset counts: servers refuse so.
      if (received === '') reject(error)
    })
    socket.on('close', () => resolve(received))
  })
}

function isWhole(received: string): boolean {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return false
  const head = received.slice(0, end + 2)
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) return received.endsWith('0\r\n\r\n')
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  return length !== undefined && received.length >= end + 4 + Number(length)
}
