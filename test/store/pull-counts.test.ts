import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { parseRepository } from '../../src/oci/reference.ts'
import { type PullCount, PullCounts } from '../../src/store/pull-counts.ts'

const PLACE = { upstream: 'a', repository: parseRepository('app') }
const DIGEST = digestOf(Buffer.from('1'))

test('many pulls are one write, and what a disk refuses is counted with the next', async () => {
  const written: (readonly PullCount[])[] = []
  const errors: unknown[] = []
  let refuses = true
  let now = 0
  const counts = new PullCounts({
    async write(batch) {
      if (refuses) throw new Error('disk')
      written.push(batch)
    },
    flushIntervalMs: 3_600_000,
    onError: (error) => void errors.push(error),
    now: () => ++now,
  })
  for (let i = 0; i < 1_000; i++) counts.pulled(PLACE, DIGEST)
  await counts.flush()
  assert.equal(errors.length, 1)
  counts.pulled(PLACE, DIGEST)
  refuses = false
  const flushing = counts.flush()
  counts.pulled(PLACE, DIGEST)
  await flushing
  await counts.close()
  assert.equal(
    written.flat().reduce((sum, { count }) => sum + count, 0),
    1_002,
  )
  assert.ok(written.length <= 2)
  assert.equal(written.flat().at(-1)?.at, now)
})

test('of a disk that refuses for ever no more is kept than is bounded', async () => {
  let most = 0
  const counts = new PullCounts({
    async write(batch) {
      most = Math.max(most, batch.length)
      throw new Error('disk')
    },
    flushIntervalMs: 3_600_000,
    onError() {},
    now: () => 0,
  })
  for (let i = 0; i < 30_000; i++) counts.pulled(PLACE, digestOf(Buffer.from(String(i))))
  await counts.close()
  assert.equal(most, 20_000)
})
