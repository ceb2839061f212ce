import assert from 'node:assert/strict'
import { mock, test } from 'node:test'

import { Activity } from '../../src/upstream/activity.ts'

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test('silence begins when the last has ended, and begins anew with everyone who comes', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const activity = new Activity()
  let isSilent = false
  const [endOne, endOther] = [activity.begin(), activity.begin()]
  const silence = activity.silence(60_000).then(() => {
    isSilent = true
  })
  mock.timers.tick(60_000)
  endOne()
  endOne()
  mock.timers.tick(60_000)
  endOther()
  mock.timers.tick(59_999)
  const endThird = activity.begin()
  mock.timers.tick(60_000)
  endThird()
  mock.timers.tick(59_999)
  await settle()
  assert.equal(isSilent, false)
  mock.timers.tick(1)
  await silence
})

test('where nothing is under way silence has begun already, and can be cut short', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const quiet = new Activity()
  const silence = quiet.silence(60_000)
  mock.timers.tick(60_000)
  await silence
  const busy = new Activity()
  busy.begin()
  const never = busy.silence(60_000)
  busy.stop()
  await never
})
