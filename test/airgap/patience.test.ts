import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Patience } from '../../src/airgap/patience.ts'
import { ContentMismatchError, RegistryError } from '../../src/oci/errors.ts'

const NEVER = new AbortController().signal

/** A clock that is moved by sleeping, and answers one after the other. */
function setUp(answers: readonly unknown[], waitMs = 60_000) {
  const slept: number[] = []
  let now = 0
  let asked = 0
  const patience = new Patience({
    waitMs,
    elapsed: () => now,
    sleep: async (delayMs) => {
      slept.push(delayMs)
      now += delayMs
    },
    random: () => 0,
  })
  const ask = async () => {
    const answer = answers[Math.min(asked++, answers.length - 1)]
    if (answer instanceof Error) throw answer
    return answer
  }
  return { patience, ask, slept, asked: () => asked }
}

function busy(seconds: number): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', { headers: { 'Retry-After': String(seconds) } })
}

const DOWN = new RegistryError('UPSTREAM_FAILED', { status: 504 })

test('a registry that says when is asked then, and not before', async () => {
  const { patience, ask, slept } = setUp([busy(5), busy(7), 'here'])
  assert.equal(await patience.run('hub', NEVER, ask), 'here')
  assert.deepEqual(slept, [5_000, 7_000])
})

test('one that puts us off for longer than we wait is not waited for', async () => {
  const { patience, ask, slept } = setUp([busy(20), busy(50)])
  await assert.rejects(patience.run('hub', NEVER, ask), { code: 'TOOMANYREQUESTS' })
  assert.deepEqual(slept, [20_000])
})

test('what comes meanwhile begins the waiting anew', async () => {
  const { patience, ask, slept, asked } = setUp([busy(20)])
  const run = patience.run('hub', NEVER, () => {
    if (asked() === 2) patience.came('hub')
    return ask()
  })
  await assert.rejects(run, { code: 'TOOMANYREQUESTS' })
  assert.equal(slept.length, 5)
})

test('while it rests nobody asks it, and others are asked all the same', async () => {
  const { patience, ask, slept } = setUp([busy(5), 'here'])
  await patience.run('hub', NEVER, ask)
  const elsewhere = await patience.run('elsewhere', NEVER, async () => slept.length)
  assert.equal(elsewhere, 1)
})

test('one that fails is asked three times, and once only by those who come after', async () => {
  const { patience, ask, slept, asked } = setUp([DOWN])
  await assert.rejects(patience.run('hub', NEVER, ask), { status: 504 })
  assert.deepEqual([asked(), slept], [3, [2_000, 8_000]])
  await assert.rejects(patience.run('hub', NEVER, ask), { status: 504 })
  assert.equal(asked(), 4)
  patience.came('hub')
  await assert.rejects(patience.run('hub', NEVER, ask), { status: 504 })
  assert.equal(asked(), 7)
})

for (const [what, error] of [
  ['a no', new RegistryError('MANIFEST_UNKNOWN')],
  ['a site that is offline', new RegistryError('UPSTREAM_FAILED', { detail: { offline: true } })],
  [
    'wrong bytes',
    new RegistryError('UPSTREAM_FAILED', { cause: new ContentMismatchError('digest', 'a', 'b') }),
  ],
] as const) {
  test(`${what} is not asked about again`, async () => {
    const { patience, ask, asked } = setUp([error])
    await assert.rejects(patience.run('hub', NEVER, ask), error)
    assert.equal(asked(), 1)
  })
}

test('whoever goes waits no longer', async () => {
  const { patience } = setUp([])
  const leaving = new AbortController()
  const run = patience.run('hub', leaving.signal, () => new Promise(() => {}))
  leaving.abort()
  await assert.rejects(run, { name: 'AbortError' })
})
