import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import type { Change, Disk } from '../power/disk.ts'
import type { History } from '../power/history.ts'
import { differences, readHistory, record } from '../power/recorder.ts'
import { makeScratch } from '../power/scratch.ts'
import { simulate } from '../power/simulation.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'

const STATES = 1500
const WHOLE_STARTS = 10
const READY_MS = 2_000
const SEED = Date.now() % 1_000_000

let dir: TempDir
let history: History
/** Then what was recorded is kept, to be looked at. */
let isBroken = false

before(async () => {
  dir = await makeTempDir('larder-power-')
  await mkdir(join(dir.path, 'disk'))
  await record(dir.path)
  history = await readHistory(dir.path)
})

after(async () => {
  if (!isBroken) await dir.remove()
})

test('what is recorded of a Larder at work is all that it does to its disk', async () => {
  assert.deepEqual(await differences(dir.path, history), [])
  assert.ok(history.marks.length > 100 && history.syncs.length > 100)
})

test('no loss of power takes what is acknowledged, or leaves anything to repair', async () => {
  await using scratch = await makeScratch()
  const options = { history, states: STATES, seed: SEED, wholeStarts: WHOLE_STARTS }
  const done = await simulate({ ...options, scratch: scratch.path })
  const { states, broken, served, slowestMs } = done
  isBroken = broken.length > 0
  assert.deepEqual(broken, [], `again: npm run power -- ${STATES} ${SEED} ${dir.path}`)
  assert.ok(states >= STATES && served > WHOLE_STARTS, `${states} starts, ${served} answers`)
  assert.ok(slowestMs < READY_MS, `a start took ${slowestMs} ms`)
})

for (const kind of ['names', 'write'] as const) {
  test(`the same is not so where fsync does nothing for ${kind}`, async () => {
    await using scratch = await makeScratch()
    const forgetful = withoutSyncs(await readHistory(dir.path), kind)
    const options = { history: forgetful, states: 200, seed: SEED, wholeStarts: 0 }
    const { broken } = await simulate({ ...options, scratch: scratch.path })
    assert.ok(broken.length > 0)
  })
}

function withoutSyncs(history: History, kind: Change['kind']): History {
  const { changes }: Disk = history.disk
  for (const change of changes) {
    if (change.kind === kind) change.durableAt = Number.POSITIVE_INFINITY
  }
  return history
}
