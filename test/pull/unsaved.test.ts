import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { Unsaved } from '../../src/pull/unsaved.ts'

const RETRY_MS = 10_000

test('what was refused is tried again after a while, until it is stored', async () => {
  const { unsaved, errors, saved, save, skip } = open()
  unsaved.add('app:v1', save('one'))
  await tried(unsaved)
  assert.deepEqual(saved, [], 'not at once')
  skip(RETRY_MS)
  await tried(unsaved)
  await tried(unsaved)
  assert.deepEqual(saved, ['one'])
  skip(RETRY_MS)
  await tried(unsaved)
  assert.deepEqual(saved, ['one'])
  assert.deepEqual(errors, [])
})

test('the first refusal ends a try, and nothing is forgotten', async () => {
  const { unsaved, errors, saved, save, skip } = open()
  let isRefusing = true
  const asked: string[] = []
  for (const name of ['one', 'two', 'three']) {
    unsaved.add(name, async () => {
      asked.push(name)
      if (isRefusing) throw new Error('full')
      await save(name)()
    })
  }
  skip(RETRY_MS)
  await tried(unsaved)
  assert.deepEqual(asked, ['one'])
  assert.equal(errors.length, 1)
  isRefusing = false
  await tried(unsaved)
  assert.deepEqual(saved, [], 'not before its time')
  skip(RETRY_MS)
  await tried(unsaved)
  assert.deepEqual(saved, ['one', 'two', 'three'])
})

test('of a name only what was refused last is stored, and nothing once it was stored otherwise', async () => {
  const { unsaved, saved, save, skip } = open()
  unsaved.add('app:v1', save('old'))
  unsaved.add('app:v1', save('new'))
  unsaved.add('app:v2', save('other'))
  unsaved.delete('app:v2')
  skip(RETRY_MS)
  await tried(unsaved)
  assert.deepEqual(saved, ['new'])
})

function open() {
  let now = 1_000_000
  const errors: unknown[] = []
  const saved: string[] = []
  const unsaved = new Unsaved({ onError: (error) => errors.push(error), now: () => now })
  return {
    unsaved,
    errors,
    saved,
    save: (name: string) => async () => void saved.push(name),
    skip(ms: number) {
      now += ms
    },
  }
}

async function tried(unsaved: Unsaved): Promise<void> {
  unsaved.trySaving()
  await setImmediate()
}
