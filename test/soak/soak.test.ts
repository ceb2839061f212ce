import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Soak } from './run.ts'

test('a registry that misbehaves at random breaks no promise, and nothing is left behind', async () => {
  const lines: string[] = []
  const seed = 20
  const violations = await new Soak({
    seconds: 6,
    seed,
    say: (line) => void lines.push(line),
  }).run()
  assert.deepEqual(violations, [], `seed ${seed}\n${lines.join('\n')}`)
  const [, whole = '0', refused = '0'] =
    /whole (\d+) .*refused (\d+)/.exec(lines.at(-1) ?? '') ?? []
  assert.ok(Number(whole) > 20, `there was hardly any work: ${lines.at(-1)}`)
  assert.ok(Number(refused) > 0, `no fault was felt: ${lines.at(-1)}`)
})
