import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { parseNextLink, resolveNextLink } from '../../src/upstream/link.ts'

test('the next page, however it is written', () => {
  const next = '/v2/a/tags/list?last=x&n=2'
  for (const value of [
    `<${next}>; rel="next"`,
    `<${next}>;rel=next`,
    `<${next}> ; title="a, b; \\"c\\"" ; REL = "prev NEXT"`,
    `</other>; rel="prev", <${next}>; rel="next"`,
    [`</other>; rel=last`, `<${next}>; rel="next"`],
  ]) {
    assert.equal(parseNextLink(value), next, String(value))
  }
})

test('no other relation, and only the first rel of a link', () => {
  assert.equal(parseNextLink('</x>; rel="previous"'), undefined)
  assert.equal(parseNextLink('</x>; rel="prev"; rel="next"'), undefined)
  assert.equal(parseNextLink('</x>; title="rel=next"'), undefined)
  assert.equal(parseNextLink('</x>'), undefined)
  assert.equal(parseNextLink(undefined), undefined)
})

test('the next page is at the same origin, whatever scheme and port the registry believes in', () => {
  const current = new URL('https://registry.example:8443/v2/a/tags/list?n=2')
  const resolve = (target: string) => resolveNextLink(target, current)?.href
  const next = 'https://registry.example:8443/v2/a/tags/list?last=x'
  assert.equal(resolve('/v2/a/tags/list?last=x'), next)
  assert.equal(resolve('list?last=x'), next)
  assert.equal(resolve('http://registry.example/v2/a/tags/list?last=x'), next)
})

test('a link to another host leads nowhere', () => {
  const current = new URL('https://registry.example/v2/a/tags/list')
  for (const target of ['https://other.example/v2/', '//169.254.169.254/', 'data:,x', 'http://[']) {
    assert.equal(resolveNextLink(target, current), undefined, target)
  }
  assert.equal(
    resolveNextLink('https://u:p@registry.example/x', current)?.href,
    'https://registry.example/x',
  )
})

test('no input makes the parser throw, linger, or leave the origin', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'<>;,="\\ relnxt/:?@é\0'), maxLength: 9_000 })
  const current = new URL('https://registry.example/v2/a/tags/list')
  fc.assert(
    fc.property(fc.oneof(noise, fc.string({ unit: 'binary' })), (value) => {
      const startedAt = performance.now()
      const target = parseNextLink(value) ?? value
      const next = resolveNextLink(target, current)
      assert.equal(next?.origin ?? current.origin, current.origin)
      assert.ok(performance.now() - startedAt < 2_000)
    }),
    { numRuns: 500 },
  )
})
