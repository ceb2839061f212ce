import assert from 'node:assert/strict'
import { test } from 'node:test'

import { FAILPOINTS } from '../../src/store/failpoints.ts'
import { crash } from './run.ts'

const ROUNDS = 200
const SEED = 5
/** Promised is ready in 2 s; the slowest of so many starts also tells of what else the machine does. */
const READY_MS = 2_000
const SLOWEST_MS = 20_000

// Ended at every step of the store and at any moment, it is as it was promised after each restart.
test('200 times killed, it has lost nothing, left nothing, and needs nobody', {
  timeout: 600_000,
}, async () => {
  const lines: string[] = []
  const say = (line: string) => void lines.push(line)
  const { violations, hits, readyMs } = await crash({ rounds: ROUNDS, seed: SEED, say })
  const shown = `seed ${SEED}\n${lines.join('\n')}`
  assert.deepEqual(violations, [], shown)
  // A point that is new in the list needs something in `load.ts` that leads to it.
  const missing = FAILPOINTS.filter((point) => (hits.get(point) ?? 0) === 0)
  assert.deepEqual(missing, [], `never ended there: ${missing.join(', ')}\n${shown}`)
  assert.ok(readyMs.median < READY_MS, shown)
  assert.ok(readyMs.max < SLOWEST_MS, shown)
})
