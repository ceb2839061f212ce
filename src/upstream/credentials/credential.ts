import { createHmac, randomBytes } from 'node:crypto'

import type { Repository } from '../../oci/reference.ts'

export interface Credential {
  readonly username: string
  readonly password: string
  /** An HMAC of the above: what caches are keyed by, so that no secret is ever a key. */
  readonly fingerprint: string
  /** An OAuth2 refresh token: exchanged at the token endpoint, not a password. */
  readonly identityToken?: string
}

/** Where credentials for a registry come from. */
export interface CredentialSource {
  /**
   * All that may be tried for `host/repository`, most specific first.
   *
   * @param host as in an image's name: `docker.io`, `registry.example:5000`
   */
  find(host: string, repository: Repository): Promise<readonly Credential[]>
  /** Told when a registry says that one has expired, for sources that keep what they made. */
  invalidate?(credential: Credential): void
}

/** Docker's way to say that the password is an identity token. */
const TOKEN_USERNAME = '<token>'

/** Makes credentials that can be told apart without being read. */
export class CredentialFactory {
  /** Of this process: a fingerprint that leaks says nothing of the password. */
  readonly #key = randomBytes(32)

  create(username: string, password: string, identityToken?: string): Credential {
    const token = identityToken ?? (username === TOKEN_USERNAME ? password : undefined)
    const fingerprint = createHmac('sha256', this.#key)
      .update(JSON.stringify([username, password, token ?? '']))
      .digest('hex')
    return {
      username,
      password,
      fingerprint,
      ...(token === undefined ? {} : { identityToken: token }),
    }
  }
}

/** RFC 7617. */
export function basicAuthorization({ username, password }: Credential): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}
