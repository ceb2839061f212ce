import type { Logger } from '../log.ts'
import type { Repository } from '../oci/reference.ts'
import { type ErrorDetail, readErrorDetail, toStatusError } from './answers.ts'
import type { Access, Authenticator, Authorization } from './auth.ts'
import { discard } from './body.ts'
import type { Clock } from './clock.ts'
import type { Credential, CredentialSource } from './credentials/credential.ts'
import { UpstreamError } from './errors.ts'
import { rateLimitOf } from './headers.ts'
import type { RequestKind, UpstreamObserver } from './observer.ts'
import { Pauses } from './pauses.ts'
import type { Identity, RequestOptions } from './ports.ts'
import { abortable } from './signal.ts'
import type { Transport, TransportResponse } from './transport.ts'

/** A request without, with a remembered, and with a renewed authorization. */
const MAX_ATTEMPTS = 3

/** Asked of a HEAD, these may mean no more than that it was a HEAD; they have no body to tell. */
const AMBIGUOUS_TO_HEAD: ReadonlySet<number> = new Set([400, 401, 403, 405])

export interface ExchangeOptions {
  readonly upstream: string
  /** The endpoint's base, perhaps with a path prefix. */
  readonly base: URL
  /** As in an image's name: what credentials are found by. */
  readonly host: string
  readonly transport: Transport
  readonly authenticator: Authenticator
  readonly sources: CredentialSource
  readonly clock: Clock
  readonly observe: UpstreamObserver
  readonly logger: Logger
  /** For the body of an error. */
  readonly timeoutMs: number
}

export interface ExchangeRequest {
  readonly kind: RequestKind
  readonly method: 'GET' | 'HEAD'
  /** With `/v2/`, perhaps with a query; the endpoint's own prefix is put before it. */
  readonly path: string
  readonly repository: Repository | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** Statuses above 299 that the caller understands. */
  readonly accept?: readonly number[]
}

/** Authenticated requests to one endpoint: which credential, what its refusal means, once more or not. */
export class Exchange {
  readonly #options: ExchangeOptions
  readonly #refused: Pauses
  readonly #throttled: Pauses

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#refused = new Pauses(options.clock)
    this.#throttled = new Pauses(options.clock)
  }

  /**
   * Sends with each credential that fits until one is not refused. The answer is a success, one of
   * `accept`, or, to a HEAD, one that only a GET can explain.
   *
   * @throws {UpstreamError}, or the reason of the signal
   */
  async send(request: ExchangeRequest, options: RequestOptions): Promise<TransportResponse> {
    const access: Access = { repository: request.repository, actions: 'pull' }
    return await this.#withEach(access, options, async (credential) => {
      const attempt = { request, access, credential, signal: options.signal }
      const response = await this.#attempt(attempt)
      const { status } = response
      const understood =
        status < 300 ||
        request.accept?.includes(status) === true ||
        (request.method === 'HEAD' && AMBIGUOUS_TO_HEAD.has(status))
      return understood ? response : await this.#fail(response, credential)
    })
  }

  /** The header for a request that somebody else sends; `undefined` when none is needed. */
  async authorize(access: Access, options: RequestOptions): Promise<string | undefined> {
    const { authenticator, transport } = this.#options
    if (!authenticator.challenged) {
      const url = this.urlOf('/v2/')
      const response = await transport.request({
        kind: 'ping',
        method: 'GET',
        url,
        signal: options.signal,
      })
      if (response.status === 401 && !response.foreign) {
        authenticator.learn(response.headers, undefined)
      }
      discard(response.body)
    }
    return await this.#withEach(access, options, async (credential) => {
      return (await this.#authorize(access, credential, undefined, options.signal))?.value
    })
  }

  /** Of a path that begins with `/v2/`. */
  urlOf(path: string): URL {
    const { base } = this.#options
    return new URL(`${base.origin}${base.pathname.replace(/\/$/, '')}${path}`)
  }

  async #withEach<T>(
    access: Access,
    { as }: RequestOptions,
    send: (credential: Credential | undefined) => Promise<T>,
  ): Promise<T> {
    let refusal: UpstreamError | undefined
    for (const credential of await this.#candidates(as, access.repository)) {
      const key = JSON.stringify([credential?.fingerprint, access])
      // What the caller brings is judged anew each time; access remembers those.
      if (as.kind === 'larder' && this.#refused.remaining(key) > 0) continue
      this.#refuseThrottled(credential)
      try {
        return await send(credential)
      } catch (error) {
        if (!(error instanceof UpstreamError) || error.kind !== 'denied') throw error
        if (credential !== undefined) this.#refused.pause(key)
        refusal = error
      }
    }
    throw refusal ?? this.#denied('the registry refused every credential a short while ago')
  }

  async #candidates(
    as: Identity,
    repository: Repository | undefined,
  ): Promise<readonly (Credential | undefined)[]> {
    if (as.kind === 'caller') return [as]
    if (as.kind === 'anonymous') return [undefined]
    const { sources, host } = this.#options
    const found = await sources.find(host, repository ?? ('' as Repository))
    return found.length === 0 ? [undefined] : found
  }

  async #attempt(attempt: {
    readonly request: ExchangeRequest
    readonly access: Access
    readonly credential: Credential | undefined
    readonly signal: AbortSignal | undefined
  }): Promise<TransportResponse> {
    const { request, access, credential, signal } = attempt
    let authorization = await this.#authorize(access, credential, undefined, signal)
    let expired = false
    for (let attempts = 1; ; attempts++) {
      const response = await this.#request(request, authorization, signal)
      if (response.foreign || attempts === MAX_ATTEMPTS) return response
      if (response.status === 401) {
        this.#options.authenticator.learn(response.headers, authorization)
        if (authorization?.fresh === true) return response
      } else if (mayMeanExpired(request, response, authorization) && !expired) {
        const detail = await readErrorDetail(response, this.#options)
        if (!detail.expired) throw this.#toError(response, detail, credential)
        expired = true
        if (credential !== undefined) this.#options.sources.invalidate?.(credential)
      } else return response
      const next = await this.#authorize(access, credential, authorization?.value, signal)
      if (next === undefined) return response
      discard(response.body)
      authorization = next
    }
  }

  async #request(
    request: ExchangeRequest,
    authorization: Authorization | undefined,
    signal: AbortSignal | undefined,
  ): Promise<TransportResponse> {
    const { upstream, transport, observe } = this.#options
    const { kind, method, headers } = request
    const response = await transport.request({
      kind,
      method,
      url: this.urlOf(request.path),
      ...(headers === undefined ? {} : { headers }),
      authorization: authorization?.value,
      signal,
    })
    const rateLimit = response.foreign ? undefined : rateLimitOf(response.headers)
    if (rateLimit !== undefined) observe.rateLimit({ upstream, ...rateLimit })
    return response
  }

  /** One fetch of a token serves many, so nobody's signal ends it; each only stops waiting. */
  async #authorize(
    access: Access,
    credential: Credential | undefined,
    rejected: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Authorization | undefined> {
    const pending = this.#options.authenticator.authorize(access, credential, rejected)
    return await abortable(pending, signal)
  }

  async #fail(response: TransportResponse, credential: Credential | undefined): Promise<never> {
    const detail = await readErrorDetail(response, this.#options)
    throw this.#toError(response, detail, credential)
  }

  #toError(
    response: TransportResponse,
    detail: ErrorDetail,
    credential: Credential | undefined,
  ): UpstreamError {
    const { upstream, clock, logger } = this.#options
    const error = toStatusError(upstream, response, detail, clock.now())
    if (error.kind === 'throttled' && error.retryAfterMs !== undefined) {
      this.#throttled.pause(credential?.fingerprint ?? '', error.retryAfterMs)
      logger.warn({ upstream, retryAfterMs: error.retryAfterMs }, 'the registry limits requests')
    }
    return error
  }

  /** Asking during the time that the registry set would only prolong it. */
  #refuseThrottled(credential: Credential | undefined): void {
    const retryAfterMs = this.#throttled.remaining(credential?.fingerprint ?? '')
    if (retryAfterMs === 0) return
    const { upstream } = this.#options
    const message = 'the registry limits how often it is asked'
    throw new UpstreamError('throttled', { upstream, reason: 'throttled', message, retryAfterMs })
  }

  #denied(message: string): UpstreamError {
    return new UpstreamError('denied', {
      upstream: this.#options.upstream,
      reason: 'auth',
      message,
    })
  }
}

function mayMeanExpired(
  { method }: ExchangeRequest,
  { status }: TransportResponse,
  authorization: Authorization | undefined,
): boolean {
  return method === 'GET' && authorization !== undefined && (status === 400 || status === 403)
}
