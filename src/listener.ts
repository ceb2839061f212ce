import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import type { Address, TlsFiles } from './config/config.ts'
import {
  type ConnectionEvents,
  type ConnectionLimits,
  Connections,
} from './listener/connections.ts'

/** stargz and containers-image ask for hundreds of ranges in one header. */
const MAX_HEADER_BYTES = 64 * 1024
/** Whoever is told that a request was none has this long to read it before the connection is cut. */
const LINGER_MS = 1_000

/** Every wait for a client has an end; in milliseconds. */
export interface ListenerLimits {
  /** From a connection, or its next request, to the end of its headers; of a handshake too. */
  readonly headersMs: number
  /**
   * Longer than the 30 s after which Go's clients drop an idle connection, so that it is not us who
   * close one at the moment of its next use.
   */
  readonly keepAliveMs: number
  /** A client that takes nothing of what waits for it for so long is let go. */
  readonly stalledMs: number
  /** How often it is looked whether headers are late. */
  readonly lookMs: number
}

const LIMITS: ListenerLimits = {
  headersMs: 10_000,
  keepAliveMs: 60_000,
  stalledMs: 60_000,
  lookMs: 1_000,
}
/** Certificates are looked at this often: a mounted Secret changes by a rename nobody can watch. */
const TLS_LOOK_MS = 10_000

export interface ListenerOptions {
  readonly address: Address
  readonly tls: TlsFiles | undefined
  readonly handler: RequestListener
  readonly limits?: Partial<ListenerLimits>
  readonly connections?: ConnectionLimits
  readonly onConnections?: ConnectionEvents
  /** How often certificates are looked at, in milliseconds; default 10 s. */
  readonly tlsLookMs?: number
  /** Told when changed certificates cannot be used; the ones in use stay. */
  readonly onTlsError: (error: unknown) => void
}

/** A port, over TLS where certificates are given. */
export class Listener {
  readonly #server: Server | HttpsServer
  readonly #options: ListenerOptions
  readonly #limits: ListenerLimits
  readonly #answering = new WeakMap<Duplex, ServerResponse>()
  #tlsTimer: NodeJS.Timeout | undefined
  #certificateExpiresAt: number | undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    const { tls } = options
    const settings = settingsOf(this.#limits)
    const handler: RequestListener = (request, response) => this.#answer(request, response)
    const material = tls === undefined ? undefined : readTls(tls)
    this.#server =
      material === undefined
        ? createHttpServer(settings, handler)
        : createHttpsServer({ ...settings, ...material }, handler)
    this.#certificateExpiresAt = material && expiryOf(material.cert)
    this.#server.timeout = this.#limits.stalledMs
    this.#server.on('timeout', (socket) => this.#quiet(socket))
    // What is not HTTP never reaches a handler, and is told so all the same.
    this.#server.on('clientError', (error, socket) => this.#refuse(error, socket))
    // Nothing that could be expected of a cache is done before the body is read.
    this.#server.on('checkExpectation', handler)
    new Connections(this.#server, options.connections, options.onConnections)
  }

  /** @throws {Error} with `code` EADDRINUSE, EACCES, … */
  async listen(): Promise<void> {
    const { host, port } = this.#options.address
    this.#server.listen({ host, port, backlog: 2048 })
    await once(this.#server, 'listening')
    if (this.#options.tls !== undefined) this.#watchTls(this.#options.tls)
  }

  /** Where it listens: with the port that the kernel chose, if it was left to it. */
  get url(): string {
    const { address, port, family } = this.#server.address() as AddressInfo
    const scheme = this.#options.tls === undefined ? 'http' : 'https'
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  }

  /** When the certificate that it shows expires, epoch milliseconds; `undefined`: it shows none. */
  get certificateExpiresAt(): number | undefined {
    return this.#certificateExpiresAt
  }

  /**
   * Takes no new connections and lets the answers under way end, for at most `drainMs`; then
   * connections are destroyed: a cut is honest, a short body is not.
   */
  async close(drainMs: number): Promise<void> {
    clearInterval(this.#tlsTimer)
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeIdleConnections()
    const idle = setInterval(() => this.#server.closeIdleConnections(), 100)
    const limit = setTimeout(() => this.#server.closeAllConnections(), drainMs)
    await closed
    clearInterval(idle)
    clearTimeout(limit)
  }

  /** Ends every connection now. */
  destroy(): void {
    this.#server.closeAllConnections()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    this.#answering.set(socket, response)
    response.once('close', () => this.#answering.delete(socket))
    // A write that is passed on has a dozen listeners of its own: no leak to warn of.
    response.setMaxListeners(24)
    response.once('finish', () => {
      if (request.complete) return
      // It is answered, and still sends: a body that nobody wanted, perhaps without an end.
      const cut = () => {
        if (!request.complete) socket.destroy()
      }
      setTimeout(cut, this.#limits.headersMs).unref()
    })
    this.#options.handler(request, response)
  }

  /** Nothing has gone to and fro for a while: who was to act? */
  #quiet(socket: Socket): void {
    const isOurTurn = this.#answering.has(socket) && socket.writableLength === 0
    if (isOurTurn) socket.setTimeout(this.#limits.stalledMs)
    else socket.destroy()
  }

  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    const mayAnswer = socket.writable && error.code !== 'ECONNRESET'
    // While an answer is being sent, another would become a part of its body.
    const isSent = this.#answering.get(socket)?.headersSent === true
    if (!mayAnswer || isSent) {
      socket.destroy()
      return
    }
    socket.end(refusal(error.code))
    // To close at once what still sends would take the answer back.
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }

  #watchTls(files: TlsFiles): void {
    let seen = stampOf(files)
    this.#tlsTimer = setInterval(() => {
      try {
        const now = stampOf(files)
        if (now === seen || !('setSecureContext' in this.#server)) return
        const material = readTls(files)
        this.#server.setSecureContext(material)
        this.#certificateExpiresAt = expiryOf(material.cert)
        seen = now
      } catch (error) {
        this.#options.onTlsError(error)
      }
    }, this.#options.tlsLookMs ?? TLS_LOOK_MS)
    this.#tlsTimer.unref()
  }
}

function settingsOf({ headersMs, keepAliveMs, lookMs }: ListenerLimits) {
  return {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: headersMs,
    handshakeTimeout: headersMs,
    requestTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: lookMs,
  }
}

function refusal(code: string | undefined): string {
  const [status, message] =
    code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'the request headers are too large']
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'the request took too long']
        : ['400 Bad Request', 'the request is not HTTP']
  const body = JSON.stringify({ errors: [{ code: 'UNSUPPORTED', message }] })
  return (
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
  )
}

function readTls({ certFile, keyFile, clientCaFile }: TlsFiles) {
  const ca = clientCaFile === undefined ? {} : { ca: readFileSync(clientCaFile) }
  return {
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    ...ca,
    requestCert: clientCaFile !== undefined,
    // Who has no certificate may still log in; who must have one is for the front door to say.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
  } as const
}

/** Of the first in the file, which is the server's own. */
function expiryOf(pem: Buffer): number {
  return new X509Certificate(pem).validToDate.getTime()
}

function stampOf({ certFile, keyFile, clientCaFile }: TlsFiles): string {
  const files = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])]
  return files.map((file) => `${statSync(file).ino} ${statSync(file).mtimeMs}`).join(' ')
}
