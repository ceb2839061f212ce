import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Coalescer } from '../../src/pull/coalesce.ts'
import { Barrier } from '../support/barrier.ts'

test('whoever asks meanwhile gets the same answer, and one question is put', async () => {
  const coalescer = new Coalescer<number>()
  const barrier = new Barrier()
  let asked = 0
  const question = async () => {
    await barrier.wait()
    return ++asked
  }
  const all = Array.from({ length: 50 }, () => coalescer.ask('key', question))
  barrier.release()
  const answers = await Promise.all(all)
  assert.deepEqual(new Set(answers.map(({ answer }) => answer)), new Set([1]))
  assert.equal(answers.filter(({ isShared }) => isShared).length, 49)
})

test('an answer is not kept: who asks later asks anew', async () => {
  const coalescer = new Coalescer<number>()
  let asked = 0
  const question = async () => ++asked
  assert.equal((await coalescer.ask('key', question)).answer, 1)
  assert.deepEqual(await coalescer.ask('key', question), { answer: 2, isShared: false })
})

test('an error is shared by those who asked meanwhile, and by nobody after', async () => {
  const coalescer = new Coalescer<number>()
  const barrier = new Barrier()
  const failing = async () => {
    await barrier.wait()
    throw new Error('down')
  }
  const all = [coalescer.ask('key', failing), coalescer.ask('key', failing)]
  barrier.release()
  for (const one of all) await assert.rejects(one, /down/)
  assert.equal((await coalescer.ask('key', async () => 7)).answer, 7)
})

test('keys do not meet', async () => {
  const coalescer = new Coalescer<string>()
  const [a, b] = await Promise.all(['a', 'b'].map((key) => coalescer.ask(key, async () => key)))
  assert.deepEqual([a?.answer, b?.answer], ['a', 'b'])
})
