import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import fc from 'fast-check'

import { type Leave, Line } from '../../src/upstream/line.ts'
import type { Errand } from '../../src/upstream/places.ts'
import { runs } from '../pull/runs.ts'
import { failure, recorder } from './client.ts'
import { Sleepers } from './sleepers.ts'

const BODY = { work: 'body', urgency: 'interactive' } as const
const BRIEF = { work: 'brief', urgency: 'interactive' } as const
const BACKGROUND_BODY = { work: 'body', urgency: 'background' } as const
const BACKGROUND = { work: 'brief', urgency: 'background' } as const

function createLine(connections: number, maxWaiting?: number) {
  const sleepers = new Sleepers()
  const events: ({ readonly event: string } & Record<string, unknown>)[] = []
  const observe = recorder(events)
  const { sleep } = sleepers
  const line = new Line({ upstream: 'test', connections, observe, sleep, maxWaiting })
  /** The names of those who have entered, in that order, and how each leaves. */
  const entered: string[] = []
  const leaves = new Map<string, Leave>()
  const come = async (name: string, errand: Errand, signal?: AbortSignal) => {
    leaves.set(name, await line.enter(errand, signal))
    entered.push(name)
  }
  const leave = async (name: string) => {
    leaves.get(name)?.()
    await setImmediate()
  }
  return { line, sleepers, events, entered, come, leave }
}

test('bodies leave a quarter of the places to questions, and no more than four', async () => {
  for (const [connections, places] of [
    [1, 1],
    [3, 3],
    [4, 3],
    [8, 6],
    [16, 12],
    [64, 60],
  ] as const) {
    const { line, entered, come } = createLine(connections)
    const coming = Array.from({ length: 70 }, (_, i) => come(`body ${i}`, BODY))
    await setImmediate()
    assert.equal(entered.length, places, `bodies on ${connections}`)
    const asking = Array.from({ length: 10 }, (_, i) => come(`question ${i}`, BRIEF))
    await setImmediate()
    assert.equal(entered.length, Math.min(connections, places + 10))
    line.close()
    await Promise.allSettled([...coming, ...asking])
  }
})

test('the first to come is the first to go, but what is in the background goes last', async () => {
  const { line, entered, come, leave } = createLine(1)
  await come('a', BRIEF)
  const rest = [come('background', BACKGROUND), come('b', BODY), come('c', BRIEF), come('d', BODY)]
  assert.equal(line.waiting, 4)
  for (const name of ['a', 'b', 'c', 'd']) await leave(name)
  await Promise.all(rest)
  assert.deepEqual(entered, ['a', 'b', 'c', 'd', 'background'])
  assert.equal(line.waiting, 0)
})

test('the background has half of the places of bodies, and none while a body waits for one', async () => {
  const { line, entered, come, leave } = createLine(8)
  const rest = Array.from({ length: 5 }, (_, i) => come(`preload ${i}`, BACKGROUND_BODY))
  await setImmediate()
  assert.equal(entered.length, 3)
  for (const name of ['a', 'b', 'c', 'd']) rest.push(come(name, BODY))
  await setImmediate()
  assert.deepEqual(entered.slice(3), ['a', 'b', 'c'])
  rest.push(come('refresh', BACKGROUND))
  await leave('preload 0')
  assert.deepEqual(entered.slice(6), ['d', 'refresh'])
  await leave('preload 1')
  assert.deepEqual(entered.slice(8), ['preload 3'], 'a body has left its place')
  line.close()
  await Promise.allSettled(rest)
})

test('who has waited for thirty seconds is told to come back', async () => {
  const { line, sleepers, events, entered, come, leave } = createLine(1)
  await come('a', BODY)
  assert.deepEqual(sleepers.delays, [], 'who need not wait sets no timer')
  const late = come('late', BRIEF)
  assert.deepEqual(sleepers.delays, [30_000])
  sleepers.wakeAll()
  await assert.rejects(late, (error: { retryAfterMs?: number }) => {
    assert.equal(error.retryAfterMs, 1_000)
    return failure('throttled', 'queue_timeout')(error)
  })
  const next = come('b', BRIEF)
  assert.equal(line.waiting, 1)
  await leave('a')
  await next
  assert.deepEqual(entered, ['a', 'b'])
  assert.deepEqual(sleepers.delays, [])
  assert.deepEqual(
    events.map(({ event, count, reason }) => reason ?? `${event} ${count}`),
    ['waiting 1', 'queue_timeout', 'waiting 0', 'waiting 1', 'waiting 0'],
  )
})

test('a line that is too long takes nobody more, and the background may not fill it', async () => {
  const { line, come } = createLine(1, 10)
  await come('a', BODY)
  const preloads = Array.from({ length: 5 }, (_, i) => come(`preload ${i}`, BACKGROUND))
  await assert.rejects(come('preload', BACKGROUND), failure('throttled', 'queue_full'))
  const pulls = Array.from({ length: 5 }, (_, i) => come(`${i}`, BRIEF))
  await assert.rejects(come('pull', BRIEF), failure('throttled', 'queue_full'))
  assert.equal(line.waiting, 10)
  line.close()
  const all = await Promise.allSettled([...preloads, ...pulls])
  assert.ok(all.every(({ status }) => status === 'rejected'))
  assert.equal(line.waiting, 0)
  await assert.rejects(come('late', BRIEF), failure('unreachable', 'connect'))
})

test('who gives up leaves the line at once, with the own reason, and lets the others by', async () => {
  const { line, entered, come } = createLine(4)
  for (const name of ['a', 'b', 'c']) await come(name, BODY)
  const controller = new AbortController()
  const body = come('body', BODY, controller.signal)
  const background = come('background', BACKGROUND)
  await setImmediate()
  assert.equal(line.waiting, 2, 'a place is free, but a body waits')
  controller.abort(new Error('enough'))
  assert.equal(line.waiting, 0)
  await assert.rejects(body, /enough/)
  await background
  assert.deepEqual(entered, ['a', 'b', 'c', 'background'])
  await assert.rejects(come('gone', BRIEF, controller.signal), /enough/)
  assert.equal(line.waiting, 0)
})

test('who gives up in the very moment of entering either has the place or has left it', async () => {
  for (let delay = 0; delay < 20; delay++) {
    const { entered, come, leave } = createLine(1)
    await come('a', BRIEF)
    const controller = new AbortController()
    const fickle = come('b', BRIEF, controller.signal).catch(() => undefined)
    const patient = come('c', BRIEF)
    const left = leave('a')
    for (let i = 0; i < delay; i++) await Promise.resolve()
    controller.abort(new Error('enough'))
    await left
    assert.equal(entered.length, 2, `after ${delay} steps: ${entered}`)
    await leave('b')
    await Promise.all([fickle, patient])
    assert.equal(entered.at(-1), 'c')
  }
})

interface Visitor {
  readonly errand: Errand
  /** Turns of the event loop, as the others. */
  readonly after: number
  readonly stays: number
  readonly givesUpAfter: number | undefined
}

const visitor: fc.Arbitrary<Visitor> = fc.record({
  errand: fc.constantFrom(BODY, BRIEF, BACKGROUND_BODY, BACKGROUND),
  after: fc.integer({ min: 1, max: 20 }),
  stays: fc.nat(10),
  givesUpAfter: fc.option(fc.nat(15), { nil: undefined, freq: 4 }),
})

/** Who waits and who is in, as the line should have it. */
class Census {
  readonly inside: Errand[] = []
  readonly waiting = new Set<Errand>()
  readonly #connections: number

  constructor(connections: number) {
    this.#connections = connections
  }

  /** @throws {AssertionError} when somebody has a place who should have none */
  enters(errand: Errand): void {
    this.waiting.delete(errand)
    this.inside.push(errand)
    const bodies = this.#connections - Math.min(4, Math.floor(this.#connections / 4))
    const count = (key: Partial<Errand>) =>
      this.inside.filter(
        ({ work, urgency }) => work === (key.work ?? work) && urgency === (key.urgency ?? urgency),
      ).length
    assert.ok(this.inside.length <= this.#connections, 'too many are in')
    assert.ok(count({ work: 'body' }) <= bodies, 'too many bodies are in')
    const background = Math.max(1, Math.floor(bodies / 2))
    assert.ok(count({ urgency: 'background' }) <= background, 'too much background is in')
  }

  leaves(errand: Errand): void {
    this.inside.splice(this.inside.indexOf(errand), 1)
  }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate()
}

test('whoever comes and goes: never too many, the background overtakes nobody, everybody ends', async () => {
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 17 }),
    fc.array(visitor, { minLength: 1, maxLength: 60 }),
    async (connections, visitors) => {
      const { line } = createLine(connections)
      const census = new Census(connections)
      const visit = async ({ errand: kind, after, stays, givesUpAfter }: Visitor) => {
        const errand = { ...kind }
        await turns(after)
        const controller = new AbortController()
        const giveUp = () => {
          census.waiting.delete(errand)
          controller.abort(new Error('enough'))
        }
        if (givesUpAfter !== undefined) turns(givesUpAfter).then(giveUp, () => undefined)
        census.waiting.add(errand)
        try {
          const leave = await line.enter(errand, controller.signal)
          census.enters(errand)
          if (errand.urgency === 'background') {
            const overtaken = [...census.waiting].filter((one) => one.urgency === 'interactive')
            assert.deepEqual(overtaken, [], 'somebody who waits was overtaken')
          }
          await turns(stays)
          census.leaves(errand)
          leave()
          leave()
        } catch (error) {
          if ((error as Error).message !== 'enough') throw error
        }
      }
      await Promise.all(visitors.map(visit))
      await setImmediate()
      assert.equal(line.waiting, 0)
      assert.deepEqual(census.inside, [])
      const leaves = await Promise.all(Array.from({ length: connections }, () => line.enter(BRIEF)))
      for (const leave of leaves) leave()
    },
  )
  await fc.assert(property, { ...runs(100), timeout: 10_000 })
})
