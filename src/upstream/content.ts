import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { UpstreamError } from './errors.ts'
import { type Headers, headerOf } from './headers.ts'

/** What a registry says the content's digest is; `undefined` when it says nothing usable. */
export function announcedDigest(headers: Headers): Digest | undefined {
  const text = headerOf(headers, 'docker-content-digest')?.trim()
  return isDigest(text) ? text : undefined
}

/** @throws {UpstreamError} `invalid` unless `bytes` hash to `digest` */
export function verifyContent(upstream: string, bytes: Uint8Array, digest: Digest): void {
  if (digestOf(bytes, algorithmOf(digest)) !== digest) throw digestMismatch(upstream)
}

export function digestMismatch(upstream: string): UpstreamError {
  const message = 'the registry sent other content than its digest says'
  return new UpstreamError('invalid', { upstream, reason: 'digest_mismatch', message })
}

export function protocolError(upstream: string, message: string): UpstreamError {
  return new UpstreamError('invalid', { upstream, reason: 'protocol', message })
}
