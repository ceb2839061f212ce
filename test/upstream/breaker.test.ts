import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Breaker } from '../../src/upstream/breaker.ts'
import type { UpstreamError } from '../../src/upstream/errors.ts'
import { answer, hangUp } from '../support/faults.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import {
  AS_LARDER,
  type Client,
  createClient,
  failure,
  LATEST,
  REPOSITORY,
  sampleManifest,
} from './client.ts'

const MANIFEST = sampleManifest()

function createBreaker() {
  const time = { now: 0 }
  const changes: string[] = []
  const onChange = (state: string, openMs: number) => void changes.push(`${state} ${openMs}`)
  const breaker = new Breaker({ elapsed: () => time.now, onChange })
  const admit = () => {
    const admission = breaker.admit()
    assert.ok(admission !== undefined, 'it is let through')
    return admission
  }
  const fail = (times: number) => {
    for (let i = 0; i < times; i++) admit().failed()
  }
  return { breaker, time, changes, admit, fail }
}

test('five failures in a row open it for ten seconds', () => {
  const { breaker, time, changes, fail } = createBreaker()
  fail(4)
  assert.equal(breaker.state, 'closed')
  fail(1)
  assert.equal(breaker.state, 'open')
  assert.equal(breaker.waitMs, 10_000)
  time.now = 9_999
  assert.equal(breaker.admit(), undefined)
  assert.deepEqual(changes, ['open 10000'])
})

test('an answer between them, or a minute, ends a row of failures', () => {
  const { breaker, time, admit, fail } = createBreaker()
  fail(4)
  admit().answered()
  fail(4)
  assert.equal(breaker.state, 'closed')
  time.now = 60_001
  fail(4)
  assert.equal(breaker.state, 'closed', 'of the last five, one is too long ago')
  fail(1)
  assert.equal(breaker.state, 'open')
})

test('half-open lets exactly one request through, whose answer closes it', () => {
  const { breaker, time, changes, admit, fail } = createBreaker()
  fail(5)
  time.now = 10_000
  const trial = admit()
  assert.equal(breaker.state, 'half_open')
  assert.equal(breaker.admit(), undefined)
  assert.ok(breaker.waitMs > 0)
  trial.answered()
  assert.equal(breaker.waitMs, 0)
  assert.deepEqual(changes, ['open 10000', 'half_open 0', 'closed 0'])
  fail(4)
  assert.equal(breaker.state, 'closed')
})

test('a trial that fails opens it for twice as long, and never longer than a minute', () => {
  const { breaker, time, admit, fail } = createBreaker()
  fail(5)
  const waits = [breaker.waitMs]
  for (let i = 0; i < 4; i++) {
    time.now += breaker.waitMs
    admit().failed()
    waits.push(breaker.waitMs)
  }
  assert.deepEqual(waits, [10_000, 20_000, 40_000, 60_000, 60_000])
  time.now += 60_000
  admit().answered()
  fail(5)
  assert.equal(breaker.waitMs, 10_000, 'a recovery is forgiven')
})

test('a trial that is given up makes room for another', () => {
  const { breaker, time, admit, fail } = createBreaker()
  fail(5)
  time.now = 10_000
  admit().abandoned()
  admit().answered()
  assert.equal(breaker.state, 'closed')
})

test('a failure from before it opened neither prolongs it nor ends the trial', () => {
  const { breaker, time, admit, fail } = createBreaker()
  const early = Array.from({ length: 5 }, admit)
  const [late, last] = [admit(), admit()]
  fail(5)
  time.now = 5_000
  for (const one of early) one.failed()
  time.now = 10_000
  assert.equal(breaker.waitMs, 0)
  const trial = admit()
  late.failed()
  last.abandoned()
  assert.equal(breaker.admit(), undefined)
  trial.answered()
  assert.equal(breaker.state, 'closed')
})

async function startRegistry(): Promise<ScriptedServer> {
  return await new ScriptedServer(() => MANIFEST.answer).start()
}

function pull({ registry }: Client): Promise<unknown> {
  return registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
}

function circuits({ events }: Client): unknown[] {
  return events.filter(({ event }) => event === 'circuit').map(({ state }) => state)
}

/** Five pulls that fail, the first of them with two repetitions, which do not count. */
async function breakCircuit(client: Client): Promise<void> {
  for (let i = 0; i < 5; i++) await assert.rejects(pull(client))
}

test('a registry that fails each time is not asked, then asked once, then asked again', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin, { limits: { connectTimeoutMs: 10_000 } })
  server.script({}, answer(503))
  await breakCircuit(client)
  assert.equal(server.requests.length, 7)
  await assert.rejects(pull(client), (error: UpstreamError) => {
    assert.equal(error.message, 'the registry has failed repeatedly and is not asked for 10 s')
    assert.equal(error.retryAfterMs, 10_000)
    return failure('unreachable', 'circuit_open')(error)
  })
  assert.equal(server.requests.length, 7)
  client.clock.time += 10_000
  await assert.rejects(pull(client), failure('failed', 'http_5xx'))
  assert.equal(server.requests.length, 8)
  client.clock.time += 19_999
  await assert.rejects(pull(client), failure('unreachable', 'circuit_open'))
  server.clearScripts()
  client.clock.time += 1
  const both = await Promise.allSettled([pull(client), pull(client)])
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  assert.equal(server.requests.length, 9)
  await pull(client)
  assert.deepEqual(circuits(client), ['open', 'half_open', 'open', 'half_open', 'closed'])
  const lines = client.log.map((line) => JSON.parse(line) as { state?: string; upstream: string })
  const states = lines.filter(({ state }) => state !== undefined)
  assert.deepEqual(
    states.map(({ state }) => state),
    circuits(client),
  )
  assert.ok(states.every(({ upstream }) => upstream === 'test'))
})

test('a trial that fails is told as what it is, and not waited after', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  server.script({}, answer(503))
  await breakCircuit(client)
  client.clock.time += 40_000
  const { length } = client.delays
  await assert.rejects(pull(client), failure('failed', 'http_5xx'))
  assert.equal(client.delays.length, length)
})

test('what a registry answers never opens its circuit, however often it is no', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  for (const status of [404, 401, 403, 429, 501, 418]) {
    server.script({}, answer(status))
    for (let i = 0; i < 6; i++) await assert.rejects(pull(client))
    server.clearScripts()
  }
  assert.deepEqual(circuits(client), [])
  await pull(client)
})

test('with mirrors, nobody is asked when all fail each time, and who still fails is skipped', async () => {
  await using mirror = await startRegistry()
  await using server = await startRegistry()
  await using client = createClient(server.origin, {
    mirrors: [mirror.origin],
    limits: { connectTimeoutMs: 10_000 },
  })
  const asked = () => [mirror.requests.length, server.requests.length]
  mirror.script({}, answer(500))
  server.script({}, answer(503))
  await breakCircuit(client)
  assert.deepEqual(asked(), [7, 7])
  await assert.rejects(pull(client), failure('unreachable', 'circuit_open'))
  assert.deepEqual(asked(), [7, 7])
  server.clearScripts()
  client.clock.time += 10_000
  await pull(client)
  assert.deepEqual(asked(), [8, 8])
  assert.deepEqual(circuits(client).at(-1), 'closed', 'one is well: so is the upstream')
  client.clock.time += 10_000
  server.script({}, answer(503), { times: 3 })
  await assert.rejects(pull(client), failure('failed', 'http_5xx'))
  assert.deepEqual(asked(), [8, 11])
})

test('a pull that is given up during the trial leaves it to the next', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  server.script({}, hangUp('rst'))
  await breakCircuit(client)
  server.clearScripts()
  client.clock.time += 10_000
  const held = server.hold({})
  const controller = new AbortController()
  const { registry } = client
  const given = registry.getManifest(REPOSITORY, LATEST, {
    ...AS_LARDER,
    signal: controller.signal,
  })
  await held.arrived()
  controller.abort(new Error('enough'))
  await assert.rejects(given, /enough/)
  held.release()
  await pull(client)
  assert.deepEqual(circuits(client).at(-1), 'closed')
})

test('a request that is passed through is not made either', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  server.script({}, hangUp('rst'))
  await breakCircuit(client)
  server.forget()
  const as = { kind: 'larder' } as const
  const asked = client.registry.authorize(REPOSITORY, 'pull,push', as)
  await assert.rejects(asked, failure('unreachable', 'circuit_open'))
  assert.equal(server.requests.length, 0)
})
