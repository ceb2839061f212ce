import assert from 'node:assert/strict'
import { test } from 'node:test'

import { NoRoomError, StoreRestingError } from '../../src/store/errors.ts'
import { type Space, StoreHealth, type Trial } from '../../src/store/health.ts'
import { systemError } from '../support/fs-faults.ts'
import { StandingClock } from '../support/standing-clock.ts'

const MIB = 1024 * 1024
const ENOSPC = systemError('ENOSPC')
const EIO = systemError('EIO')
const SECOND = 1000

test('a trouble begins once and ends once, however many operations are refused', async () => {
  const site = openHealth()
  for (let at = 0; at < 50; at++) site.health.failed('blob', ENOSPC)
  for (let at = 0; at < 50; at++) assert.throws(() => site.health.assertWritable())
  assert.deepEqual(site.told, ['full began'])
  assert.equal(site.health.isWritable, false)
  await site.pass(1 * SECOND)
  await site.pass(5 * SECOND)
  assert.deepEqual(site.told, ['full began', 'full ended after 6 s, 100 refused'])
  assert.ok(site.health.isWritable)
  assert.deepEqual(site.health.ailments, [])
  site.health.assertWritable()
})

test('while the disk refuses nothing is written, but for a trial after ever longer rests', async () => {
  const site = openHealth()
  site.attempt.result = ENOSPC
  site.health.failed('blob', ENOSPC)
  const trialsAt: number[] = []
  for (let second = 1; second <= 240; second++) {
    const before = site.trials.length
    await site.pass(SECOND)
    if (site.trials.length > before) trialsAt.push(second)
    assert.throws(() => site.health.assertWritable(), StoreRestingError)
  }
  assert.deepEqual(trialsAt, [1, 3, 7, 15, 31, 63, 123, 183])
  assert.deepEqual(site.told, ['full began'])
})

test('after a trial it has to go well for a while: what fails meanwhile is the same trouble', async () => {
  const site = openHealth()
  site.health.failed('blob', ENOSPC)
  await site.pass(SECOND)
  assert.ok(site.health.isWritable, 'the trial has succeeded')
  assert.equal(site.health.ailments.length, 1, 'but it is not believed yet')
  site.health.failed('blob', ENOSPC)
  assert.equal(site.health.isWritable, false)
  await site.pass(4 * SECOND)
  assert.ok(site.health.isWritable)
  assert.deepEqual(site.told, ['full began'])
  await site.pass(5 * SECOND)
  assert.deepEqual(site.told.length, 2)
})

test('what comes back again and again is believed to be over later and later', async () => {
  const site = openHealth()
  for (let time = 0; time < 1_000; time++) {
    if (site.health.isWritable) site.health.failed('blob', ENOSPC)
    // It always goes well until the trouble is believed to be over.
    while (site.health.ailments.length > 0) await site.pass(SECOND)
    if (site.clock.elapsed() - site.startedAt > 3_600 * SECOND) break
  }
  const begun = site.told.filter((line) => line.endsWith('began')).length
  assert.ok(begun < 15, `${begun} times in an hour`)
})

test('a failing medium is three failures within a minute, and each is told until then', async () => {
  const site = openHealth()
  site.health.failed('blob', EIO)
  site.health.failed('blob', EIO)
  await site.pass(61 * SECOND)
  site.health.failed('blob', EIO)
  site.health.failed('blob', EIO)
  assert.deepEqual(site.told, Array(4).fill('io failed once'))
  assert.ok(site.health.isWritable)
  site.health.failed('blob', EIO)
  assert.equal(site.told.at(-1), 'io began')
  assert.equal(site.health.isWritable, false)
})

test('a full file system with bytes left has no inodes', () => {
  const site = openHealth()
  site.space.value = { freeBytes: 100 * MIB, freeInodes: 0 }
  site.health.failed('ingest', ENOSPC)
  assert.deepEqual(site.told, ['inodes began'])
  site.space.value = { freeBytes: 0, freeInodes: 0 }
  site.health.failed('ingest', ENOSPC)
  assert.deepEqual(site.told, ['inodes began', 'full began'])
})

test('a quota that is used up is a full disk, whatever the file system has left', () => {
  const site = openHealth()
  site.space.value = { freeBytes: 100 * MIB, freeInodes: 100 }
  site.health.failed('blob', systemError('EDQUOT'))
  assert.deepEqual(site.told, ['full began'])
})

test('a database without room is told of at once, as the ballast is for it', () => {
  const site = openHealth()
  site.health.failed('tag', systemError('SQLITE_FULL'))
  site.health.failed('evict', systemError('SQLITE_FULL'))
  assert.deepEqual(site.told, ['database full', 'full began', 'database full'])
})

test('where only room is lacking, smaller contents may still be stored', async () => {
  const site = openHealth()
  site.attempt.result = new Error('no room')
  site.health.failed('blob', new NoRoomError(500, 'no_room', 'pinned'))
  site.health.failed('blob', new NoRoomError(900, 'no_room', 'pinned'))
  assert.ok(site.health.isWritable)
  site.health.assertWritable()
  await site.pass(SECOND)
  assert.equal(site.trials.at(-1)?.wantedBytes, 500)
  assert.deepEqual([...(site.trials.at(-1)?.sides ?? [])], ['room'])
  assert.deepEqual(site.told, ['full began'])
  assert.equal(site.health.ailments[0]?.isResting, false)
})

test('each trouble has a name of its own', () => {
  const codes = {
    EDQUOT: 'full',
    EROFS: 'read_only',
    SQLITE_READONLY_DIRECTORY: 'read_only',
    EACCES: 'denied',
    EMFILE: 'descriptors',
    SQLITE_IOERR_SHMSIZE: 'full',
    ELOOP: 'other',
  }
  for (const [code, trouble] of Object.entries(codes)) {
    const site = openHealth()
    site.health.failed('blob', systemError(code))
    assert.equal(site.told.at(-1), `${trouble} began`, code)
    const isResting = !['descriptors', 'other'].includes(trouble)
    assert.equal(site.health.isWritable, !isResting, code)
  }
})

function openHealth() {
  const clock = new StandingClock()
  const told: string[] = []
  const trials: Trial[] = []
  const attempt: { result: Error | undefined } = { result: undefined }
  const space: { value: Space } = { value: { freeBytes: 0, freeInodes: 100 } }
  const health = new StoreHealth({
    async attempt(trial) {
      trials.push({ ...trial, sides: new Set(trial.sides) })
      if (attempt.result !== undefined) throw attempt.result
    },
    measure: () => space.value,
    events: {
      began: (trouble) => void told.push(`${trouble} began`),
      ended({ trouble, forMs, refused }) {
        told.push(`${trouble} ended after ${forMs / 1000} s, ${refused} refused`)
      },
      failedOnce: (trouble) => void told.push(`${trouble} failed once`),
      databaseFull: () => void told.push('database full'),
    },
    elapsed: () => clock.elapsed(),
  })
  return {
    health,
    clock,
    startedAt: clock.elapsed(),
    told,
    trials,
    attempt,
    space,
    async pass(milliseconds: number) {
      clock.skip(milliseconds)
      await health.look()
    },
  }
}
