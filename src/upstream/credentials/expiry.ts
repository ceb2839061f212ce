/** Some secrets say until when they are good: JSON Web Tokens (ACR's), and what ECR gives out. */

/** Longer ones are not looked into. */
const MAX_LENGTH = 64 * 1024
/** What is outside of 2001…2100 is no time of our days. */
const MIN_SECONDS = 1_000_000_000
const MAX_SECONDS = 4_102_444_800

/** For the way to the registry, and for its clock. */
const SKEW_MS = 30_000
/** What comes all but expired is what there is: to ask for it every time would bring no other. */
const MIN_KEPT_MS = 10_000

/**
 * Reads without verifying: who would lie to us about it only shortens its own use.
 *
 * @returns epoch milliseconds; `undefined` when the secret says nothing
 */
export function statedExpiry(secret: string): number | undefined {
  if (secret.length > MAX_LENGTH) return undefined
  // RFC 7519 §4.1.4: `exp` in the second of three parts.
  const payload = /^[\w-]+\.([\w-]+)\.[\w-]*$/.exec(secret)?.[1]
  if (payload !== undefined) return toTime(fieldOf(payload, 'exp'))
  return /^eyJ[\w+/=-]+$/.test(secret) ? toTime(fieldOf(secret, 'expiration')) : undefined
}

/**
 * How long a credential may be kept: `maxMs`, unless it expires before that.
 *
 * @param expiresAt epoch milliseconds, if that is known
 * @param now epoch milliseconds
 */
export function keepMs(maxMs: number, expiresAt: number | undefined, now: number): number {
  if (expiresAt === undefined) return maxMs
  return Math.min(maxMs, Math.max(expiresAt - SKEW_MS - now, MIN_KEPT_MS))
}

function fieldOf(encoded: string, name: string): unknown {
  try {
    const document: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))
    const isMap = typeof document === 'object' && document !== null
    return isMap ? (document as Record<string, unknown>)[name] : undefined
  } catch {
    return undefined
  }
}

function toTime(seconds: unknown): number | undefined {
  const isTime = typeof seconds === 'number' && seconds > MIN_SECONDS && seconds < MAX_SECONDS
  return isTime ? seconds * 1000 : undefined
}
