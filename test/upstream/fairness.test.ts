import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'

import { parseReference } from '../../src/oci/reference.ts'
import type { UpstreamError } from '../../src/upstream/errors.ts'
import type { RequestOptions } from '../../src/upstream/ports.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry, type FaultRegistryOptions } from '../support/fault-registry.ts'
import { answer, hangUp, hold, stall } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { AS_LARDER, type Client, createClient, failure, password, REPOSITORY } from './client.ts'
import { Sleepers } from './sleepers.ts'

const IMAGE = buildImage({ seed: 'fairness', layers: [20_000] })
const LAYER = IMAGE.layers[0]?.digest ?? IMAGE.config.digest
const BACKGROUND = { ...AS_LARDER, urgency: 'background' } as const

async function startRegistry(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const registry = await new FaultRegistry(options).start()
  registry.add(REPOSITORY, IMAGE, 'a', 'b', 'c')
  return registry
}

/** A client whose waiting ends only when the test says so. */
function createPatient(
  registry: FaultRegistry,
  connections: number,
  config: Parameters<typeof createClient>[1] = {},
) {
  const sleepers = new Sleepers()
  const { sleep } = sleepers
  const client = createClient(registry.origin, { ...config, limits: { connections } }, { sleep })
  return { sleepers, client }
}

function pull({ registry }: Client, tag: string, options: RequestOptions = AS_LARDER) {
  return registry.getManifest(REPOSITORY, parseReference(tag), options)
}

function open({ registry }: Client, options: RequestOptions = AS_LARDER) {
  return registry.openBlob(REPOSITORY, LAYER, { ...options, offset: 0 })
}

function tagsAsked(registry: FaultRegistry): unknown[] {
  return registry.find({ path: /manifests/ }).map(({ path }) => path.at(-1))
}

test('long downloads leave a place to questions, and hold theirs until the body has closed', async () => {
  await using registry = await startRegistry()
  const barrier = new Barrier()
  registry.script({ path: /blobs/ }, stall(100, barrier))
  const { client } = createPatient(registry, 4)
  await using _ = client
  const [first, ...others] = await Promise.all([open(client), open(client), open(client)])
  const late = open(client)
  assert.equal(client.registry.status().waiting, 1)
  await pull(client, 'a')
  assert.equal(registry.countBlobs(), 3)
  first?.body.destroy()
  others.push(await late)
  assert.equal(registry.countBlobs(), 4)
  barrier.release()
  for (const { body } of others) assert.equal((await buffer(body)).length, 20_000)
  const counts = client.events.filter(({ event }) => event === 'waiting')
  assert.deepEqual(
    counts.map(({ upstream, count }) => `${upstream} ${count}`),
    ['test 1', 'test 0'],
  )
})

test('a body that was read to its end makes room, without anybody letting go of it', async () => {
  await using registry = await startRegistry()
  const { client } = createPatient(registry, 1)
  await using _ = client
  const { body } = await open(client)
  const next = pull(client, 'a')
  assert.equal(client.registry.status().waiting, 1)
  assert.equal((await buffer(body)).length, 20_000)
  assert.equal((await next).digest, IMAGE.manifest.digest)
})

test('a blob that is not there gives its place back', async () => {
  await using registry = await startRegistry()
  const { client } = createPatient(registry, 1)
  await using _ = client
  const missing = client.registry.openBlob(REPOSITORY, IMAGE.manifest.digest, {
    ...AS_LARDER,
    offset: 0,
  })
  const next = pull(client, 'a')
  await assert.rejects(missing, failure('unknown'))
  await next
  assert.equal(client.registry.status().waiting, 0)
})

test('a pull overtakes what was asked in the background before it', async () => {
  await using registry = await startRegistry()
  const held = registry.hold({ path: /manifests\/a/ })
  const { client } = createPatient(registry, 1)
  await using _ = client
  const first = pull(client, 'a')
  await held.arrived()
  const preload = pull(client, 'b', BACKGROUND)
  const node = pull(client, 'c')
  held.release()
  await Promise.all([first, preload, node])
  assert.deepEqual(tagsAsked(registry), ['a', 'c', 'b'])
})

test('who waits too long is told when to come back, and the registry is not asked for it', async () => {
  await using registry = await startRegistry()
  registry.script({ path: /blobs/ }, stall(100, new Barrier()))
  const { client, sleepers } = createPatient(registry, 1)
  await using _ = client
  const { body } = await open(client)
  const late = pull(client, 'a')
  assert.deepEqual(sleepers.delays, [30_000])
  sleepers.wakeAll()
  await assert.rejects(late, (error: UpstreamError) => {
    assert.equal(error.retryAfterMs, 1_000)
    return failure('throttled', 'queue_timeout')(error)
  })
  const errors = client.events.filter(({ event }) => event === 'error')
  assert.deepEqual(
    errors.map(({ reason }) => reason),
    ['queue_timeout'],
  )
  assert.deepEqual(tagsAsked(registry), [])
  body.destroy()
  await pull(client, 'b')
})

test('who gives up while it waits leaves at once', async () => {
  await using registry = await startRegistry()
  const held = registry.hold({ path: /manifests\/a/ })
  const { client } = createPatient(registry, 1)
  await using _ = client
  const first = pull(client, 'a')
  await held.arrived()
  const controller = new AbortController()
  const left = pull(client, 'b', { ...AS_LARDER, signal: controller.signal })
  controller.abort(new Error('enough'))
  await assert.rejects(left, /enough/)
  assert.equal(client.registry.status().waiting, 0)
  held.release()
  await first
  assert.deepEqual(tagsAsked(registry), ['a'])
})

test('a place is held while a mirror and then the registry are asked', async () => {
  await using mirror = await startRegistry()
  await using registry = await startRegistry()
  const held = new Barrier()
  mirror.script({ path: /manifests\/a/ }, [hold(held), answer(404)])
  const heldToo = registry.hold({ path: /manifests\/a/ })
  const { client } = createPatient(registry, 1, { mirrors: [mirror.origin] })
  await using _ = client
  const first = pull(client, 'a')
  await held.arrived()
  const second = pull(client, 'b')
  held.release()
  await heldToo.arrived()
  assert.equal(client.registry.status().waiting, 1)
  assert.deepEqual(tagsAsked(mirror), ['a'])
  heldToo.release()
  await Promise.all([first, second])
  assert.deepEqual(tagsAsked(mirror), ['a', 'b'])
})

test('a token is asked for without a place, so that who has the last one gets it', async () => {
  await using registry = await startRegistry({ auth: { kind: 'token', users: { u: 'p' } } })
  const { client } = createPatient(registry, 1, { credentials: [password('u', 'p')] })
  await using _ = client
  await Promise.all(['a', 'b', 'c'].map((tag) => pull(client, tag)))
  assert.ok(registry.countTokens() > 0)
})

test('nobody waits for a registry that is not asked', async () => {
  await using registry = await startRegistry()
  const sleep = async () => undefined
  await using client = createClient(registry.origin, { limits: { connections: 4 } }, { sleep })
  registry.script({ path: /blobs/ }, stall(100, new Barrier()))
  for (let i = 0; i < 3; i++) await open(client)
  registry.script({ path: /manifests/ }, hangUp('rst'))
  for (let i = 0; i < 5; i++) await assert.rejects(pull(client, 'a'))
  registry.clearScripts()
  client.clock.time += 10_000
  const held = registry.hold({ path: /manifests/ })
  const trial = pull(client, 'a')
  await held.arrived()
  await assert.rejects(pull(client, 'b'), failure('unreachable', 'circuit_open'))
  held.release()
  await trial
})

test('a client that is closed sends away who waits, and takes nobody more', async () => {
  await using registry = await startRegistry()
  const held = registry.hold({ path: /manifests/ })
  const client = createClient(registry.origin, { limits: { connections: 1 } })
  const both = [pull(client, 'a'), pull(client, 'b')]
  const ends = Promise.allSettled(both)
  await held.arrived()
  const closing = client.registry.close()
  assert.equal(client.registry.status().waiting, 0)
  await closing
  assert.deepEqual(
    (await ends).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await assert.rejects(pull(client, 'c'), failure('unreachable', 'connect'))
  const asked = client.registry.authorize(REPOSITORY, 'pull', { kind: 'larder' })
  await assert.rejects(asked, failure('unreachable', 'connect'))
  assert.deepEqual(tagsAsked(registry), ['a'])
})
