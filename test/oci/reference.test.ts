import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { type Digest, digestOf, isDigest, parseDigest } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import {
  formatImageReference,
  formatReference,
  type ImageReference,
  isRepository,
  isTag,
  normalizeRegistry,
  parseImageReference,
  parseReference,
  parseRepository,
  referrersTag,
} from '../../src/oci/reference.ts'

/** As they stand in distribution-spec v1.1.1, "Pulling manifests". */
const NAME = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

const DIGEST = digestOf(Buffer.from('x'))

test('names of the specification are repositories', () => {
  for (const name of ['a', 'library/alpine', 'a.b/c_d/e__f/g-h/i--j', '0/1', 'a'.repeat(255)]) {
    assert.equal(parseRepository(name), name)
  }
})

test('other names are NAME_INVALID', () => {
  for (const name of [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'A',
    'a..b',
    'a___b',
    '-a',
    'a-',
    '_a',
    'a.',
    'a b',
    'a:b',
    'ä',
    'a\n',
    '..',
    'a'.repeat(256),
  ]) {
    assert.equal(isRepository(name), false, name)
    assert.throws(() => parseRepository(name), withCode('NAME_INVALID'), name)
  }
})

test('any text is a repository or a tag exactly when the specification says so', () => {
  const nearly = fc.stringMatching(/^[a-c0-1A._\-/ :]{0,14}$/)
  fc.assert(
    fc.property(fc.oneof(fc.string(), nearly), (text) => {
      assert.equal(isRepository(text), NAME.test(text))
      assert.equal(isTag(text), TAG.test(text))
    }),
    { numRuns: 5000 },
  )
})

test('every name and tag that the grammar can make is taken', () => {
  fc.assert(
    fc.property(fc.stringMatching(NAME), fc.stringMatching(TAG), (name, tag) => {
      assert.equal(isRepository(name), name.length <= 255)
      assert.ok(isTag(tag))
      assert.deepEqual(parseReference(tag), { kind: 'tag', tag })
      assert.equal(formatReference(parseReference(tag)), tag)
    }),
  )
})

test('a long name is judged in a time that does not grow out of hand', () => {
  const started = performance.now()
  for (const piece of ['a-', 'a.', 'a_', 'a/', '--', 'a__']) {
    isRepository(`${piece.repeat(100_000)}!`)
    isRepository(`${piece.repeat(Math.floor(250 / piece.length))}!`)
  }
  assert.ok(performance.now() - started < 1000)
})

test('what has a colon is a digest, or nothing', () => {
  assert.deepEqual(parseReference(DIGEST), { kind: 'digest', digest: DIGEST })
  assert.equal(formatReference(parseReference(DIGEST)), DIGEST)
  assert.throws(() => parseReference('a:b'), withCode('DIGEST_INVALID'))
  assert.throws(() => parseReference(`${DIGEST}0`), withCode('DIGEST_INVALID'))
  for (const text of ['', '.a', '-a', 'a/b', 'a b', 'a'.repeat(129), 'a\n']) {
    assert.throws(() => parseReference(text), withCode('MANIFEST_INVALID'), text)
  }
})

test('any text is a reference or a RegistryError', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const reference = parseReference(text)
        assert.equal(formatReference(reference), text)
        assert.equal(reference.kind === 'digest', isDigest(text))
      } catch (error) {
        assert.ok(error instanceof RegistryError && error.status === 400)
      }
    }),
  )
})

test('referrers tags are those of the specification, and tags', () => {
  const encoded = 'a'.repeat(128)
  const sha512 = parseDigest(`sha512:${encoded}`)
  assert.equal(referrersTag(DIGEST), DIGEST.replace(':', '-'))
  assert.equal(referrersTag(sha512), `sha512-${encoded.slice(0, 64)}`)
  const strange = `${'test+'.repeat(10)}:${'x=y'.repeat(40)}` as Digest
  assert.ok(isTag(referrersTag(strange)))
})

test('an image is read as Docker reads it', () => {
  for (const [text, registry, repository, tag] of [
    ['nginx', 'docker.io', 'library/nginx', 'latest'],
    ['nginx:1.27', 'docker.io', 'library/nginx', '1.27'],
    ['team/app', 'docker.io', 'team/app', 'latest'],
    ['docker.io/nginx', 'docker.io', 'library/nginx', 'latest'],
    ['index.docker.io/library/nginx', 'docker.io', 'library/nginx', 'latest'],
    ['registry-1.docker.io/team/app:v1', 'docker.io', 'team/app', 'v1'],
    ['ghcr.io/acme/app:v1', 'ghcr.io', 'acme/app', 'v1'],
    ['GHCR.io/acme/app', 'ghcr.io', 'acme/app', 'latest'],
    ['localhost/app', 'localhost', 'app', 'latest'],
    ['localhost:5000/app:v1', 'localhost:5000', 'app', 'v1'],
    ['reg.example:5000/app', 'reg.example:5000', 'app', 'latest'],
    ['localhost', 'docker.io', 'library/localhost', 'latest'],
    ['nginx:5000', 'docker.io', 'library/nginx', '5000'],
    ['my-registry/app', 'docker.io', 'my-registry/app', 'latest'],
    ['10.0.0.1/app', '10.0.0.1', 'app', 'latest'],
    ['[fd00::1]:5000/app:v1', '[fd00::1]:5000', 'app', 'v1'],
    ['app:V1.2_x', 'docker.io', 'library/app', 'V1.2_x'],
  ] as const) {
    const expected = { registry, repository, tag, digest: undefined }
    assert.deepEqual(parseImageReference(text), expected, text)
  }
  const pinned = { registry: 'docker.io', repository: 'library/nginx', digest: DIGEST }
  assert.deepEqual(parseImageReference(`nginx@${DIGEST}`), { ...pinned, tag: undefined })
  assert.deepEqual(parseImageReference(`nginx:1@${DIGEST}`), { ...pinned, tag: '1' })
})

test('an image that is none is a RegistryError', () => {
  for (const text of [
    '',
    ':',
    '@',
    'a@b',
    `a@${DIGEST}@${DIGEST}`,
    'a:',
    'a:b:c',
    'UPPER',
    'ghcr.io/',
    'ghcr.io/A',
    'a b',
    '/a',
    'https://ghcr.io/a',
    'ghcr.io//a',
    '-',
    'LOCALHOST/a',
    'a.b_c/d',
    '-a.b/c',
    'a..b/c',
    'a.b:port/c',
    'a.b:/c',
    'user@a.b/c',
    `${'a'.repeat(300)}.b/c`,
    'a'.repeat(256),
    'f'.repeat(64),
  ]) {
    assert.throws(() => parseImageReference(text), RegistryError, text)
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-b.:/@]{0,12}$/)), (text) => {
      try {
        const { registry, repository, tag, digest } = parseImageReference(text)
        assert.ok(isRepository(repository))
        assert.ok(tag === undefined || isTag(tag))
        assert.ok(tag !== undefined || digest !== undefined)
        assert.equal(registry, normalizeRegistry(registry))
      } catch (error) {
        assert.ok(error instanceof RegistryError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('an image that is written out in full is the same image again', () => {
  const name = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[a-bA.:/@-]{0,12}$/),
    fc.stringMatching(
      /^(?:[a-c]{1,3}[.:][0-9]{1,3}\/)?(?:[a-c]{1,3}\/)?[a-c]{1,3}(?::[A-C0-9]{1,3})?$/,
    ),
  )
  const digest = fc.constantFrom('', `@${DIGEST}`)
  const read = { count: 0 }
  fc.assert(
    fc.property(name, digest, (text, suffix) => {
      const image = parsed(text + suffix)
      if (image === undefined) return
      read.count++
      assert.deepEqual(parseImageReference(formatImageReference(image)), image)
    }),
    { numRuns: 3000 },
  )
  assert.ok(read.count > 500)
  assert.equal(formatImageReference(parseImageReference('nginx')), 'docker.io/library/nginx:latest')
  const both = `ghcr.io/a/b:v1@${DIGEST}`
  assert.equal(formatImageReference(parseImageReference(both)), both)
})

function parsed(text: string): ImageReference | undefined {
  try {
    return parseImageReference(text)
  } catch {
    return undefined
  }
}

test('the names of Docker Hub are one, and no other name is changed but to lower case', () => {
  for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'Index.Docker.IO']) {
    assert.equal(normalizeRegistry(host), 'docker.io')
  }
  for (const host of ['ghcr.io', 'docker.io:443', 'x.docker.io', '__proto__', '']) {
    assert.equal(normalizeRegistry(host), host)
  }
})

function withCode(code: string) {
  return (error: unknown) => error instanceof RegistryError && error.code === code
}
