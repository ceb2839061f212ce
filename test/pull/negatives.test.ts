import assert from 'node:assert/strict'
import { mock, test } from 'node:test'

import { Negatives, RememberedError } from '../../src/pull/negatives.ts'
import type { UpstreamErrorKind } from '../../src/upstream/errors.ts'
import { upstreamError } from './scripted-source.ts'

/** For how long each is remembered, in seconds. */
const KEPT = [
  ['unknown', 10],
  ['denied', 30],
  ['throttled', 0],
  ['failed', 0],
  ['timeout', 0],
  ['unreachable', 0],
  ['invalid', 0],
  ['offline', 0],
] as const satisfies readonly (readonly [UpstreamErrorKind, number])[]

for (const [kind, seconds] of KEPT) {
  test(`${kind} is remembered for ${seconds} seconds`, async () => {
    using clock = fakePerformance()
    const negatives = new Negatives()
    let asked = 0
    const ask = () =>
      negatives.asked('key', async () => {
        asked++
        throw upstreamError(kind, 404)
      })
    await assert.rejects(ask(), (error) => !(error instanceof RememberedError))
    if (seconds > 0) {
      clock.advance(seconds * 1000 - 1)
      await assert.rejects(ask(), (error) => {
        return error instanceof RememberedError && error.kind === kind && error.status === 404
      })
      assert.equal(asked, 1)
    }
    clock.advance(2)
    await assert.rejects(ask(), (error) => !(error instanceof RememberedError))
    assert.equal(asked, 2)
  })
}

test('an answer is not remembered, nor is a refusal of another question', async () => {
  const negatives = new Negatives()
  const refuse = async () => {
    throw upstreamError('denied', 403)
  }
  await assert.rejects(negatives.asked('one', refuse))
  assert.equal(await negatives.asked('other', async () => 1), 1)
  assert.equal(await negatives.asked('other', async () => 2), 2)
  negatives.clear()
  assert.equal(await negatives.asked('one', async () => 3), 3)
})

/** The monotonic clock, standing until it is moved. The cache reads it once a timer's millisecond. */
function fakePerformance() {
  let now = 1_000_000
  const mocked = mock.method(performance, 'now', () => now)
  mock.timers.enable({ apis: ['setTimeout'] })
  return {
    advance(milliseconds: number) {
      now += milliseconds
      mock.timers.tick(1)
    },
    [Symbol.dispose]() {
      mock.timers.reset()
      mocked.mock.restore()
    },
  }
}
