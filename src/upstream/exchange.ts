import type { Repository } from '../oci/reference.ts'
import { type ErrorDetail, readErrorDetail, toStatusError } from './answers.ts'
import type { Access, Authenticator, Authorization } from './auth.ts'
import { discard } from './body.ts'
import type { Clock } from './clock.ts'
import type { Credential } from './credentials/credential.ts'
import type { Credentials } from './credentials/sources.ts'
import { UpstreamError } from './errors.ts'
import { rateLimitOf } from './headers.ts'
import type { RequestKind, UpstreamObserver } from './observer.ts'
import type { RequestOptions } from './ports.ts'
import type { Quota } from './quota.ts'
import { Refusals } from './refusals.ts'
import type { Rests } from './rests.ts'
import { abortable } from './signal.ts'
import type { Transport, TransportResponse } from './transport.ts'

/** A request without, with a remembered, and with a renewed authorization. */
const MAX_ATTEMPTS = 3

/** What is configured, and what has taken its place when all of that is refused. */
const MAX_ROUNDS = 2

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
  readonly sources: Credentials
  readonly rests: Rests
  readonly quota: Quota
  readonly clock: Clock
  readonly observe: UpstreamObserver
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
  readonly #refusals: Refusals

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.clock)
  }

  /**
   * Sends with each credential that fits until one is not refused. The answer is a success, one of
   * `accept`, or, to a HEAD, one that only a GET can explain.
   *
   * @throws {UpstreamError}, or the reason of the signal
   */
  async send(request: ExchangeRequest, options: RequestOptions): Promise<TransportResponse> {
    const { authenticator } = this.#options
    const access: Access = { repository: request.repository, actions: 'pull' }
    return await this.#withEach(access, options, async (credential) => {
      const response = await this.#attempt({ request, access, credential, options })
      const { status } = response
      const understood =
        status < 300 ||
        request.accept?.includes(status) === true ||
        (request.method === 'HEAD' && AMBIGUOUS_TO_HEAD.has(status))
      if (status < 300 && credential !== undefined) this.#refusals.accepted(credential.fingerprint)
      if (status === 401 && authenticator.usesPassword) this.#strike(access, credential)
      return understood ? response : await this.#fail(response)
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
      return (await this.#authorize(access, credential, undefined, options))?.value
    })
  }

  /** Of a path that begins with `/v2/`. */
  urlOf(path: string): URL {
    const { base } = this.#options
    return new URL(`${base.origin}${base.pathname.replace(/\/$/, '')}${path}`)
  }

  /** When all are refused they are looked for once more: one may have been rotated meanwhile. */
  async #withEach<T>(
    access: Access,
    options: RequestOptions,
    send: (credential: Credential | undefined) => Promise<T>,
  ): Promise<T> {
    const tried = new Set<string>()
    let refusal: UpstreamError | undefined
    for (let round = 1; ; round++) {
      const found = await this.#candidates(access, options)
      const candidates = found.filter((one) => !tried.has(one?.fingerprint ?? ''))
      for (const credential of candidates) {
        tried.add(credential?.fingerprint ?? '')
        try {
          const key = credential?.fingerprint ?? ''
          return await this.#options.rests.run(key, options, () => send(credential))
        } catch (error) {
          if (!(error instanceof UpstreamError) || error.kind !== 'denied') throw error
          if (options.as.kind === 'larder') this.#setBack(access, credential)
          refusal = error
        }
      }
      if (candidates.length > 0 && round < MAX_ROUNDS) continue
      throw refusal ?? this.#denied('the registry refused every credential a short while ago')
    }
  }

  /** Of Larder's own, those that were not refused a short while ago: access judges callers anew. */
  async #candidates(
    access: Access,
    { as, signal }: RequestOptions,
  ): Promise<readonly (Credential | undefined)[]> {
    if (as.kind === 'caller') return [as]
    if (as.kind === 'anonymous') return [undefined]
    const { sources, host } = this.#options
    // A helper or a plugin may take its time; whoever does not want to wait lets the others.
    const pending = sources.find(host, access.repository ?? ('' as Repository))
    const found = await abortable(pending, signal)
    if (found.length === 0) return [undefined]
    const key = JSON.stringify(access)
    return found.filter(({ fingerprint }) => !this.#refusals.rests(fingerprint, key))
  }

  #setBack(access: Access, credential: Credential | undefined): void {
    if (credential === undefined) return
    this.#refusals.refused(credential.fingerprint, JSON.stringify(access))
    this.#options.sources.invalidate?.(credential)
  }

  async #attempt(attempt: {
    readonly request: ExchangeRequest
    readonly access: Access
    readonly credential: Credential | undefined
    readonly options: RequestOptions
  }): Promise<TransportResponse> {
    const { request, access, credential, options } = attempt
    let authorization = await this.#authorize(access, credential, undefined, options)
    let expired = false
    for (let attempts = 1; ; attempts++) {
      const response = await this.#request(request, authorization, options)
      if (response.foreign || attempts === MAX_ATTEMPTS) return response
      if (response.status === 401) {
        this.#options.authenticator.learn(response.headers, authorization)
        if (authorization?.fresh === true) return response
      } else if (mayMeanExpired(request, response, authorization) && !expired) {
        const detail = await readErrorDetail(response, this.#options)
        if (!detail.expired) throw this.#toError(response, detail)
        expired = true
        if (credential !== undefined) this.#options.sources.invalidate?.(credential)
      } else return response
      const next = await this.#authorize(access, credential, authorization?.value, options)
      if (next === undefined) return response
      discard(response.body)
      authorization = next
    }
  }

  async #request(
    request: ExchangeRequest,
    authorization: Authorization | undefined,
    { as, signal }: RequestOptions,
  ): Promise<TransportResponse> {
    const { upstream, transport, observe, quota } = this.#options
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
    if (rateLimit !== undefined && as.kind !== 'caller') quota.told(rateLimit)
    return response
  }

  /** One fetch of a token serves many, so nobody's signal ends it; each only stops waiting. */
  async #authorize(
    access: Access,
    credential: Credential | undefined,
    rejected: string | undefined,
    { signal, isTokenNew }: RequestOptions,
  ): Promise<Authorization | undefined> {
    const { authenticator } = this.#options
    const pending = authenticator.authorize(access, credential, rejected, isTokenNew)
    try {
      return await abortable(pending, signal)
    } catch (error) {
      if (error instanceof UpstreamError && error.status === 401) this.#strike(access, credential)
      throw error
    }
  }

  #strike(access: Access, credential: Credential | undefined): void {
    // A caller's own has no source, and is no concern of Larder's.
    if (credential?.source === undefined) return
    this.#refusals.wrong(credential.fingerprint, JSON.stringify(access))
  }

  async #fail(response: TransportResponse): Promise<never> {
    throw this.#toError(response, await readErrorDetail(response, this.#options))
  }

  #toError(response: TransportResponse, detail: ErrorDetail): UpstreamError {
    const { upstream, clock } = this.#options
    return toStatusError(upstream, response, detail, clock.now())
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
