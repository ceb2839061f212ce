/** The way to a registry, step by step: for an operator who wants to know where it ends. */
import type { UpstreamConfig } from '../config/config.ts'
import { formatReference, type Repository } from '../oci/reference.ts'
import { toStatusError } from './answers.ts'
import type { Authenticator } from './auth.ts'
import { discard } from './body.ts'
import { type Challenge, parseChallenges, selectChallenge } from './challenge.ts'
import { checkTcp, checkTls, resolveHost } from './connection-check.ts'
import type { Credential } from './credentials/credential.ts'
import type { CredentialSources } from './credentials/sources.ts'
import type { Endpoint } from './endpoint.ts'
import { UpstreamError } from './errors.ts'
import { toUpstreamError } from './failures.ts'
import { headerOf } from './headers.ts'
import { headManifest } from './manifests.ts'
import type { ProxyRules } from './proxy-rules.ts'
import { approveRealm } from './realm.ts'
import type { TlsMaterial } from './tls-files.ts'
import type { Transport, TransportResponse } from './transport.ts'
import { adviceFor, type Step, StepFailure, type StepName, type WalkTarget } from './walk-step.ts'

export interface WalkedEndpoint extends Endpoint {
  /** As in an image's name. */
  readonly host: string
  readonly transport: Transport
  readonly authenticator: Authenticator
}

export interface WalkOptions {
  readonly config: UpstreamConfig
  readonly endpoint: WalkedEndpoint
  readonly sources: CredentialSources
  /** What the sources complained of so far. */
  readonly problems: readonly string[]
  readonly tls: TlsMaterial
  readonly proxyRules: ProxyRules
  /** Epoch milliseconds. */
  readonly now: () => number
}

export class Walk {
  readonly #options: WalkOptions
  #target: WalkTarget | undefined
  #challenge: Challenge | undefined
  #credentials: readonly Credential[] = []
  #clockSkewMs: number | undefined

  constructor(options: WalkOptions) {
    this.#options = options
  }

  /** How far the registry's clock is ahead of ours, once it has answered and if it said. */
  get clockSkewMs(): number | undefined {
    return this.#clockSkewMs
  }

  /** Ends after the first step that failed. Never rejects for what a registry does. */
  async *take(target: WalkTarget | undefined): AsyncGenerator<Step> {
    this.#target = target
    for (const [step, run] of this.#steps()) {
      const result = await this.#run(step, run)
      yield result
      if (!result.ok) return
    }
  }

  async close(): Promise<void> {
    this.#options.sources.close()
    await this.#options.endpoint.dispatchers.close(0)
  }

  #steps(): readonly (readonly [StepName, () => Promise<string>])[] {
    const { endpoint, config, proxyRules } = this.#options
    const { base } = endpoint
    const proxy = proxyRules.proxyFor(base)
    const first = proxy === undefined ? base : new URL(proxy)
    const by = proxy === undefined ? '' : 'the forward proxy '
    const timeoutMs = config.limits.connectTimeoutMs
    const isDirectTls = proxy === undefined && base.protocol === 'https:'
    const last = this.#target
    return [
      ['dns', async () => by + (await resolveHost(first))],
      ['connect', async () => by + (await checkTcp(first, timeoutMs))],
      ...(isDirectTls ? [['tls', () => this.#checkTls(timeoutMs)] as const] : []),
      ['/v2/', () => this.#ping()],
      ['challenge', async () => this.#judgeChallenge()],
      ['credential', () => this.#findCredentials()],
      ['token', () => this.#authorize()],
      ...(last === undefined ? [] : [['manifest', () => this.#head(last)] as const]),
    ]
  }

  async #run(step: StepName, run: () => Promise<string>): Promise<Step> {
    try {
      return { step, ok: true, detail: await run() }
    } catch (error) {
      if (error instanceof StepFailure) {
        return { step, ok: false, detail: error.message, advice: error.advice }
      }
      const failure = toUpstreamError(this.#options.config.name, error)
      const { status, message } = failure
      const detail = status === undefined ? message : `${message} (${status})`
      return { step, ok: false, detail, advice: adviceFor(failure) }
    }
  }

  async #checkTls(timeoutMs: number): Promise<string> {
    const { endpoint, tls, now } = this.#options
    const { detail, problem } = await checkTls(endpoint.base, tls, { timeoutMs, now: now() })
    if (problem === undefined) return detail
    throw new StepFailure(
      `${detail}, is not trusted (${problem})`,
      'renew the certificate, or name the authority that issued it as caFile',
    )
  }

  async #ping(): Promise<string> {
    const response = await this.#get()
    discard(response.body)
    const { status, headers } = response
    const time = Date.parse(headerOf(headers, 'date') ?? '')
    if (!Number.isNaN(time)) this.#clockSkewMs = time - this.#options.now()
    if (status !== 200 && status !== 401) {
      throw new StepFailure(
        `the registry answered ${status} to GET /v2/`,
        'check that url leads to a registry, and has the path that comes before /v2/, if any',
      )
    }
    if (status === 401) this.#options.endpoint.authenticator.learn(headers, undefined)
    this.#challenge = selectChallenge(parseChallenges(headers['www-authenticate']))
    if (status === 401 && this.#challenge === undefined) {
      throw new StepFailure(
        'the registry wants authentication (401), and does not say which',
        'check that url leads to the registry itself and not to a login page before it',
      )
    }
    return `the registry answered ${status}`
  }

  #judgeChallenge(): string {
    const challenge = this.#challenge
    if (challenge === undefined) return 'none: /v2/ is open to everyone'
    if (challenge.scheme === 'basic') return 'Basic: the password is sent with each request'
    const { endpoint, config } = this.#options
    const realm = challenge.parameters.get('realm')
    const approved = approveRealm(realm, endpoint.base, config.trustedRealms)
    if (approved !== undefined) return `Bearer: tokens are given out by ${approved.origin}`
    const origin = realm !== undefined && URL.canParse(realm) ? new URL(realm).origin : 'no URL'
    throw new StepFailure(
      `Bearer: tokens are to be had from ${origin}, which is not approved`,
      'if that is where this registry has its token server, add it to trustedRealms',
    )
  }

  async #findCredentials(): Promise<string> {
    const { sources, endpoint, problems } = this.#options
    if (sources.count === 0) return 'none configured: Larder pulls anonymously'
    const { repository = '' as Repository } = this.#target ?? {}
    this.#credentials = await sources.own.find(endpoint.host, repository)
    const found = this.#credentials.map(({ source }) => source).join(', then ')
    if (this.#credentials.length > 0) return [found, ...problems].join('; not usable: ')
    if (problems.length > 0) {
      throw new StepFailure(problems.join('; '), 'see credentials in the configuration')
    }
    if (repository === '') return 'none for the registry as a whole: name an image to test its own'
    throw new StepFailure(
      `none of ${sources.count} configured is for ${endpoint.host}/${repository}`,
      'check the paths of credentials and the keys of the files: they have to name this host',
    )
  }

  /** The first that is accepted: pulls do the same. */
  async #authorize(): Promise<string> {
    const isNeeded = this.#challenge !== undefined
    const candidates = this.#credentials.length === 0 ? [undefined] : this.#credentials
    if (!isNeeded) return 'not needed'
    if (candidates[0] === undefined && this.#target === undefined) {
      return 'not asked for: name an image to test whether it can be pulled anonymously'
    }
    const refused: string[] = []
    for (const credential of candidates) {
      const who = credential?.source ?? 'anonymous'
      try {
        await this.#accept(credential)
        return [`granted to ${who}`, ...refused].join('; refused to ')
      } catch (error) {
        if (!(error instanceof UpstreamError) || error.kind !== 'denied') throw error
        refused.push(error.status === undefined ? who : `${who} (${error.status})`)
      }
    }
    throw new StepFailure(
      `refused to ${refused.join('; refused to ')}`,
      'check username, password and expiry of the credential, and what it may pull',
    )
  }

  /** A token that is granted may still be for less than was asked: only the registry knows. */
  async #accept(credential: Credential | undefined): Promise<void> {
    const { authenticator } = this.#options.endpoint
    const access = { repository: this.#target?.repository, actions: 'pull' } as const
    const authorization = await authenticator.authorize(access, credential)
    const isLast = this.#target === undefined || authenticator.usesPassword
    if (!isLast || authorization === undefined) return
    const response = await this.#get(authorization.value)
    discard(response.body)
    if (response.status === 200) return
    const detail = { code: undefined, expired: false, throttled: false }
    throw toStatusError(this.#options.config.name, response, detail, this.#options.now())
  }

  async #head({ repository, reference }: WalkTarget): Promise<string> {
    const { endpoint } = this.#options
    const head = await headManifest(endpoint, repository, reference, { as: { kind: 'larder' } })
    return `${repository} ${formatReference(reference)} is ${head.digest}`
  }

  async #get(authorization?: string): Promise<TransportResponse> {
    const { exchange, transport } = this.#options.endpoint
    const url = exchange.urlOf('/v2/')
    return await transport.request({ kind: 'ping', method: 'GET', url, authorization })
  }
}
