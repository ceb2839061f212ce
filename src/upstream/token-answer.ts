/** distribution's docs/spec/auth/token.md: the default, and the least that counts. */
const MIN_LIFE_SECONDS = 60
const MAX_LIFE_SECONDS = 60 * 60
/** For the way to the registry, and for its clock. */
const SKEW_SECONDS = 30

/** What a header can carry, and no more than a header should. */
const TOKEN = /^[\x21-\x7e]{1,32768}$/

export interface Token {
  readonly value: string
  /** How long it may be used, from when it came. */
  readonly lifeMs: number
}

/** Reads a token server's answer; `undefined` when it holds no token that can be sent. */
export function parseToken(text: string): Token | undefined {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof document !== 'object' || document === null) return undefined
  const { token, access_token, expires_in } = document as Record<string, unknown>
  const value = [token, access_token].find((one) => typeof one === 'string' && TOKEN.test(one))
  return typeof value === 'string' ? { value, lifeMs: usableLife(expires_in) } : undefined
}

/** `issued_at` is not looked at: it is of another clock than ours. */
function usableLife(expiresIn: unknown): number {
  const seconds = Number(expiresIn ?? MIN_LIFE_SECONDS)
  const known = Number.isFinite(seconds) ? seconds : MIN_LIFE_SECONDS
  const life = Math.min(Math.max(known, MIN_LIFE_SECONDS), MAX_LIFE_SECONDS)
  return Math.max(life - SKEW_SECONDS, life / 2) * 1000
}
