import type { Logger } from '../log.ts'
import type { Repository } from '../oci/reference.ts'
import { type Challenge, parseChallenges, selectChallenge } from './challenge.ts'
import { basicAuthorization, type Credential } from './credentials/credential.ts'
import { UpstreamError } from './errors.ts'
import type { Headers } from './headers.ts'
import { approveRealm } from './realm.ts'
import type { Tokens } from './tokens.ts'

/** What is to be done in a repository, as a token's scope names it. */
export type Actions = 'pull' | 'pull,push' | 'pull,push,delete'

export interface AuthenticatorOptions {
  readonly upstream: string
  readonly endpoint: URL
  readonly trustedRealms: readonly string[]
  readonly tokens: Tokens
  readonly logger: Logger
}

export interface Access {
  /** `undefined`: the registry as a whole. */
  readonly repository: Repository | undefined
  readonly actions: Actions
}

export interface Authorization {
  /** Of the header. */
  readonly value: string
  /** Whether it was made just now, so that a 401 to it is final. */
  readonly fresh: boolean
}

/**
 * Authentication at one endpoint. The registry's first 401 says how; what it said is remembered, so
 * that later requests carry their authorization at once.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  #challenge: Challenge | undefined

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  get challenged(): boolean {
    return this.#challenge !== undefined
  }

  /** Whether the password itself is sent, and not a token. */
  get usesPassword(): boolean {
    return this.#challenge?.scheme === 'basic'
  }

  /**
   * Takes the challenge of a 401. After a stale token Harbor challenges for Basic, though it wants
   * a new token: a challenge for Bearer that was once seen is given up only when a fresh token was
   * of no use.
   */
  learn(headers: Headers, sent: Authorization | undefined): void {
    const challenge = selectChallenge(parseChallenges(headers['www-authenticate']))
    if (challenge === undefined) return
    const stale = sent !== undefined && !sent.fresh && this.#challenge?.scheme === 'bearer'
    if (stale && challenge.scheme === 'basic') return
    this.#challenge = challenge
  }

  /**
   * The header for a request, or `undefined` when none is known to be needed or none can be made.
   *
   * @param rejected the header's value that was just answered with 401
   * @param isNew whether a token that was given out earlier will not do
   * @throws {UpstreamError} `invalid`, reason `realm`, when tokens are to be had from a stranger;
   *   `denied` when the token server refuses
   */
  async authorize(
    access: Access,
    credential: Credential | undefined,
    rejected?: string,
    isNew?: boolean,
  ): Promise<Authorization | undefined> {
    const challenge = this.#challenge
    if (challenge === undefined) return undefined
    if (challenge.scheme === 'basic') {
      if (credential === undefined) return undefined
      return { value: basicAuthorization(credential), fresh: true }
    }
    const { value, fresh } = await this.#options.tokens.get({
      realm: this.#approve(challenge.parameters.get('realm')),
      service: challenge.parameters.get('service'),
      scope: scopeOf(access, challenge.parameters.get('scope')),
      credential,
      rejected: rejected?.replace(/^Bearer /, ''),
      isNew,
    })
    return { value: `Bearer ${value}`, fresh }
  }

  #approve(realm: string | undefined): URL {
    const { upstream, endpoint, trustedRealms, logger } = this.#options
    const approved = approveRealm(realm, endpoint, trustedRealms)
    if (approved !== undefined) return approved
    const origin = realm !== undefined && URL.canParse(realm) ? new URL(realm).origin : 'no URL'
    logger.warn(
      { upstream, realm: origin },
      'the registry asks for tokens of a place that is not approved; trustedRealms may allow it',
    )
    // Asked again, it may say something else.
    this.#challenge = undefined
    const message = 'the registry sends its clients for tokens to a place that is not approved'
    throw new UpstreamError('invalid', { upstream, reason: 'realm', message })
  }
}

/**
 * What to ask for: this repository and no more, whatever the challenge says; but where the
 * challenge names something that is no repository, as ECR's public registry does, that.
 */
function scopeOf(
  { repository, actions }: Access,
  challenged: string | undefined,
): string | undefined {
  if (challenged !== undefined && challenged !== '' && !challenged.startsWith('repository')) {
    return challenged
  }
  return repository === undefined ? undefined : `repository:${repository}:${actions}`
}
