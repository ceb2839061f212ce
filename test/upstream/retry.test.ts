import assert from 'node:assert/strict'
import { test } from 'node:test'

import { createLogger } from '../../src/log.ts'
import { Circuits } from '../../src/upstream/circuits.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/errors.ts'
import { Retry } from '../../src/upstream/retry.ts'
import { answer, hangUp } from '../support/faults.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import {
  AS_LARDER,
  basic,
  createClient,
  failure,
  LATEST,
  password,
  REPOSITORY,
  sampleManifest,
} from './client.ts'

const MANIFEST = sampleManifest()

function startRegistry(): Promise<ScriptedServer> {
  return new ScriptedServer(() => MANIFEST.answer).start()
}

/** A port that nobody listens on. */
async function deadOrigin(): Promise<string> {
  const server = await startRegistry()
  const { origin } = server
  await server.close()
  return origin
}

test('a failing registry is asked three times, with growing patience within bounds', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin, { limits: { connectTimeoutMs: 10_000 } })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  server.script({}, answer(502), { times: 2 })
  assert.equal((await pull()).digest, MANIFEST.digest)
  assert.deepEqual(client.delays, [1_100, 1_100])
  assert.equal(client.events.filter(({ event }) => event === 'retry').length, 2)
  server.forget()
  server.script({}, answer(500))
  await assert.rejects(pull(), failure('failed', 'http_5xx'))
  assert.equal(server.requests.length, 3)
})

test('a connection that the registry had closed is replaced without a delay', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  server.script({}, hangUp('rst'), { times: 1 })
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.deepEqual(client.delays, [])
})

test('what has an answer is not asked again', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  for (const status of [400, 403, 404, 429, 501]) {
    server.forget()
    server.script({}, answer(status), { times: 1 })
    await assert.rejects(client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER))
    assert.equal(server.requests.length, 1, String(status))
  }
  server.forget()
  server.script({}, answer(503, { 'retry-after': '60' }), { times: 1 })
  await assert.rejects(client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER))
  assert.equal(server.requests.length, 1, 'a 503 that says when is not asked before')
})

test('a registry that refuses connections or has no name fails with that reason', async () => {
  await using refused = createClient(await deadOrigin())
  await assert.rejects(
    refused.registry.getManifest(REPOSITORY, LATEST, AS_LARDER),
    (error: Error) => {
      assert.ok(!error.message.includes('127.0.0.1'))
      return failure('unreachable', 'connect')(error)
    },
  )
  await using nameless = createClient(
    'http://registry.test',
    {},
    {
      lookup: (_hostname, _options, callback) => {
        callback(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }), [])
      },
    },
  )
  await assert.rejects(
    nameless.registry.getManifest(REPOSITORY, LATEST, AS_LARDER),
    failure('unreachable', 'dns'),
  )
})

test('mirrors come first, in order, and the registry after any failure of theirs', async () => {
  await using first = await startRegistry()
  await using second = await startRegistry()
  await using server = await startRegistry()
  await using client = createClient(server.origin, {
    mirrors: [await deadOrigin(), first.origin, second.origin],
  })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await pull()
  assert.deepEqual(
    [first, second, server].map((one) => one.requests.length),
    [1, 0, 0],
  )
  for (const status of [404, 401, 403, 429, 500]) {
    for (const one of [first, second]) one.script({}, answer(status), { times: 1 })
    server.forget()
    await pull()
    assert.equal(server.requests.length, 1, String(status))
    client.clock.time += 30_001
  }
  first.script({}, answer(200, {}, 'lies'), { times: 1 })
  const reference = { kind: 'digest', digest: MANIFEST.digest } as const
  assert.equal(
    (await client.registry.getManifest(REPOSITORY, reference, AS_LARDER)).digest,
    MANIFEST.digest,
  )
})

test('a mirror that failed is asked last for thirty seconds', async () => {
  await using mirror = await startRegistry()
  await using server = await startRegistry()
  await using client = createClient(server.origin, { mirrors: [mirror.origin] })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  mirror.script({}, answer(500), { times: 1 })
  await pull()
  await pull()
  assert.deepEqual([mirror.requests.length, server.requests.length], [1, 2])
  client.clock.time += 30_001
  await pull()
  assert.deepEqual([mirror.requests.length, server.requests.length], [2, 2])
  server.script({}, answer(404), { times: 1 })
  mirror.script({}, answer(500), { times: 1 })
  await assert.rejects(pull(), failure('unknown'))
  server.script({}, answer(404), { times: 1 })
  await assert.rejects(pull(), failure('unknown'), "the registry's 404 is final")
  assert.equal(mirror.requests.length, 3)
})

test("the registry's own failure is reported, not a mirror's 404", async () => {
  await using mirror = await new ScriptedServer(() => ({ status: 404 })).start()
  await using client = createClient(await deadOrigin(), { mirrors: [mirror.origin] })
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('unreachable', 'connect'))
  assert.equal(mirror.requests.length, 1)
})

test("a mirror sees neither the registry's password nor a caller", async () => {
  const challenge = { 'www-authenticate': 'Basic realm="give"' }
  await using mirror = await new ScriptedServer(() => ({ status: 401, headers: challenge })).start()
  await using server = await new ScriptedServer(({ headers }) =>
    headers.authorization === undefined ? { status: 401, headers: challenge } : MANIFEST.answer,
  ).start()
  await using client = createClient(server.origin, {
    mirrors: [mirror.origin],
    credentials: [password('u', 'p')],
  })
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.equal(server.requests.at(-1)?.headers.authorization, basic('u', 'p'))
  assert.deepEqual(
    mirror.requests.map(({ headers }) => headers.authorization),
    [undefined],
  )
  const as = { kind: 'caller', username: 'c', password: 'q', fingerprint: 'f' } as const
  await client.registry.getManifest(REPOSITORY, LATEST, { as })
  await assert.rejects(
    client.registry.getManifest(REPOSITORY, LATEST, { as: { kind: 'anonymous' } }),
    failure('denied'),
  )
  assert.equal(mirror.requests.length, 1)
})

/** Endpoints `a` and `b`, the registry, which fail in the given way and take the given time. */
async function run(kind: UpstreamErrorKind, reason: string, tookMs: number) {
  const asked: string[] = []
  const delays: number[] = []
  const clock = { time: 0, now: () => clock.time, elapsed: () => clock.time }
  const ignore = () => undefined
  const observe = {
    request: ignore,
    rateLimit: ignore,
    error: ignore,
    retry: ignore,
    circuit: ignore,
    waiting: ignore,
    token: ignore,
    credentialExpiry: ignore,
  }
  const sleep = async (delayMs: number) => {
    delays.push(delayMs)
    clock.time += delayMs
  }
  const random = () => 0.999_999
  const common = { upstream: 'test', clock, observe }
  const logger = createLogger({ level: 'silent', format: 'json' })
  const circuits = new Circuits(['a', 'b'], { ...common, logger })
  const options = { ...common, circuits, connectTimeoutMs: 1_000, random, sleep }
  const endpoints = [
    { key: 'a', authoritative: false },
    { key: 'b', authoritative: true },
  ]
  const operation = async ({ key }: { key: string }) => {
    asked.push(key)
    clock.time += tookMs
    throw new UpstreamError(kind, { upstream: 'test', reason, message: 'as scripted' })
  }
  await assert.rejects(new Retry(options).run(endpoints, operation), failure(kind, reason))
  return { asked: asked.join(''), elapsed: clock.time, delays }
}

test('a dead upstream takes no longer than the connect timeout of each endpoint', async () => {
  assert.equal((await run('timeout', 'connect', 1_000)).asked, 'ab')
  assert.equal((await run('timeout', 'timeout', 10)).asked, 'ab')
  const { elapsed, asked } = await run('unreachable', 'connect', 1)
  assert.ok(elapsed <= 2_000, `${elapsed} ms for ${asked}`)
  assert.equal((await run('unreachable', 'reset', 1)).asked, 'abab')
  assert.equal((await run('failed', 'http_5xx', 999)).asked, 'ab')
})
