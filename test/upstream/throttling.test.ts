import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import type { UpstreamError } from '../../src/upstream/errors.ts'
import type { RequestOptions } from '../../src/upstream/ports.ts'
import { Barrier } from '../support/barrier.ts'
import { answer, hold } from '../support/faults.ts'
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
import { Sleepers } from './sleepers.ts'

const MANIFEST = sampleManifest()

test('a token server that limits requests is left alone for as long as it says', async () => {
  let isLimited = true
  await using server = await new ScriptedServer(({ path, headers }) => {
    if (path === '/token') {
      if (isLimited) return { status: 429, headers: { 'retry-after': '60' } }
      return { status: 200, body: Buffer.from('{"token":"t"}') }
    }
    if (headers.authorization !== undefined) return MANIFEST.answer
    const challenge = `Bearer realm="http://${headers.host}/token",service="s"`
    return { status: 401, headers: { 'www-authenticate': challenge } }
  }).start()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('throttled'))
  server.forget()
  client.clock.time += 59_000
  await assert.rejects(pull(), (error: { retryAfterMs?: number }) => {
    assert.equal(error.retryAfterMs, 1_000)
    return failure('throttled')(error)
  })
  assert.equal(server.requests.length, 0)
  isLimited = false
  client.clock.time += 1_000
  assert.equal((await pull()).digest, MANIFEST.digest)
})

/** A client for whom time passes only while it sleeps. */
function createSleepyClient(origin: string): Client {
  const delays: number[] = []
  const sleep = async (delayMs: number) => {
    delays.push(delayMs)
    client.clock.time += delayMs
  }
  const client: Client = { ...createClient(origin, {}, { sleep }), delays }
  return client
}

function startRegistry(): Promise<ScriptedServer> {
  return new ScriptedServer(() => MANIFEST.answer).start()
}

function pull({ registry }: Client, options: RequestOptions = AS_LARDER) {
  return registry.getManifest(REPOSITORY, LATEST, options)
}

const BACKGROUND = { ...AS_LARDER, urgency: 'background' } as const

test('a short rest is waited for, a long one is not', async () => {
  await using server = await startRegistry()
  await using client = createSleepyClient(server.origin)
  server.script({}, answer(429, { 'retry-after': '1' }), { times: 1 })
  assert.equal((await pull(client)).digest, MANIFEST.digest)
  assert.deepEqual(client.delays, [1_000])
  assert.equal(server.requests.length, 2)
  server.script({}, answer(429, { 'retry-after': '60' }), { times: 1 })
  await assert.rejects(pull(client), failure('throttled', 'throttled'))
  await assert.rejects(pull(client), failure('throttled', 'throttled'))
  assert.equal(server.requests.length, 3)
  client.clock.time += 55_000
  await pull(client)
  assert.deepEqual(client.delays, [1_000, 5_000])
})

test('no more than five seconds are waited in all, and no more than three times asked', async () => {
  await using server = await startRegistry()
  await using client = createSleepyClient(server.origin)
  server.script({}, answer(429, { 'retry-after': '3' }))
  await assert.rejects(pull(client), (error: UpstreamError) => {
    assert.equal(error.retryAfterMs, 3_000)
    return failure('throttled', 'throttled')(error)
  })
  assert.deepEqual(client.delays, [3_000])
  assert.equal(server.requests.length, 2)
  client.clock.time += 3_000
  server.clearScripts()
  server.forget()
  server.script({}, answer(429, { 'retry-after': '0.001' }))
  await assert.rejects(pull(client), failure('throttled', 'throttled'))
  assert.equal(server.requests.length, 3)
})

test('what nobody waits for is refused at once, however short the rest', async () => {
  await using server = await startRegistry()
  await using client = createSleepyClient(server.origin)
  server.script({}, answer(429, { 'retry-after': '1' }), { times: 1 })
  await assert.rejects(pull(client, BACKGROUND), failure('throttled', 'throttled'))
  await assert.rejects(pull(client, BACKGROUND), failure('throttled', 'yielded'))
  assert.deepEqual(client.delays, [])
  assert.equal(server.requests.length, 1)
})

test('who gives up while the registry rests gets the own reason', async () => {
  await using server = await startRegistry()
  const sleepers = new Sleepers()
  await using client = createClient(server.origin, {}, { sleep: sleepers.sleep })
  server.script({}, answer(429, { 'retry-after': '60' }), { times: 1 })
  await assert.rejects(pull(client))
  client.clock.time += 58_000
  const controller = new AbortController()
  const left = pull(client, { ...AS_LARDER, signal: controller.signal })
  while (sleepers.delays.length === 0) await setImmediate()
  assert.deepEqual(sleepers.delays, [2_000])
  controller.abort(new Error('enough'))
  await assert.rejects(left, /enough/)
  assert.equal(server.requests.length, 1)
})

test('of many who are told at the same moment, one line is logged', async () => {
  await using server = await startRegistry()
  await using client = createSleepyClient(server.origin)
  const held = new Barrier()
  server.script({}, [hold(held), answer(429, { 'retry-after': '60' })])
  const pulls = Promise.allSettled([pull(client), pull(client), pull(client)])
  await held.arrived(3)
  held.release()
  await pulls
  assert.equal(client.log.filter((line) => line.includes('limits requests')).length, 1)
})
