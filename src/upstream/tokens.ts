import { LRUCache } from 'lru-cache'

import { readErrorDetail, toStatusError } from './answers.ts'
import { readBody } from './body.ts'
import type { Clock } from './clock.ts'
import { basicAuthorization, type Credential } from './credentials/credential.ts'
import { UpstreamError } from './errors.ts'
import type { UpstreamObserver } from './observer.ts'
import { parseToken, type Token } from './token-answer.ts'
import type { Transport, TransportResponse } from './transport.ts'

const MAX_TOKEN_BYTES = 1024 * 1024
const MAX_TOKENS = 10_000
/** The name that RFC 6749 §2.2 wants a client to have. */
const CLIENT_ID = 'larder'
/** Answers by which token servers say that they do not speak the OAuth2 form. */
const NO_OAUTH2: ReadonlySet<number> = new Set([400, 401, 404, 405])

export interface TokenRequest {
  /** Already approved. */
  readonly realm: URL
  readonly service: string | undefined
  readonly scope: string | undefined
  /** `undefined`: anonymously. */
  readonly credential: Credential | undefined
  /** A token that the registry did not take: what is cached is used only if it is another. */
  readonly rejected?: string | undefined
  /** Whether a token that was given out earlier will not do. */
  readonly isNew?: boolean | undefined
}

export interface TokensOptions {
  readonly upstream: string
  readonly transport: Transport
  readonly clock: Clock
  readonly observe: UpstreamObserver
  /** For the body of an answer. */
  readonly timeoutMs: number
}

interface CachedToken {
  readonly value: string
  /** By the monotonic clock. */
  readonly usableUntil: number
}

/** Tokens of distribution's token protocol, each asked for once however many need it. */
export class Tokens {
  readonly #options: TokensOptions
  readonly #cache = new LRUCache<string, CachedToken>({ max: MAX_TOKENS })
  readonly #flights = new Map<string, Promise<string>>()

  constructor(options: TokensOptions) {
    this.#options = options
  }

  /** @throws {UpstreamError} `denied` when the token server refuses the credential */
  async get(request: TokenRequest): Promise<{ readonly value: string; readonly fresh: boolean }> {
    const { upstream, clock, observe } = this.#options
    const key = keyOf(request)
    const cached = this.#cache.get(key)
    const usable = cached !== undefined && cached.usableUntil > clock.elapsed()
    if (usable && cached.value !== request.rejected && request.isNew !== true) {
      observe.token({ upstream, result: 'cached' })
      return { value: cached.value, fresh: false }
    }
    let flight = this.#flights.get(key)
    if (flight === undefined) {
      flight = this.#fetch(key, request).finally(() => this.#flights.delete(key))
      this.#flights.set(key, flight)
    }
    return { value: await flight, fresh: true }
  }

  async #fetch(key: string, request: TokenRequest): Promise<string> {
    const { upstream, clock, observe } = this.#options
    try {
      const { value, lifeMs } = await this.#request(request)
      this.#cache.set(key, { value, usableUntil: clock.elapsed() + lifeMs })
      observe.token({ upstream, result: 'fetched' })
      return value
    } catch (error) {
      this.#cache.delete(key)
      observe.token({ upstream, result: 'error' })
      throw error
    }
  }

  async #request(request: TokenRequest): Promise<Token> {
    const { identityToken } = request.credential ?? {}
    if (identityToken !== undefined) {
      const response = await this.#post(request, identityToken)
      if (!NO_OAUTH2.has(response.status)) return await this.#read(response)
      await readErrorDetail(response, this.#options)
    }
    return await this.#read(await this.#get(request))
  }

  /** distribution's docs/spec/auth/token.md. An identity token is taken as a password here. */
  async #get({ realm, service, scope, credential }: TokenRequest): Promise<TransportResponse> {
    const url = new URL(realm)
    if (service !== undefined) url.searchParams.set('service', service)
    if (scope !== undefined) url.searchParams.set('scope', scope)
    return await this.#options.transport.request({
      kind: 'token',
      method: 'GET',
      url,
      authorization: credential === undefined ? undefined : basicAuthorization(credential),
      redirects: 'same-origin',
    })
  }

  /** distribution's docs/spec/auth/oauth.md. */
  async #post({ realm, service, scope }: TokenRequest, token: string): Promise<TransportResponse> {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID })
    if (service !== undefined) form.set('service', service)
    if (scope !== undefined) form.set('scope', scope)
    form.set('refresh_token', token)
    return await this.#options.transport.request({
      kind: 'token',
      method: 'POST',
      url: realm,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
    })
  }

  async #read(response: TransportResponse): Promise<Token> {
    const { upstream, clock } = this.#options
    if (response.status !== 200) {
      const detail = await readErrorDetail(response, this.#options)
      const error = toStatusError(upstream, response, detail, clock.now())
      throw response.status < 500 && error.kind !== 'throttled' ? this.#refused(error) : error
    }
    const body = await readBody(response, { ...this.#options, maxBytes: MAX_TOKEN_BYTES })
    const token = parseToken(body.toString('utf8'))
    if (token !== undefined) return token
    const message = "the registry's token server gave no usable token"
    throw new UpstreamError('invalid', { upstream, reason: 'auth', message })
  }

  /** Whatever a token server says no with: no token is no access, not an absence of content. */
  #refused(cause: UpstreamError): UpstreamError {
    const { upstream } = this.#options
    const status = cause.status === undefined ? {} : { status: cause.status }
    const message = "the registry's token server refused access"
    return new UpstreamError('denied', { upstream, reason: 'auth', message, cause, ...status })
  }
}

function keyOf({ realm, service, scope, credential }: TokenRequest): string {
  return JSON.stringify([realm.href, service, scope, credential?.fingerprint ?? 'anonymous'])
}
