import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { formatAddress, isLoopback, parseAddress, parseMatch } from '../../src/config/addresses.ts'
import { formatDuration, parseDuration } from '../../src/config/durations.ts'
import { formatSize, formatSpace, parseSize, parseSpace } from '../../src/config/sizes.ts'
import { registryUrlProblem } from '../../src/config/urls.ts'

test('a duration is a number with its unit', () => {
  const cases = {
    '500ms': 500,
    '30s': 30_000,
    '1.5m': 90_000,
    '24h': 86_400_000,
    '7d': 604_800_000,
  }
  for (const [text, durationMs] of Object.entries(cases)) {
    assert.equal(parseDuration(text), durationMs, text)
  }
  for (const text of [
    '',
    '5',
    's',
    '-1s',
    '1h30m',
    '1 s',
    '1S',
    'never',
    '1e3s',
    '999999999999d',
  ]) {
    assert.equal(parseDuration(text), undefined, text)
  }
})

test('a size counts in 1024s with an i, in 1000s without', () => {
  const cases = { '512KiB': 524_288, '10GB': 1e10, '1.5MiB': 1_572_864, '7B': 7, '1kB': 1000 }
  for (const [text, bytes] of Object.entries(cases)) assert.equal(parseSize(text), bytes, text)
  for (const text of ['', '5', '5G', '5Gi', '-1B', '80%', '1 KiB', '99999TiB9', '9999999999TiB']) {
    assert.equal(parseSize(text), undefined, text)
  }
})

test('a space is a size or a share of at most all', () => {
  assert.deepEqual(parseSpace('80%'), { percent: 80 })
  assert.deepEqual(parseSpace('0.5%'), { percent: 0.5 })
  assert.deepEqual(parseSpace('10GB'), { bytes: 1e10 })
  assert.equal(parseSpace('101%'), undefined)
  assert.equal(formatSpace({ percent: 80 }), '80%')
})

test('any duration is read back from its text', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 10 ** 12 }),
      fc.constantFrom(1, 1000, 60_000, 86_400_000),
      (n, unit) => {
        const durationMs = Math.floor(n / unit) * unit
        assert.equal(parseDuration(formatDuration(durationMs)), durationMs)
      },
    ),
  )
})

test('any size is read back from its text', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.constantFrom(1, 1000, 1024, 1024 ** 3), (n, unit) => {
      const bytes = Math.floor(n / unit) * unit
      assert.equal(parseSize(formatSize(bytes)), bytes)
    }),
  )
  assert.equal(formatSize(1e10), '10GB')
  assert.equal(formatSize(100 * 1024 ** 3), '100GiB')
})

test('an address has a port and perhaps a host', () => {
  assert.deepEqual(parseAddress('127.0.0.1:0'), { host: '127.0.0.1', port: 0 })
  assert.deepEqual(parseAddress(':5000'), { host: '0.0.0.0', port: 5000 })
  assert.deepEqual(parseAddress('[::1]:5000'), { host: '::1', port: 5000 })
  assert.deepEqual(parseAddress('cache.example.com:5000'), {
    host: 'cache.example.com',
    port: 5000,
  })
  for (const text of ['', '5000', 'host', '::1', '::1:5000', 'a:65536', 'a b:1', '[x]:1', 'a:']) {
    assert.equal(parseAddress(text), undefined, text)
  }
  assert.equal(formatAddress({ host: '::1', port: 1 }), '[::1]:1')
})

test('loopback is what never leaves the machine', () => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]']) {
    assert.ok(isLoopback(host), host)
  }
  for (const host of ['127.0.0.1.example.com', 'localhost.example.com', '10.0.0.1', '::']) {
    assert.ok(!isLoopback(host), host)
  }
})

test('a match is a host in lower case, and Docker Hub has one name', () => {
  assert.equal(parseMatch('GHCR.io'), 'ghcr.io')
  assert.equal(parseMatch('Registry-1.docker.io'), 'docker.io')
  assert.equal(parseMatch('index.docker.io'), 'docker.io')
  assert.equal(parseMatch('[::1]:5000'), '[::1]:5000')
  for (const text of ['', 'a/b', 'https://a', 'a:b', 'a_b', ':5000', 'a:70000']) {
    assert.equal(parseMatch(text), undefined, text)
  }
})

test('what is wrong with a URL is said without its text', () => {
  assert.equal(registryUrlProblem('https://registry.example.com/prefix/'), undefined)
  const wrong = [
    'registry.example.com',
    'ftp://hunter2.example.com',
    'https:registry.example.com',
    'https://acme:hunter2@registry.example.com',
    'https://hunter2@registry.example.com',
    'https://registry.example.com/?hunter2',
    'https://registry.example.com/#hunter2',
    'https://registry.example.com/?',
    'https://registry.example.com/v2/',
    'https://hunter2 .example.com',
  ]
  for (const text of wrong) assert.match(registryUrlProblem(text) ?? '', /^(?!.*hunter2)./, text)
})
