import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { parseRoute, type Route } from '../../src/api/route.ts'
import { RegistryError } from '../../src/oci/errors.ts'

const HEX = '0123456789abcdef'.repeat(4)
const SHA256 = `sha256:${HEX}`
const SHA512 = `sha512:${HEX}${HEX}`

test('the base is a ping, with and without a slash, a query or a host before it', () => {
  for (const target of ['/v2/', '/v2', '/v2/?x=1', '/docker.io/v2/', '/docker.io/v2']) {
    assert.deepEqual(parseRoute(target), { kind: 'ping' }, target)
  }
})

test('every endpoint of the specification is a route', () => {
  const address = { ns: undefined, name: 'library/app' }
  const routes: readonly (readonly [string, unknown])[] = [
    ['manifests/v1', { kind: 'manifest', address, reference: { kind: 'tag', tag: 'v1' } }],
    [
      `manifests/${SHA512}`,
      { kind: 'manifest', address, reference: { kind: 'digest', digest: SHA512 } },
    ],
    [`blobs/${SHA256}`, { kind: 'blob', address, digest: SHA256 }],
    [`blobs/${SHA256.replace(':', '%3A')}`, { kind: 'blob', address, digest: SHA256 }],
    ['tags/list', { kind: 'tags', address, n: undefined, last: undefined }],
    ['tags/list?n=3&last=v1', { kind: 'tags', address, n: 3, last: 'v1' }],
    [
      `referrers/${SHA256}`,
      { kind: 'referrers', address, subject: SHA256, artifactType: undefined },
    ],
    [
      `referrers/${SHA256}?artifactType=a%2Fb`,
      { kind: 'referrers', address, subject: SHA256, artifactType: 'a/b' },
    ],
    ['blobs/uploads', { kind: 'upload', address, rest: '/' }],
    ['blobs/uploads/', { kind: 'upload', address, rest: '/' }],
    ['blobs/uploads/a-b_c=1', { kind: 'upload', address, rest: '/a-b_c=1' }],
    ['blobs/uploads/a/b', { kind: 'upload', address, rest: '/a/b' }],
  ]
  for (const [rest, route] of routes) {
    assert.deepEqual(parseRoute(`/v2/library/app/${rest}`), route, rest)
  }
})

test('ns and a host before /v2 are the address, as they were written', () => {
  const addressOf = (target: string) => {
    const route = parseRoute(target)
    return route.kind === 'ping' ? undefined : route.address
  }
  assert.deepEqual(addressOf('/v2/a/manifests/v1?ns=r%3A5000'), { ns: 'r:5000', name: 'a' })
  assert.deepEqual(addressOf('/v2/r:5000/a/manifests/v1'), { ns: undefined, name: 'r:5000/a' })
  assert.deepEqual(addressOf('/r:5000/v2/a/manifests/v1'), { ns: undefined, name: 'r:5000/a' })
  assert.deepEqual(addressOf('/v2/a/tags/list?ns='), { ns: '', name: 'a' })
})

test('the last keyword of a path is its endpoint', () => {
  for (const name of ['a/manifests/b', 'blobs', 'a/tags/list', 'a/blobs/uploads', 'v2', 'a/v2/b']) {
    for (const [rest, kind] of [
      ['manifests/latest', 'manifest'],
      [`blobs/${SHA256}`, 'blob'],
      ['tags/list', 'tags'],
    ]) {
      const route = parseRoute(`/v2/${name}/${rest}`)
      assert.equal(route.kind, kind)
      assert.equal(route.kind === 'ping' ? '' : route.address.name, name)
    }
  }
})

test('what is wrong is said with the code that the specification has for it', () => {
  for (const [target, code, status] of [
    ['/v2/a/blobs/sha256:00', 'DIGEST_INVALID', 400],
    ['/v2/a/blobs/v1', 'DIGEST_INVALID', 400],
    ['/v2/a/referrers/v1', 'DIGEST_INVALID', 400],
    ['/v2/a/manifests/a:b', 'DIGEST_INVALID', 400],
    ['/v2/a/manifests/.x', 'MANIFEST_INVALID', 400],
    ['/v2/a/../manifests/x', 'NAME_INVALID', 400],
    ['/v2/a%2Fb/manifests/x', 'NAME_INVALID', 400],
    ['/v2/a//manifests/x', 'NAME_INVALID', 400],
    ['/v2/a/manifests/x?ns=a&ns=a', 'NAME_INVALID', 400],
    ['/v2/a/tags/list?n=x', 'UNSUPPORTED', 400],
    ['/v2/a/tags/list?last=1&last=2', 'NAME_INVALID', 400],
    ['/v2/_catalog', 'NAME_UNKNOWN', 404],
    ['/v1/a', 'NAME_UNKNOWN', 404],
    ['', 'NAME_UNKNOWN', 404],
    ['*', 'NAME_INVALID', 400],
  ] as const) {
    assert.throws(
      () => parseRoute(target),
      (error) => error instanceof RegistryError && error.code === code && error.status === status,
      target,
    )
  }
})

test('any target is a route or a RegistryError that is a 4xx, and fast', () => {
  const piece = fc.constantFrom(
    ...[
      'v2',
      'manifests',
      'blobs',
      'uploads',
      'tags',
      'list',
      'referrers',
      '..',
      '.',
      '',
      'a',
      SHA256,
    ],
    ...[
      '%2e%2e',
      '%2F',
      '%00',
      '%',
      '%zz',
      '?ns=',
      '&ns=x',
      '__proto__',
      ':',
      '@',
      'é',
      '\\',
      '\n',
    ],
  )
  const target = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc
      .array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 20 })
      .map((all) => `/${all.join('/')}`),
  )
  fc.assert(
    fc.property(target, (text) => {
      const route = routeOf(text)
      if (route === undefined || route.kind === 'ping') return
      const { name } = route.address
      assert.ok(!name.split('/').some((segment) => ['', '.', '..'].includes(segment)), name)
      assert.doesNotMatch(name, /[\0-\x20\x7f\\%?#]/)
    }),
    { numRuns: 5000 },
  )
})

test('encoding any character of a path changes nothing', () => {
  const path = `/v2/library/app/blobs/${SHA256}`
  const encoded = fc.array(fc.nat(path.length - 1), { maxLength: 10 }).map((positions) =>
    [...path]
      .map((character, i) => {
        if (character === '/' || !positions.includes(i)) return character
        return `%${character.charCodeAt(0).toString(16)}`
      })
      .join(''),
  )
  fc.assert(fc.property(encoded, (text) => assert.deepEqual(parseRoute(text), parseRoute(path))))
})

test('long targets are refused in a time that does not grow out of hand', () => {
  const started = performance.now()
  for (const body of [
    'a/',
    'manifests/',
    'blobs/uploads/',
    '%2e',
    '/',
    'tags/list/',
    '&ns=',
    '?',
  ]) {
    routeOf(`/v2/${body.repeat(64_000 / body.length)}`)
  }
  assert.ok(performance.now() - started < 1000)
})

/** `undefined` for what is refused as it should be. */
function routeOf(target: string): Route | undefined {
  try {
    return parseRoute(target)
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    assert.ok(error.status >= 400 && error.status < 500, `${error.status}`)
    return undefined
  }
}
