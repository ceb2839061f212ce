import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Persistence } from '../../src/pull/persistence.ts'
import { UpstreamError } from '../../src/upstream/errors.ts'
import { upstreamError } from './scripted-source.ts'

const RESET = upstreamError('unreachable')

function open(retryAfterMs: number): UpstreamError {
  const message = 'is not asked'
  const reason = 'circuit_open'
  return new UpstreamError('unreachable', { upstream: 'test', reason, message, retryAfterMs })
}

function create(patienceMs?: number) {
  const time = { now: 0 }
  const options = { elapsed: () => time.now, random: () => 0.5, patienceMs }
  return { time, persistence: new Persistence(options) }
}

test('attempts of no use are given more and more time', () => {
  const { persistence } = create()
  const delays = Array.from({ length: 8 }, () => persistence.delayAfter(RESET, false))
  assert.deepEqual(delays, [200, 400, 800, 1600, 3200, 5000, 5000, 5000])
})

test('a registry that refuses at once has half a minute to be back', () => {
  const { persistence, time } = create()
  let attempts = 0
  for (; ; attempts++) {
    const delayMs = persistence.delayAfter(RESET, false)
    if (delayMs === undefined) break
    time.now += delayMs
  }
  assert.ok(time.now >= 30_000 && time.now <= 36_000, `${time.now} ms`)
  assert.equal(attempts, 10)
})

test('after attempts that took their time, the fourth in a row is the last', () => {
  const { persistence, time } = create()
  const delays = Array.from({ length: 4 }, () => {
    const delayMs = persistence.delayAfter(RESET, false)
    time.now += 60_000
    return delayMs
  })
  assert.deepEqual(delays, [200, 400, 800, undefined])
})

test('an attempt that brings something starts anew, but fifty are enough', () => {
  const { persistence } = create()
  for (let i = 0; i < 3; i++) persistence.delayAfter(RESET, false)
  for (let i = 0; i < 47; i++) assert.equal(persistence.delayAfter(RESET, true), 100)
  assert.equal(persistence.delayAfter(RESET, true), undefined)
})

test('a registry that is not asked is waited for, which counts as no attempt', () => {
  const { persistence, time } = create()
  for (const waitMs of [10_000, 1_000, 1_000, 1_000, 1_000, 10_000]) {
    assert.equal(persistence.delayAfter(open(waitMs), false), waitMs)
    time.now += waitMs
  }
  assert.equal(persistence.delayAfter(RESET, false), 200)
  assert.equal(persistence.delayAfter(open(10_000), false), undefined, 'thirty seconds are enough')
})

test('what came meanwhile makes it patient again', () => {
  const { persistence, time } = create(30_000)
  persistence.delayAfter(open(20_000), false)
  time.now = 20_000
  assert.equal(persistence.delayAfter(open(20_000), true), 20_000)
})

test('a time that the registry names is waited, unless it is too long', () => {
  const { persistence } = create()
  const throttled = (retryAfterMs: number) => {
    const common = { upstream: 'test', reason: 'throttled', message: 'slow down' }
    return new UpstreamError('throttled', { ...common, retryAfterMs })
  }
  assert.equal(persistence.delayAfter(throttled(5_000), true), 5_000)
  assert.equal(persistence.delayAfter(throttled(60), true), 100)
  assert.equal(persistence.delayAfter(throttled(31_000), true), undefined)
})
