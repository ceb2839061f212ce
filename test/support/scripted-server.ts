import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

import { Barrier } from './barrier.ts'
import { deliver } from './deliver.ts'
import { type Delivery, type Fault, hold, newDelivery } from './faults.ts'

export interface RecordedRequest {
  readonly method: string
  /** As it was sent: path and query. */
  readonly url: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** Settles when the answer has been sent whole (true) or the connection was lost before (false). */
  readonly delivered: Promise<boolean>
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: Buffer | string | object
}

export type Handler = (request: RecordedRequest) => Answer | Promise<Answer>

/** Every condition that is given has to hold. */
export interface Matcher {
  readonly method?: string
  /** A text is the whole path. */
  readonly path?: RegExp | string
  readonly where?: (request: RecordedRequest) => boolean
}

export interface ScriptOptions {
  /** How many matching requests get the fault; default: all. */
  readonly times?: number
  /** How many matching requests are answered well before. */
  readonly skip?: number
}

interface Script {
  readonly matcher: Matcher
  readonly faults: readonly Fault[]
  times: number
  skip: number
}

interface Arrival {
  readonly matcher: Matcher
  readonly count: number
  readonly resolve: () => void
}

/**
 * An HTTP server on loopback that remembers every request and misbehaves as it is told. Alone, with
 * a handler, it is any stranger that must see no credential.
 */
export class ScriptedServer {
  readonly requests: RecordedRequest[] = []
  readonly #handler: Handler
  readonly #server: Server
  readonly #secure: boolean
  readonly #sockets = new Set<Socket>()
  #answers: { readonly request: RecordedRequest; readonly delivery: Delivery }[] = []
  #scripts: Script[] = []
  #arrivals: Arrival[] = []

  constructor(handler: Handler = notFound, tls?: { readonly key: string; readonly cert: string }) {
    this.#handler = handler
    this.#secure = tls !== undefined
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      // Whoever sent it is gone: nobody is left to tell.
      this.#serve(request, response).catch(() => request.destroy())
    }
    this.#server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
    this.#server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  get port(): number {
    const address = this.#server.address() as AddressInfo | null
    if (address === null) throw new Error('the server is not started')
    return address.port
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${this.port}`
  }

  get origin(): string {
    return `${this.#secure ? 'https' : 'http'}://${this.host}`
  }

  get openConnections(): number {
    return this.#sockets.size
  }

  /** @param port for a server that comes back where it was; default: any free one */
  async start(port = 0): Promise<this> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject)
    this.#server.listen(port, '127.0.0.1', resolve)
    await promise
    return this
  }

  /** Stops at once: connections are destroyed, faults under way included. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    for (const socket of this.#sockets) socket.destroy()
    await promise
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What matches `matcher` gets the faults, in their order. The oldest script that matches counts. */
  script(matcher: Matcher, faults: Fault | readonly Fault[], options: ScriptOptions = {}): void {
    const list = typeof faults === 'function' ? [faults] : faults
    const { times = Number.POSITIVE_INFINITY, skip = 0 } = options
    this.#scripts.push({ matcher, faults: list, times, skip })
  }

  /** Scripts a {@link hold}: what matches is answered only when the barrier is released. */
  hold(matcher: Matcher, options: ScriptOptions = {}): Barrier {
    const barrier = new Barrier()
    this.script(matcher, hold(barrier), options)
    return barrier
  }

  /** Behaves well again. */
  clearScripts(): void {
    this.#scripts = []
  }

  count(matcher: Matcher = {}): number {
    return this.find(matcher).length
  }

  find(matcher: Matcher): RecordedRequest[] {
    return this.requests.filter((request) => matches(matcher, request))
  }

  /** Settles once `count` matching requests have arrived, since the start or the last {@link forget}. */
  async seen(matcher: Matcher, count = 1): Promise<void> {
    if (this.count(matcher) >= count) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#arrivals.push({ matcher, count, resolve })
    await promise
  }

  /** Body bytes of the successful answers to what matches, once all of them have ended. */
  async sentBytes(matcher: Matcher = {}): Promise<number> {
    await Promise.all(this.find(matcher).map(({ delivered }) => delivered))
    return this.#answers
      .filter(({ request, delivery }) => delivery.status < 300 && matches(matcher, request))
      .reduce((sum, { delivery }) => sum + delivery.sentBytes, 0)
  }

  /** Forgets the requests so far, so that counts begin at 0. */
  forget(): void {
    this.requests.length = 0
    this.#answers = []
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = Promise.withResolvers<boolean>()
    response.once('close', () => sent.resolve(response.writableFinished))
    const request = await record(message, sent.promise)
    this.#remember(request)
    const faults = this.#takeFaults(request)
    const { status, headers = {}, body = '' } = await this.#handler(request)
    const delivery = newDelivery(status, { ...headers }, toBuffer(body))
    for (const fault of faults) fault(delivery, request)
    this.#answers.push({ request, delivery })
    await deliver(delivery, response)
  }

  #remember(request: RecordedRequest): void {
    this.requests.push(request)
    this.#arrivals = this.#arrivals.filter(({ matcher, count, resolve }) => {
      if (this.count(matcher) < count) return true
      resolve()
      return false
    })
  }

  #takeFaults(request: RecordedRequest): readonly Fault[] {
    const candidates = this.#scripts.filter(
      (script) => script.times > 0 && matches(script.matcher, request),
    )
    const script = candidates.find(({ skip }) => skip === 0)
    for (const candidate of candidates) candidate.skip = Math.max(0, candidate.skip - 1)
    if (script === undefined) return []
    script.times--
    return script.faults
  }
}

async function record(
  message: IncomingMessage,
  delivered: Promise<boolean>,
): Promise<RecordedRequest> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  const { method = '', url = '', headers, rawHeaders } = message
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1))
  return { method, url, path, query, headers, rawHeaders, body: Buffer.concat(chunks), delivered }
}

function matches({ method, path, where }: Matcher, request: RecordedRequest): boolean {
  if (method !== undefined && method !== request.method) return false
  if (typeof path === 'string' && path !== request.path) return false
  if (path instanceof RegExp && !path.test(request.path)) return false
  return where === undefined || where(request)
}

function toBuffer(body: Buffer | string | object): Buffer {
  if (Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

function notFound(): Answer {
  return { status: 404 }
}
