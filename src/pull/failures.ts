import { ContentMismatchError, type ErrorCode, RegistryError } from '../oci/errors.ts'
import { UpstreamError } from '../upstream/errors.ts'
import { isOurs } from '../upstream/failures.ts'
import { HashThreadError } from './hash-thread.ts'

const UNKNOWN = {
  manifest: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  tags: 'NAME_UNKNOWN',
  referrers: 'MANIFEST_UNKNOWN',
} as const satisfies Record<string, ErrorCode>

export type Subject = keyof typeof UNKNOWN

/**
 * What a caller is told when there is no copy to serve. 404 is said only of what the registry said
 * 404 to: a signature check would believe it. 429 becomes 503, because containerd repeats a 429
 * five times at once.
 */
export function toRegistryError(cause: unknown, subject: Subject): unknown {
  if (cause instanceof ContentMismatchError) {
    const message = 'the registry sent bytes that are not what their digest says'
    return new RegistryError('UPSTREAM_FAILED', { message, cause })
  }
  if (cause instanceof HashThreadError) {
    return new RegistryError('UNAVAILABLE', { message: cause.message, cause })
  }
  if (!(cause instanceof UpstreamError)) return cause
  const { message } = cause
  switch (cause.kind) {
    case 'unknown': {
      const isName = cause.code === 'NAME_UNKNOWN' && subject !== 'referrers'
      return new RegistryError(isName ? 'NAME_UNKNOWN' : UNKNOWN[subject], { cause })
    }
    case 'denied':
      return new RegistryError('DENIED', { message, cause })
    case 'throttled': {
      const seconds = Math.max(1, Math.ceil((cause.retryAfterMs ?? 30_000) / 1000))
      const headers = { 'Retry-After': String(seconds) }
      return new RegistryError('TOOMANYREQUESTS', { status: 503, message, headers, cause })
    }
    case 'timeout':
      return new RegistryError('UPSTREAM_FAILED', { status: 504, message, cause })
    case 'offline': {
      const why = cause.reason === 'blocked' ? message : 'which is offline'
      return new RegistryError('UPSTREAM_FAILED', {
        status: 504,
        message: `not in this cache, ${why}`,
        detail: { offline: true },
        cause,
      })
    }
    case 'failed':
    case 'unreachable':
    case 'invalid':
      if (isOurs(cause)) return outOfDescriptors(cause)
      return new RegistryError('UPSTREAM_FAILED', { message, cause })
    default:
      return cause.kind satisfies never
  }
}

/** There was no descriptor for a file: it is said neither of the content nor of the disk. */
export function isOutOfDescriptors(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return error.code === 'EMFILE' || error.code === 'ENFILE'
}

/** For a file or for a socket. It passes as soon as other pulls have ended. */
export function outOfDescriptors(cause: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'the cache has no file descriptors left: try again',
    headers: { 'Retry-After': '1' },
    cause,
  })
}

/** The registry was asked and could not say: what is here may be served in its place. */
export function isOutage(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind !== 'unknown' && error.kind !== 'denied'
}
