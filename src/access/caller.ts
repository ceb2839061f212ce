import { createHmac, randomBytes } from 'node:crypto'

import type { CallerIdentity } from '../upstream/ports.ts'

/** Who is calling, as far as the request says. */
export interface Caller {
  /** A user the front door let in; `undefined` when it stands open. */
  readonly user: string | undefined
  /** What the front door was opened with. A password leaves no room for a registry's credential. */
  readonly entry: 'open' | 'password' | 'certificate'
  /** What the caller sent as its own credential for a registry. */
  readonly credential: CallerIdentity | undefined
  /** Whether what is sent to it, and what it sends, can be read on the way. */
  readonly isEncrypted: boolean
  /** From where. */
  readonly address: string
}

/**
 * Whether to ask this caller for a credential of its own. To ask makes clients send their secret, so
 * it is done only where nobody else can read it.
 */
export function mayChallenge(
  { entry, isEncrypted }: Caller,
  { allowPlainChallenge }: { readonly allowPlainChallenge: boolean },
): boolean {
  return entry !== 'password' && (isEncrypted || allowPlainChallenge)
}

/** What the operator wants to know of, and count. */
export type AuthFailure = 'password' | 'certificate' | 'caller' | 'limited'

/** Makes identities out of `Authorization` headers. The key dies with the process. */
export class Fingerprints {
  readonly #key = randomBytes(32)

  /** `undefined` for everything but well-formed Basic (RFC 7617). */
  identify(authorization: string | undefined): CallerIdentity | undefined {
    const basic = parseBasic(authorization)
    if (basic === undefined) return undefined
    const { username, password } = basic
    const hmac = createHmac('sha256', this.#key).update(JSON.stringify([username, password]))
    return { kind: 'caller', username, password, fingerprint: hmac.digest('base64url') }
  }
}

const MAX_HEADER = 8192

export function parseBasic(
  authorization: string | undefined,
): { readonly username: string; readonly password: string } | undefined {
  if (authorization === undefined || authorization.length > MAX_HEADER) return undefined
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(authorization)?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}
