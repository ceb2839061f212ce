import assert from 'node:assert/strict'
import { test } from 'node:test'

import { formatBytes, formatTime } from '../../src/cli/format.ts'
import { Progress } from '../../src/cli/progress.ts'

test('bytes have the unit that a person would choose', () => {
  for (const [bytes, text] of [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [10 * 1024, '10 KiB'],
    [9.96 * 1024, '10 KiB'],
    [1024 ** 2 - 1, '1.0 MiB'],
    [1.5 * 1024 ** 3, '1.5 GiB'],
    [5000 * 1024 ** 4, '5000 TiB'],
  ] as const) {
    assert.equal(formatBytes(bytes), text)
  }
  assert.equal(formatTime(Date.UTC(2026, 0, 31, 12, 0, 0, 500)), '2026-01-31 12:00:00Z')
})

test('progress is one changing line on a terminal, and few lines elsewhere', () => {
  const shown = (isWatched: boolean) => {
    let text = ''
    let now = 0
    const stderr = { write: (chunk: string) => (text += chunk) }
    const progress = new Progress({ stderr, isWatched, monotonic: () => now })
    for (const step of ['a', 'b', 'c']) {
      progress.show(step)
      now += 6000
    }
    progress.clear()
    progress.clear()
    return text
  }
  const line = '\r\u001b[2K'
  assert.equal(shown(true), `${line}a${line}b${line}c${line}`)
  assert.equal(shown(false), 'c\n')
})
