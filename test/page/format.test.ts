import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  bytes,
  count,
  duration,
  milliseconds,
  percent,
  plural,
  relative,
  shortDigest,
} from '../../src/page/format.js'

/** With ordinary spaces. */
function plain(text: string): string {
  return text.replaceAll(/[\u00a0\u202f]/g, ' ')
}

function shown<T>(format: (value: T) => string, cases: readonly (readonly [T, string])[]): void {
  for (const [value, expected] of cases) assert.equal(plain(format(value)), expected)
}

test('sizes have three digits that matter, in units of 1024', () => {
  shown(bytes, [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '0.98 KiB'],
    [1024, '1.00 KiB'],
    [10_240, '10.0 KiB'],
    [1_048_575, '1.00 MiB'],
    [123_456_789, '118 MiB'],
    [1.5 * 1024 ** 4, '1.50 TiB'],
    [-2048, '−2.00 KiB'],
  ])
})

test('a share is never said to be all, or nothing, when it is not', () => {
  shown(percent, [
    [undefined, '–'],
    [0, '0 %'],
    [1, '100 %'],
    [0.99999, '99.9 %'],
    [0.00001, '< 0.1 %'],
    [0.5, '50 %'],
    [0.942, '94.2 %'],
    [0.042, '4.2 %'],
  ])
})

test('times are as long as one wants to know', () => {
  shown(duration, [
    [0, '0 s'],
    [59, '59 s'],
    [61, '1 min 1 s'],
    [3600, '1 h'],
    [90_000, '1 d 1 h'],
    [86_400 * 12 + 60, '12 d'],
  ])
  shown(milliseconds, [
    [0.2, '< 1 ms'],
    [14.6, '15 ms'],
    [1_250, '1.3 s'],
    [61_000, '1 min 1 s'],
  ])
  const now = Date.UTC(2026, 0, 10)
  shown(
    (ms: number) => relative(now - ms, now),
    [
      [2_000, 'just now'],
      [-3_000, 'just now'],
      [42_000, '42 s ago'],
      [300_000, '5 min ago'],
      [36 * 3_600_000, '36 h ago'],
      [5 * 86_400_000, '5 d ago'],
      [-3 * 86_400_000, 'in 3 d'],
      [100 * 86_400_000, '3 months ago'],
    ],
  )
})

test('numbers are grouped, and things are counted as people do', () => {
  shown(count, [
    [1234567, '1 234 567'],
    [12, '12'],
  ])
  assert.equal(plain(plural(1, 'layer')), '1 layer')
  assert.equal(plain(plural(2, 'layer')), '2 layers')
  assert.equal(shortDigest(`sha256:${'ab'.repeat(32)}`), 'sha256:abababababab')
})
