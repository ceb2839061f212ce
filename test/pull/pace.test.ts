import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Pace } from '../../src/pull/pace.ts'

const KIB = 1024

function create() {
  const time = { now: 0, heldMs: 0 }
  const pace = new Pace({ elapsed: () => time.now, heldMs: () => time.heldMs })
  /** Bytes that were waited for so long. */
  const receive = (bytes: number, afterMs: number) => {
    pace.wait()
    time.now += afterMs
    return pace.took(bytes)
  }
  return { time, receive }
}

test('less than 16 KiB a second over two minutes is too slow', () => {
  const { receive } = create()
  for (let i = 0; i < 119; i++) assert.equal(receive(15 * KIB, 1_000), true)
  assert.equal(receive(15 * KIB, 1_000), false)
})

test('16 KiB a second are enough, and every two minutes count anew', () => {
  const { receive } = create()
  for (let i = 0; i < 120; i++) assert.equal(receive(16 * KIB, 1_000), true)
  for (let i = 0; i < 119; i++) assert.equal(receive(1, 1_000), true)
  assert.equal(receive(1, 1_000), false, 'what was fast before does not count')
})

test('a body that stands still and then goes on in time is not too slow', () => {
  const { receive } = create()
  assert.equal(receive(1, 59_000), true)
  for (let i = 0; i < 61; i++) assert.equal(receive(64 * KIB, 1_000), true)
})

test('what Larder takes for itself is not held against the registry', () => {
  const { receive, time } = create()
  for (let i = 0; i < 200; i++) {
    assert.equal(receive(16 * KIB, 1_000), true)
    time.now += 10_000
  }
  for (let i = 0; i < 200; i++) {
    time.heldMs += 9_000
    assert.equal(receive(16 * KIB, 10_000), true)
  }
})
