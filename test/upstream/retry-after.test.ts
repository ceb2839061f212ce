import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { MAX_RETRY_AFTER_MS, parseRetryAfter } from '../../src/upstream/retry-after.ts'

const NOW = Date.parse('2026-01-02T03:04:05Z')

test('seconds, dates in the three forms, and epoch seconds', () => {
  assert.equal(parseRetryAfter('120', NOW), 120_000)
  assert.equal(parseRetryAfter(' 1.5 ', NOW), 1_500)
  assert.equal(parseRetryAfter('Fri, 02 Jan 2026 03:05:05 GMT', NOW), 60_000)
  assert.equal(parseRetryAfter('Friday, 02-Jan-26 03:05:05 GMT', NOW), 60_000)
  assert.equal(parseRetryAfter('Fri Jan  2 03:05:05 2026', NOW), 60_000)
  assert.equal(parseRetryAfter(String(NOW / 1000 + 30), NOW), 30_000)
})

test('the past is now, and far away is an hour', () => {
  assert.equal(parseRetryAfter('Fri, 02 Jan 2020 03:05:05 GMT', NOW), 0)
  assert.equal(parseRetryAfter('86400', NOW), MAX_RETRY_AFTER_MS)
  assert.equal(parseRetryAfter('999999999999999', NOW), MAX_RETRY_AFTER_MS)
})

test('what is no delay is none', () => {
  for (const value of [undefined, '', 'soon', '-1', '1e9', '2026-01-02', '0x10']) {
    assert.equal(parseRetryAfter(value, NOW), undefined, String(value))
  }
})

test('any input gives a whole number of milliseconds within an hour, or nothing', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^\d{0,20}(\.\d{0,12})?$/))
  fc.assert(
    fc.property(text, fc.integer({ min: 0, max: 2 ** 45 }), (value, now) => {
      const delay = parseRetryAfter(value, now)
      if (delay === undefined) return
      assert.ok(Number.isInteger(delay) && delay >= 0 && delay <= MAX_RETRY_AFTER_MS)
    }),
  )
})
