import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { freshness, TagRules } from '../../src/pull/freshness.ts'
import { ALWAYS, NEVER, PRESENT } from './rooms.ts'
import { runs } from './runs.ts'

const HOUR = 3_600_000

test('Always asks, Never does not, whatever the age', () => {
  const property = fc.property(fc.nat(), fc.nat(), (checkedAt, now) => {
    assert.equal(freshness(ALWAYS, checkedAt, now), 'stale')
    assert.equal(freshness(NEVER, checkedAt, now), 'fresh')
  })
  fc.assert(property, runs(100))
})

test('IfNotPresent is fresh until maxAge, and a clock that ran backwards ends it', () => {
  for (const [age, expected] of [
    [0, 'fresh'],
    [HOUR, 'fresh'],
    [HOUR + 1, 'stale'],
    [-1, 'stale'],
    [10 * 365 * 24 * HOUR, 'stale'],
  ] as const) {
    assert.equal(freshness(PRESENT, 1e12, 1e12 + age), expected, String(age))
  }
  const eternal = { ...PRESENT, maxAgeMs: Number.POSITIVE_INFINITY }
  assert.equal(freshness(eternal, 0, 1e12), 'fresh')
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
