import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { ageMs, freshness, mayOutlast, TagRules } from '../../src/pull/freshness.ts'
import { ALWAYS, BEHIND, NEVER, PRESENT } from './rooms.ts'
import { runs } from './runs.ts'

const HOUR = 3_600_000
const YEAR = 365 * 24 * HOUR
const NOW = 1e12
const LIMIT = { staleIfErrorMs: 24 * HOUR }

/** A tag of this age. */
const aged = (age: number) => ({ checkedAt: NOW - age })

test('Always asks, Never does not, whatever the age and whatever was said', () => {
  const property = fc.property(fc.nat(), fc.nat(), fc.boolean(), (checkedAt, now, isRefused) => {
    const known = { checkedAt, ...(isRefused ? { refusedAt: checkedAt } : {}) }
    assert.equal(freshness(ALWAYS, LIMIT, known, now), 'stale')
    assert.equal(freshness(NEVER, LIMIT, known, now), 'fresh')
  })
  fc.assert(property, runs(100))
})

for (const [age, blocking, background] of [
  [0, 'fresh', 'fresh'],
  [HOUR, 'fresh', 'fresh'],
  [HOUR + 1, 'stale', 'stale-while-revalidate'],
  [25 * HOUR, 'stale', 'stale-while-revalidate'],
  [25 * HOUR + 1, 'stale', 'stale'],
  [10 * YEAR, 'stale', 'stale'],
  [-1, 'fresh', 'fresh'],
  [-HOUR - 1, 'stale', 'stale-while-revalidate'],
  [-10 * YEAR, 'stale', 'stale'],
] as const) {
  test(`IfNotPresent for an hour, at the age of ${age / HOUR} h: ${blocking}, ${background}`, () => {
    assert.equal(freshness(PRESENT, LIMIT, aged(age), NOW), blocking)
    assert.equal(freshness(BEHIND, LIMIT, aged(age), NOW), background)
  })
}

test('a tag that its registry has said no to is not refreshed behind anybody’s back', () => {
  const known = { checkedAt: NOW - 2 * HOUR, refusedAt: NOW }
  assert.equal(freshness(BEHIND, LIMIT, known, NOW), 'stale')
  const fresh = { checkedAt: NOW - HOUR, refusedAt: NOW }
  assert.equal(freshness(BEHIND, LIMIT, fresh, NOW), 'fresh')
})

test('what is never checked again is always fresh', () => {
  const eternal = { ...BEHIND, maxAgeMs: Number.POSITIVE_INFINITY }
  assert.equal(freshness(eternal, LIMIT, { checkedAt: 0 }, NOW), 'fresh')
})

test('an outage lets a tag grow stale for staleIfError beyond its freshness, and no longer', () => {
  for (const [rule, age] of [
    [ALWAYS, 24 * HOUR],
    [PRESENT, 25 * HOUR],
    [BEHIND, 25 * HOUR],
  ] as const) {
    assert.equal(mayOutlast(rule, LIMIT, aged(age), NOW), true)
    assert.equal(mayOutlast(rule, LIMIT, aged(age + 1), NOW), false)
    assert.equal(mayOutlast(rule, LIMIT, aged(-10 * YEAR), NOW), false)
  }
})

test('an outage does not take back a no, but IfNotPresent asks for what is present', () => {
  const refused = { checkedAt: NOW - 2 * HOUR, refusedAt: NOW - HOUR }
  assert.equal(mayOutlast(ALWAYS, LIMIT, refused, NOW), false)
  assert.equal(mayOutlast(PRESENT, LIMIT, refused, NOW), true)
})

test('no age is negative', () => {
  assert.equal(ageMs(aged(5), NOW), 5)
  assert.equal(ageMs(aged(-5), NOW), 5)
})

test('the first rule that matches tag and repository decides', () => {
  const rules = new TagRules([
    { ...NEVER, match: 'v1.*', repository: 'acme/**' },
    { ...ALWAYS, match: '{latest,main}' },
    PRESENT,
  ])
  const policy = (repository: string, tag: string) =>
    rules.for(parseRepository(repository), tag as Tag).pullPolicy
  assert.equal(policy('acme/team/app', 'v1.2'), 'Never')
  assert.equal(policy('other/app', 'v1.2'), 'IfNotPresent')
  assert.equal(policy('acme/app', 'main'), 'Always')
  assert.equal(policy('acme/app', 'mainline'), 'IfNotPresent')
  assert.equal(policy('acme/app', '_hidden.1'), 'IfNotPresent')
})

test('a tag that no rule matches is a mistake of the configuration, said aloud', () => {
  const rules = new TagRules([{ ...ALWAYS, match: 'latest' }])
  assert.throws(() => rules.for(parseRepository('acme/app'), 'v1' as Tag), /must match every tag/)
})
