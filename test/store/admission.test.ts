import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Admission } from '../../src/store/admission.ts'
import type { Quota } from '../../src/store/quota.ts'
import { Barrier } from '../support/barrier.ts'

test('a look for what is too much is waited for before the store closes, and never rejects', async () => {
  const disk = new Barrier()
  const failures: unknown[] = []
  const closed = new Error('the database is closed')
  const quota = {
    refresh: () => disk.wait(),
    lacking() {
      throw closed
    },
  } as unknown as Quota
  const nothing = async () => assert.fail('nothing is to be removed')
  const eviction = { gain: nothing, preview: nothing, reduce: nothing }
  const onError = (error: unknown) => void failures.push(error)
  const admission = new Admission({ quota, eviction, ready: Promise.resolve(), onError })
  const relieved = admission.relieve()
  let isIdle = false
  const idle = admission.idle().then(() => {
    isIdle = true
  })
  await disk.arrived()
  await new Promise(setImmediate)
  assert.equal(isIdle, false)
  disk.release()
  await idle
  await relieved
  assert.deepEqual(failures, [closed])
})
