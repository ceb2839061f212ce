import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { parseChallenges, selectChallenge } from '../../src/upstream/challenge.ts'

function parsed(values: string | string[]): unknown[] {
  return parseChallenges(values).map(({ scheme, parameters }) => [
    scheme,
    Object.fromEntries(parameters),
  ])
}

test('a Bearer challenge as Docker Hub sends it', () => {
  const value =
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"'
  assert.deepEqual(parsed(value), [
    [
      'bearer',
      {
        realm: 'https://auth.docker.io/token',
        service: 'registry.docker.io',
        scope: 'repository:library/alpine:pull',
      },
    ],
  ])
})

test('a comma in a quoted scope ends nothing', () => {
  const value = 'Bearer realm="https://a/t",scope="repository:x:pull,push",error="invalid_token"'
  assert.deepEqual(parsed(value), [
    ['bearer', { realm: 'https://a/t', scope: 'repository:x:pull,push', error: 'invalid_token' }],
  ])
})

test('several challenges in one line and in several lines', () => {
  const line = 'Basic realm="one", Bearer realm="https://a/t", service="s", Negotiate'
  assert.deepEqual(parsed([line, 'digest Realm=two']), [
    ['basic', { realm: 'one' }],
    ['bearer', { realm: 'https://a/t', service: 's' }],
    ['negotiate', {}],
    ['digest', { realm: 'two' }],
  ])
})

test('escaped quotes are part of the value', () => {
  assert.deepEqual(parsed('Basic realm="the \\"best\\" \\\\ one", charset="UTF-8"'), [
    ['basic', { realm: 'the "best" \\ one', charset: 'UTF-8' }],
  ])
})

test('missing quotes are tolerated, those of a scope with several actions too', () => {
  const value = 'Bearer realm=https://a/t?x=y,scope=repository:x:pull,push,service=s'
  assert.deepEqual(parsed(value), [
    ['bearer', { realm: 'https://a/t?x=y', scope: 'repository:x:pull,push', service: 's' }],
  ])
})

test('a token68 is no parameter', () => {
  assert.deepEqual(parsed('Negotiate YWJjZA==, Basic realm="x"'), [
    ['negotiate', {}],
    ['basic', { realm: 'x' }],
  ])
})

test('spaces, empty elements, repeated and unended parameters are tolerated', () => {
  assert.deepEqual(parsed(' , ,Bearer  realm = "a" , realm="b", x="open'), [
    ['bearer', { realm: 'a', x: 'open' }],
  ])
})

test('Bearer is preferred, but not without a realm', () => {
  const select = (value: string) => selectChallenge(parseChallenges(value))?.scheme
  assert.equal(select('Basic realm="x", Bearer realm="https://a/t"'), 'bearer')
  assert.equal(select('BEARER error="x", basic realm="x"'), 'basic')
  assert.equal(select('Negotiate'), undefined)
  assert.equal(selectChallenge(parseChallenges(undefined)), undefined)
})

test('a parameter named like a member of every object is only a parameter', () => {
  const [challenge] = parseChallenges('Bearer __proto__="x", constructor=y')
  assert.equal(challenge?.parameters.get('__proto__'), 'x')
  assert.equal(challenge?.parameters.get('toString'), undefined)
})

test('what is beyond 8 KiB is not read', () => {
  const values = ['x '.repeat(5_000), 'Basic realm="late"']
  assert.ok(parseChallenges(values).every(({ scheme }) => scheme !== 'basic'))
})

test('no input makes the parser throw or linger', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'Ba=",\\ \t;/:~\0é'), maxLength: 9_000 })
  fc.assert(
    fc.property(
      fc.array(fc.oneof(noise, fc.string({ unit: 'binary' })), { maxLength: 4 }),
      (values) => {
        const startedAt = performance.now()
        for (const { scheme } of parseChallenges(values)) assert.match(scheme, /^[^\s,="]+$/)
        assert.ok(performance.now() - startedAt < 2_000)
      },
    ),
    { numRuns: 300 },
  )
})

test('what was written by the grammar is read back', () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
  const challenge = fc.record({
    scheme: token,
    parameters: fc.uniqueArray(fc.tuple(token, fc.string({ maxLength: 20 })), {
      selector: ([name]) => name,
      minLength: 1,
      maxLength: 4,
    }),
  })
  fc.assert(
    fc.property(fc.array(challenge, { minLength: 1, maxLength: 4 }), (challenges) => {
      const text = challenges.map(({ scheme, parameters }) => {
        const list = parameters.map(
          ([name, value]) => `${name}="${value.replace(/[\\"]/g, '\\$&')}"`,
        )
        return `${scheme} ${list.join(', ')}`
      })
      const expected = challenges.map(({ scheme, parameters }) => [
        scheme,
        Object.fromEntries(parameters),
      ])
      assert.deepEqual(parsed(text.join(', ')), expected)
    }),
  )
})
