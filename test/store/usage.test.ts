import assert from 'node:assert/strict'
import { test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { UsageRecorder } from '../../src/store/usage.ts'
import { Barrier } from '../support/barrier.ts'

const A = digestOf(Buffer.from('a'))
const B = digestOf(Buffer.from('b'))

function setup(touch?: (used: ReadonlyMap<Digest, number>) => Promise<void>) {
  const flushed: ReadonlyMap<Digest, number>[] = []
  const errors: unknown[] = []
  const clock = { now: 1000 }
  const recorder = new UsageRecorder({
    catalog: {
      touch: async (used) => {
        await touch?.(used)
        flushed.push(new Map(used))
      },
    },
    flushIntervalMs: 60_000,
    onError: (error) => errors.push(error),
    now: () => clock.now,
  })
  return { recorder, flushed, errors, clock }
}

test('uses are written together, each blob with its last', async () => {
  const { recorder, flushed, clock } = setup()
  recorder.used(A)
  recorder.used(B)
  clock.now = 2000
  recorder.used(A)
  assert.deepEqual(flushed, [], 'nothing is written when a blob is used')
  await recorder.flush()
  assert.deepEqual(flushed, [
    new Map([
      [A, 2000],
      [B, 1000],
    ]),
  ])
  await recorder.close()
  assert.equal(flushed.length, 1, 'nothing is written twice, or for nothing')
})

test('the timer flushes', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] })
  const written = new Barrier()
  const { recorder, flushed } = setup(async () => {
    written.release()
    await written.wait()
  })
  recorder.used(A)
  context.mock.timers.tick(59_999)
  await Promise.resolve()
  assert.equal(written.count, 0)
  context.mock.timers.tick(1)
  await written.arrived()
  await recorder.close()
  assert.deepEqual(flushed, [new Map([[A, 1000]])])
})

test('close writes what is left', async () => {
  const { recorder, flushed } = setup()
  recorder.used(A)
  await recorder.close()
  assert.deepEqual(flushed, [new Map([[A, 1000]])])
})

test('a failed flush is told, and its uses are written by the next', async () => {
  let isFailing = true
  const { recorder, flushed, errors, clock } = setup(async () => {
    if (isFailing) throw new Error('SQLITE_FULL')
  })
  recorder.used(A)
  recorder.used(B)
  const flushing = recorder.flush()
  clock.now = 2000
  recorder.used(A)
  await flushing
  assert.equal(errors.length, 1)
  isFailing = false
  await recorder.close()
  assert.deepEqual(flushed, [
    new Map([
      [A, 2000],
      [B, 1000],
    ]),
  ])
})
