import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'

import fc from 'fast-check'

import {
  algorithmOf,
  createHasher,
  digestOf,
  EMPTY_SHA256,
  encodedOf,
  isDigest,
  parseDigest,
} from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'

const HEX = '0123456789abcdef'.repeat(4)
/** image-spec v1.1 descriptor.md "Digests": the grammar, then what each registered algorithm adds. */
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const REGISTERED = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/

test('sha256 and sha512 in lower-case hex are digests', () => {
  assert.equal(parseDigest(`sha256:${HEX}`), `sha256:${HEX}`)
  assert.equal(parseDigest(`sha512:${HEX}${HEX}`), `sha512:${HEX}${HEX}`)
})

test('everything else is DIGEST_INVALID', () => {
  for (const text of [
    '',
    ':',
    'sha256',
    'sha256:',
    `:${HEX}`,
    HEX,
    `sha256:${HEX}0`,
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX.toUpperCase()}`,
    `SHA256:${HEX}`,
    `sha512:${HEX}`,
    `sha256:${HEX}${HEX}`,
    `sha384:${HEX}`,
    `md5:${HEX.slice(32)}`,
    `sha256:${HEX}\n`,
    ` sha256:${HEX}`,
    `sha256:sha256:${HEX}`,
    `sha256:${HEX.replace('0', 'g')}`,
    `constructor:${HEX}`,
    `__proto__:${HEX}`,
  ]) {
    assert.equal(isDigest(text), false, text)
    assert.throws(() => parseDigest(text), refusal, text)
  }
})

test('what is no text is no digest', () => {
  for (const value of [
    undefined,
    null,
    5,
    {},
    [`sha256:${HEX}`],
    { toString: () => `sha256:${HEX}` },
  ]) {
    assert.equal(isDigest(value), false)
  }
})

test('any text is a digest exactly when the specification says so', () => {
  const nearly = fc
    .tuple(
      fc.constantFrom('sha256', 'sha512', 'sha256+b64u', 'SHA256', 'md5', ''),
      fc.constantFrom(':', '', '::', '-'),
      fc.stringMatching(/^[a-f0-9AG=_-]{0,6}$/),
      fc.constantFrom(56, 58, 60, 62, 64, 122, 124, 128),
    )
    .map(([algorithm, colon, start, length]) =>
      `${algorithm}${colon}${start}${HEX}${HEX}`.slice(
        0,
        algorithm.length + colon.length + start.length + length,
      ),
    )
  fc.assert(
    fc.property(fc.oneof(fc.string(), nearly), (text) => {
      assert.equal(isDigest(text), GRAMMAR.test(text) && REGISTERED.test(text))
    }),
    { numRuns: 3000 },
  )
})

test('the digest of any bytes is what the algorithm gives, at once or piece by piece', () => {
  const bytes = fc.uint8Array({ maxLength: 300 })
  fc.assert(
    fc.property(bytes, bytes, fc.constantFrom('sha256', 'sha512'), (one, two, algorithm) => {
      const whole = Buffer.concat([one, two])
      const digest = digestOf(whole, algorithm)
      assert.ok(isDigest(digest))
      assert.equal(algorithmOf(digest), algorithm)
      assert.equal(encodedOf(digest), createHash(algorithm).update(whole).digest('hex'))
      const pieces = createHasher(digest).update(one).update(two).digest('hex')
      assert.equal(pieces, encodedOf(digest))
    }),
  )
})

test('the digest of nothing is known', () => {
  assert.equal(digestOf(Buffer.alloc(0)), EMPTY_SHA256)
})

function refusal(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'DIGEST_INVALID' && error.status === 400
}
