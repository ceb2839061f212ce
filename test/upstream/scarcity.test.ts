import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OfflineRegistry } from '../../src/upstream/offline.ts'
import type { RequestOptions } from '../../src/upstream/ports.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, headers } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { AS_LARDER, type Client, createClient, failure, LATEST, REPOSITORY } from './client.ts'

const BACKGROUND = { ...AS_LARDER, urgency: 'background' } as const
const CALLER = {
  as: { kind: 'caller', username: 'u', password: 'p', fingerprint: 'f' },
} as const

async function startRegistry(): Promise<FaultRegistry> {
  const registry = await new FaultRegistry().start()
  registry.add(REPOSITORY, buildImage(), 'latest')
  return registry
}

function pull({ registry }: Client, options: RequestOptions = AS_LARDER) {
  return registry.getManifest(REPOSITORY, LATEST, options)
}

test('the last tenth of a quota is for nodes, until its window has passed', async () => {
  await using registry = await startRegistry()
  registry.rateLimit = { limit: 100, remaining: 12, windowSeconds: 60 }
  await using client = createClient(registry.origin)
  await pull(client, BACKGROUND)
  assert.equal(client.registry.isScarce(), false)
  await pull(client, BACKGROUND)
  assert.equal(client.registry.isScarce(), true)
  assert.deepEqual(client.registry.status(), {
    circuit: 'closed',
    rateLimit: { limit: 100, remaining: 10, windowSeconds: 60 },
    restsMs: 0,
    waiting: 0,
  })
  registry.forget()
  await assert.rejects(pull(client, BACKGROUND), failure('throttled', 'yielded'))
  assert.equal(registry.requests.length, 0)
  await pull(client)
  client.clock.time += 59_999
  assert.equal(client.registry.isScarce(), true)
  client.clock.time += 1
  assert.equal(client.registry.isScarce(), false)
  assert.equal(client.registry.status().rateLimit, undefined)
  await pull(client, BACKGROUND)
})

test('without a limit, only nothing left is little', async () => {
  await using registry = await startRegistry()
  await using client = createClient(registry.origin)
  registry.script({}, headers({ 'ratelimit-remaining': '1' }), { times: 1 })
  registry.script({}, headers({ 'ratelimit-remaining': '0' }), { times: 1 })
  await pull(client)
  assert.equal(client.registry.isScarce(), false)
  await pull(client)
  assert.equal(client.registry.isScarce(), true)
  client.clock.time += 6 * 60 * 60 * 1000
  assert.equal(client.registry.isScarce(), false)
})

test("a caller's quota and a caller's rest are not Larder's", async () => {
  await using registry = await startRegistry()
  registry.rateLimit = { limit: 100, remaining: 1, windowSeconds: 600 }
  await using client = createClient(registry.origin)
  await pull(client, CALLER)
  await assert.rejects(pull(client, CALLER), failure('throttled', 'throttled'))
  assert.equal(client.registry.isScarce(), false)
  assert.equal(client.registry.status().restsMs, 0)
})

test('a registry that wants a rest is left alone for as long', async () => {
  await using registry = await startRegistry()
  await using client = createClient(registry.origin)
  registry.script({}, answer(429, { 'retry-after': '60' }), { times: 1 })
  await assert.rejects(pull(client), failure('throttled', 'throttled'))
  assert.equal(client.registry.status().restsMs, 60_000)
  await assert.rejects(pull(client, BACKGROUND), failure('throttled', 'yielded'))
  client.clock.time += 60_000
  assert.equal(client.registry.isScarce(), false)
  await pull(client, BACKGROUND)
})

test('a registry that fails is left alone, and may be tried again by what nobody waits for', async () => {
  await using registry = await startRegistry()
  await using client = createClient(registry.origin)
  registry.script({}, answer(503))
  for (let i = 0; i < 5; i++) await assert.rejects(pull(client))
  registry.clearScripts()
  assert.equal(client.registry.status().circuit, 'open')
  await assert.rejects(pull(client, BACKGROUND), failure('throttled', 'yielded'))
  client.clock.time += 10_000
  await pull(client, BACKGROUND)
  assert.equal(client.registry.status().circuit, 'closed')
})

test('background work that had to wait looks again before it asks', async () => {
  await using registry = await startRegistry()
  registry.rateLimit = { limit: 100, remaining: 11, windowSeconds: 60 }
  const held = registry.hold({ path: /manifests/ }, { times: 1 })
  await using client = createClient(registry.origin, { limits: { connections: 1 } })
  const first = pull(client)
  await held.arrived()
  const late = pull(client, BACKGROUND)
  held.release()
  await first
  await assert.rejects(late, failure('throttled', 'yielded'))
  assert.equal(registry.countManifests('GET'), 1)
  await pull(client)
})

test('who is offline has nothing to spare', () => {
  const registry = new OfflineRegistry('test')
  assert.equal(registry.isScarce(), true)
  assert.equal(registry.status().waiting, 0)
})
