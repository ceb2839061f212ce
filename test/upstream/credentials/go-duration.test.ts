import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseGoDuration } from '../../../src/upstream/credentials/go-duration.ts'

test('durations are read as Go reads them', () => {
  for (const [text, expected] of [
    ['6h0m0s', 21_600_000],
    ['12h', 43_200_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1m0.5s', 60_500],
    ['100ms', 100],
    ['1500us', 1.5],
    ['1500µs', 1.5],
    ['1000000ns', 1],
    ['0', 0],
    ['0s', 0],
    ['-1m', -60_000],
    ['+1m', 60_000],
  ] as const) {
    assert.equal(parseGoDuration(text), expected, text)
  }
  for (const text of ['', '5', 'h', '1d', '1h ', ' 1h', '1h30', '--1s', '1,5h', '6h0m0s!']) {
    assert.equal(parseGoDuration(text), undefined, text)
  }
})
