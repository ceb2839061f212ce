import type { Readable } from 'node:stream'

import type { Dispatcher } from 'undici'

import type { UpstreamLimits } from '../config/config.ts'
import { discard, ignore } from './body.ts'
import type { Clock } from './clock.ts'
import type { DialPolicy } from './dial-policy.ts'
import type { Dispatchers } from './dispatchers.ts'
import { UpstreamError } from './errors.ts'
import { type Headers, headerOf } from './headers.ts'
import type { RequestKind, UpstreamObserver } from './observer.ts'
import { abortable } from './signal.ts'

const MAX_REDIRECTS = 5

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

export interface TransportOptions {
  readonly upstream: string
  readonly policy: DialPolicy
  readonly dispatchers: Dispatchers
  readonly limits: UpstreamLimits
  readonly userAgent: string
  readonly clock: Clock
  readonly observe: UpstreamObserver
}

export interface TransportRequest {
  readonly kind: RequestKind
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  /** Sent to the origin of `url` only, and never again once another origin was visited. */
  readonly authorization?: string | undefined
  readonly body?: string
  /** `same-origin` for token requests: what they carry is for their server alone. */
  readonly redirects?: 'follow' | 'same-origin'
  readonly signal?: AbortSignal | undefined
}

export interface TransportResponse {
  readonly status: number
  readonly headers: Headers
  /** Read it, or {@link discard} it. Its errors are {@link UpstreamError}s. */
  readonly body: Readable
  /** Whether it comes from another origin than was asked. */
  readonly foreign: boolean
}

/**
 * HTTP to one endpoint of an upstream and to where it refers. Redirects are followed here and not
 * by a library, because each hop must pass the dial policy and must not take the credential along.
 */
export class Transport {
  readonly #options: TransportOptions

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /** @throws {UpstreamError}, or the reason of `signal` */
  async request(request: TransportRequest): Promise<TransportResponse> {
    let url = request.url
    let authorization = request.authorization
    let foreign = false
    for (let hops = 0; ; hops++) {
      this.#options.policy.check(url)
      const answer = await this.#send(request, url, authorization)
      if (!REDIRECTS.has(answer.statusCode)) {
        this.#refuseEncoded(answer)
        return { status: answer.statusCode, headers: answer.headers, body: answer.body, foreign }
      }
      discard(answer.body)
      if (hops === MAX_REDIRECTS) throw this.#invalid('sends its clients in circles')
      const next = this.#nextHop(request, url, headerOf(answer.headers, 'location'))
      if (next.origin !== url.origin) {
        authorization = undefined
        foreign = true
      }
      url = next
    }
  }

  #nextHop(request: TransportRequest, url: URL, location: string | undefined): URL {
    if (request.method === 'POST') throw this.#invalid('redirects a request that must not be')
    if (location === undefined || !URL.canParse(location, url)) {
      throw this.#invalid('redirects to nowhere')
    }
    const next = new URL(location, url)
    if (url.protocol === 'https:' && next.protocol !== 'https:') {
      throw this.#invalid('redirects away from https')
    }
    if (request.redirects === 'same-origin' && next.origin !== request.url.origin) {
      throw this.#invalid('redirects a request for a token to another place')
    }
    return next
  }

  async #send(
    request: TransportRequest,
    url: URL,
    authorization: string | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const { upstream, dispatchers, userAgent, clock, observe } = this.#options
    const startedAt = clock.elapsed()
    let code = '0'
    const deadline = this.#startDeadline(request.signal)
    try {
      const pending = dispatchers.for(url).request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        headers: {
          accept: '*/*',
          ...request.headers,
          'accept-encoding': 'identity',
          'user-agent': userAgent,
          ...(authorization === undefined ? {} : { authorization }),
        },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal: deadline.signal,
      })
      // undici heeds the signal of a request only once it has a connection.
      const answer = await abortable(pending, deadline.signal)
      code = String(answer.statusCode)
      // The reader has its own listener; this one is for bodies that are dropped.
      answer.body.on('error', ignore)
      answer.body.once('close', deadline.release)
      return answer
    } catch (error) {
      deadline.release()
      throw error
    } finally {
      deadline.stop()
      const seconds = (clock.elapsed() - startedAt) / 1000
      observe.request({ upstream, endpoint: request.kind, method: request.method, code, seconds })
    }
  }

  /**
   * undici's own timeouts do not run while a request waits for a free connection, so one more
   * bounds the time until the headers; after them only the caller's signal counts.
   */
  #startDeadline(signal: AbortSignal | undefined): {
    signal: AbortSignal
    stop: () => void
    release: () => void
  } {
    const { limits, upstream } = this.#options
    const controller = new AbortController()
    const abort = () => controller.abort(signal?.reason)
    const timer = setTimeout(() => {
      const message = 'the registry did not answer in time'
      controller.abort(new UpstreamError('timeout', { upstream, reason: 'timeout', message }))
    }, limits.connectTimeoutMs + limits.headersTimeoutMs)
    if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort, { once: true })
    return {
      signal: controller.signal,
      stop: () => clearTimeout(timer),
      release: () => signal?.removeEventListener('abort', abort),
    }
  }

  /** Bytes and their length would not be those that digests are made of. */
  #refuseEncoded({ statusCode, headers, body }: Dispatcher.ResponseData): void {
    const encoding = headerOf(headers, 'content-encoding')?.trim().toLowerCase() ?? 'identity'
    if (statusCode >= 300 || encoding === 'identity' || encoding === '') return
    body.destroy()
    const message = `the registry sends an encoded body (${encoding.slice(0, 32)}) though it was asked not to`
    throw new UpstreamError('invalid', {
      upstream: this.#options.upstream,
      reason: 'encoding',
      message: message.replace(/[^ -~]/g, '?'),
    })
  }

  #invalid(what: string): UpstreamError {
    const { upstream } = this.#options
    return new UpstreamError('invalid', {
      upstream,
      reason: 'redirect',
      message: `the registry ${what}`,
    })
  }
}
