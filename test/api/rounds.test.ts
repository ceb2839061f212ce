import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { Rounds } from '../../src/api/rounds.ts'

const MIB = 1024 * 1024

/** A writer whose client takes everything at once, and what of it was written in which round. */
async function write(rounds: Rounds, chunks: number, onWritten: () => void): Promise<void> {
  for (let i = 0; i < chunks; i++) {
    await rounds.enter(MIB)
    onWritten()
  }
}

test('however many are ready, only so much is written before others have a turn', async () => {
  const rounds = new Rounds()
  let written = 0
  const writers = Array.from({ length: 1000 }, () => write(rounds, 2, () => written++))
  const each: number[] = []
  for (let before = 0; written < 2000; before = written) {
    await setImmediate()
    each.push(written - before)
  }
  await Promise.all(writers)
  assert.ok(Math.max(...each) <= 32, `${Math.max(...each)} MiB in one round`)
})

test('one that is always ready does not keep the event loop to itself', async () => {
  const rounds = new Rounds()
  let written = 0
  let turns = 0
  const writing = write(rounds, 200, () => written++)
  while (written < 200) {
    await setImmediate()
    turns++
  }
  await writing
  assert.ok(turns >= 200 / 16 - 1, `${turns} turns`)
})

test('who came first is served first, and nobody waits for ever', async () => {
  const rounds = new Rounds()
  const order: number[] = []
  const writers = Array.from({ length: 100 }, async (_, who) => {
    await rounds.enter(MIB)
    order.push(who)
  })
  await Promise.all(writers)
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
})
