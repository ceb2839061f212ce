import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ChunkPool } from '../../src/pull/chunk-pool.ts'
import { Window } from '../../src/pull/window.ts'
import { FakeIngest } from './fake-ingest.ts'
import { MIB, sampleBlob } from './flights.ts'

test('a chunk that nobody reads is used again', () => {
  const pool = new ChunkPool()
  const chunk = pool.take()
  pool.giveBack(chunk)
  assert.equal(pool.take(), chunk)
})

test('a chunk is not used again until the last of its readers is done with it', () => {
  const pool = new ChunkPool()
  const chunk = pool.take()
  const [one, other] = [pool.lend(chunk), pool.lend(chunk)]
  pool.giveBack(chunk)
  assert.notEqual(pool.take(), chunk)
  one()
  assert.notEqual(pool.take(), chunk)
  other()
  assert.equal(pool.take(), chunk)
})

test('what a reader was done with before its download was is not used again', () => {
  const pool = new ChunkPool()
  const chunk = pool.take()
  pool.lend(chunk)()
  assert.notEqual(pool.take(), chunk)
})

test('when no download has been under way for a while, little is kept', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const pool = new ChunkPool()
  const chunks = new Set(Array.from({ length: 32 }, () => pool.take()))
  for (const chunk of chunks) pool.giveBack(chunk)
  pool.rest()
  context.mock.timers.tick(60_000)
  const kept = Array.from({ length: 32 }, () => pool.take()).filter((one) => chunks.has(one))
  assert.equal(kept.length, 4)
})

test('what the last download has used is there for one that begins at once', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const pool = new ChunkPool()
  const chunks = new Set(Array.from({ length: 32 }, () => pool.take()))
  for (const chunk of chunks) pool.giveBack(chunk)
  pool.rest()
  const first = pool.take()
  context.mock.timers.tick(60_000)
  const kept = Array.from({ length: 31 }, () => pool.take()).filter((one) => chunks.has(one))
  assert.deepEqual([chunks.has(first), kept.length], [true, 31])
})

test('a download runs ahead of the disk while there is plenty of memory, and no further', () => {
  const { bytes, digest } = sampleBlob(40 * MIB)
  const pool = new ChunkPool({ plenty: 30 })
  const window = new Window(new FakeIngest({ digest }), () => undefined, pool)
  for (let mib = 0; mib < 29; mib++) window.append(bytes.subarray(mib * MIB, (mib + 1) * MIB))
  assert.equal(window.isFull, false)
  window.append(bytes.subarray(29 * MIB, 30 * MIB))
  assert.equal(window.isFull, true)
})

test('memory that is somebody else’s now does not count as taken', async () => {
  const { bytes, digest } = sampleBlob(4 * MIB)
  const pool = new ChunkPool({ plenty: 4 })
  const window = new Window(new FakeIngest({ digest }), () => undefined, pool)
  window.append(bytes)
  assert.equal(pool.isPlenty, false)
  await window.commit()
  assert.equal(pool.isPlenty, true)
})
