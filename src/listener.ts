import { once } from 'node:events'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createNetServer,
  type Server as NetServer,
  type Socket,
} from 'node:net'
import type { Duplex } from 'node:stream'

import type { Address, TlsFiles } from './config/config.ts'
import { createServer as createHttpServer } from './http.ts'
import { Certificates, type TlsMaterial } from './listener/certificates.ts'
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
export interface ListenerOptions {
  /** `undefined`: connections are given to it. */
  readonly address: Address | undefined
  readonly tls: TlsFiles | undefined
  /** For one that is told its certificates, and does not read them. */
  readonly material?: TlsMaterial | undefined
  readonly handler: RequestListener
  readonly limits?: Partial<ListenerLimits>
  readonly connections?: ConnectionLimits
  readonly onConnections?: ConnectionEvents
  /**
   * Asked who is to have a new connection, of which nothing was read yet.
   *
   * @returns false: this listener
   */
  readonly divert?: (socket: Socket) => boolean
  /** How often certificates are looked at, in milliseconds; default 10 s. */
  readonly tlsLookMs?: number
  /** Told when other certificates are in use. */
  readonly onSecured?: (material: TlsMaterial) => void
  /** Told when changed certificates cannot be used; the ones in use stay. */
  readonly onTlsError: (error: unknown) => void
}

/** A port, over TLS where certificates are given. */
export class Listener {
  readonly #server: Server | HttpsServer
  /** What has the port. */
  readonly #door: NetServer
  readonly #connections: Connections
  readonly #certificates: Certificates | undefined
  readonly #options: ListenerOptions
  readonly #limits: ListenerLimits
  readonly #answering = new WeakMap<Duplex, ServerResponse>()

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    const { divert } = options
    this.#certificates = this.#readCertificates()
    const settings = settingsOf(this.#limits)
    const handler: RequestListener = (request, response) => this.#answer(request, response)
    const material = this.#certificates?.material ?? options.material
    this.#server =
      material === undefined
        ? createHttpServer(settings, handler)
        : createHttpsServer({ ...settings, ...contextOf(material) }, handler)
    this.#server.timeout = this.#limits.stalledMs
    this.#server.on('timeout', (socket) => this.#quiet(socket))
    // What is not HTTP never reaches a handler, and is told so all the same.
    this.#server.on('clientError', (error, socket) => this.#refuse(error, socket))
    // Nothing that could be expected of a cache is done before the body is read.
    this.#server.on('checkExpectation', handler)
    this.#connections = new Connections(this.#server, options.connections, options.onConnections)
    this.#door = divert === undefined ? this.#server : this.#createDoor(divert)
  }

  /** @throws {Error} with `code` EADDRINUSE, EACCES, … */
  async listen(): Promise<void> {
    if (this.#options.address === undefined) return this.open()
    const { host, port } = this.#options.address
    this.#door.listen({ host, port, backlog: 2048 })
    await once(this.#door, 'listening')
    if (this.#door !== this.#server) this.open()
    this.#certificates?.watch()
  }

  /** Begins without a port of its own: connections are given to it. */
  open(): void {
    // From this on Node looks after connections, such as for late headers and idle ones to close.
    this.#server.emit('listening')
  }

  /** A connection that somebody else has accepted. */
  take(socket: Socket): void {
    // As a server has it for its own: HTTP may be answered after the other side has said its last.
    socket.allowHalfOpen = !this.#isSecure
    this.#server.emit('connection', socket)
    if (socket.isPaused()) socket.resume()
  }

  /** Where it listens: with the port that the kernel chose, if it was left to it. */
  get url(): string {
    const { address, port, family } = this.#door.address() as AddressInfo
    const scheme = this.#isSecure ? 'https' : 'http'
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  }

  /** What it shows and trusts, as it was read last; `undefined`: it has read none. */
  get material(): TlsMaterial | undefined {
    return this.#certificates?.material
  }

  /** When the certificate that it shows expires, epoch milliseconds; `undefined`: it shows none. */
  get certificateExpiresAt(): number | undefined {
    return this.#certificates?.expiresAt
  }

  /**
   * Takes no new connections and lets the answers under way end, for at most `drainMs`; then
   * connections are destroyed: a cut is honest, a short body is not.
   */
  async close(drainMs: number): Promise<void> {
    this.#certificates?.close()
    this.#door.close()
    this.#server.close()
    this.#server.closeIdleConnections()
    const idle = setInterval(() => this.#server.closeIdleConnections(), 100)
    const limit = setTimeout(() => this.#server.closeAllConnections(), drainMs)
    await this.#connections.emptied()
    clearInterval(idle)
    clearTimeout(limit)
  }

  /** @throws {Error} when they cannot be used */
  secure(material: TlsMaterial): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(contextOf(material))
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

  get #isSecure(): boolean {
    return 'setSecureContext' in this.#server
  }

  #createDoor(divert: (socket: Socket) => boolean): NetServer {
    const settings = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true }
    return createNetServer(settings, (socket) => {
      if (!divert(socket)) this.take(socket)
    })
  }

  #readCertificates(): Certificates | undefined {
    const { tls: files, tlsLookMs: lookMs, onTlsError: onError, onSecured } = this.#options
    if (files === undefined) return undefined
    const onChanged = (material: TlsMaterial) => {
      this.secure(material)
      onSecured?.(material)
    }
    return new Certificates({
      files,
      ...(lookMs === undefined ? {} : { lookMs }),
      onChanged,
      onError,
    })
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

function contextOf({ cert, key, ca }: TlsMaterial) {
  return {
    cert,
    key,
    ...(ca === undefined ? {} : { ca }),
    requestCert: ca !== undefined,
    // Who has no certificate may still log in; who must have one is for the front door to say.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
  } as const
}
