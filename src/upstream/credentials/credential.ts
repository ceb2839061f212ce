import { createHmac, randomBytes } from 'node:crypto'

import type { Repository } from '../../oci/reference.ts'
import { statedExpiry } from './expiry.ts'

export interface Credential {
  readonly username: string
  readonly password: string
  /** An HMAC of the above: what caches are keyed by, so that no secret is ever a key. */
  readonly fingerprint: string
  /** An OAuth2 refresh token: exchanged at the token endpoint, not a password. */
  readonly identityToken?: string
  /** Where it comes from, for a person; absent for a caller's own. */
  readonly source?: string
  /** Epoch milliseconds, where it is known. */
  readonly expiresAt?: number
}

/** Where credentials for a registry come from. */
export interface CredentialSource {
  /** For a person, such as a file's name; tells it from the other sources. */
  readonly name: string
  /**
   * All that may be tried for `host/repository`, most specific first.
   *
   * @param host as in an image's name: `docker.io`, `registry.example:5000`
   * @throws {Error} that says what is wrong, and no secret
   */
  find(host: string, repository: Repository): Promise<readonly Credential[]>
  /** Told when a registry refuses one: what is kept of its making is looked at again. */
  invalidate?(credential: Credential): void
}

export interface CredentialDetails {
  readonly source: string
  readonly identityToken?: string | undefined
  /** Where the secret itself says nothing. */
  readonly expiresAt?: number | undefined
}

/** Docker's way to say that the password is an identity token. */
const TOKEN_USERNAME = '<token>'

/** Makes credentials that can be told apart without being read. */
export class CredentialFactory {
  /** Of this process: a fingerprint that leaks says nothing of the password. */
  readonly #key = randomBytes(32)

  create(username: string, password: string, details: CredentialDetails): Credential {
    const token = details.identityToken ?? (username === TOKEN_USERNAME ? password : undefined)
    const expiresAt = statedExpiry(token ?? password) ?? details.expiresAt
    const fingerprint = createHmac('sha256', this.#key)
      .update(JSON.stringify([username, password, token ?? '']))
      .digest('hex')
    return {
      username,
      password,
      fingerprint,
      source: details.source,
      ...(token === undefined ? {} : { identityToken: token }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    }
  }
}

/** RFC 7617. Where nobody exchanges an identity token, it is sent as the password. */
export function basicAuthorization(credential: Credential): string {
  const { username, password, identityToken } = credential
  const name = identityToken !== undefined && username === TOKEN_USERNAME ? '' : username
  const pair = `${name}:${identityToken ?? password}`
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`
}
