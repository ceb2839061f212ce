import { createHash, type Hash } from 'node:crypto'

import { RegistryError } from './errors.ts'

/** `<algorithm>:<hex>`, lower case, of a registered algorithm; made only by {@link parseDigest}. */
export type Digest = string & { readonly __brand: 'Digest' }

export type Algorithm = 'sha256' | 'sha512'

const ENCODED: Readonly<Record<Algorithm, RegExp>> = {
  sha256: /^[a-f0-9]{64}$/,
  sha512: /^[a-f0-9]{128}$/,
}

export const EMPTY_SHA256 =
  'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as Digest

/**
 * image-spec v1.1 descriptor.md "Digests". Upper-case hex is not equal to lower-case hex.
 *
 * @throws {RegistryError} `DIGEST_INVALID` when it is malformed or of an unregistered algorithm.
 */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new RegistryError('DIGEST_INVALID')
  return text
}

export function isDigest(text: unknown): text is Digest {
  if (typeof text !== 'string') return false
  const colon = text.indexOf(':')
  const algorithm = text.slice(0, colon)
  return (
    (algorithm === 'sha256' || algorithm === 'sha512') &&
    ENCODED[algorithm].test(text.slice(colon + 1))
  )
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}

export function createHasher(digest: Digest): Hash {
  return createHash(algorithmOf(digest))
}
