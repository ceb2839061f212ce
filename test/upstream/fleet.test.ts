import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'

import type { UpstreamConfig } from '../../src/config/config.ts'
import { Fleet, type Prepared } from '../../src/upstream/fleet.ts'
import { OfflineRegistry } from '../../src/upstream/offline.ts'
import { RegistryClient } from '../../src/upstream/registry.ts'
import type { Upstream } from '../../src/upstream/routing.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, stall } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import {
  AS_LARDER,
  createConfig,
  createDependencies,
  failure,
  LATEST,
  REPOSITORY,
} from './client.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from './loopback-tls.ts'

const IMAGE = buildImage({ layers: [20_000] })
const LAYER = IMAGE.layers[0]?.digest ?? IMAGE.config.digest
const UNUSED = 'http://127.0.0.1:9'

function createFleet(retireMs = 0) {
  const parts = createDependencies()
  const fleet = new Fleet({ ...parts.dependencies, waits: { retireMs } })
  return { ...parts, fleet, [Symbol.asyncDispose]: () => fleet.close() }
}

function config(name: string, changes: Partial<UpstreamConfig> = {}): UpstreamConfig {
  return { ...createConfig(UNUSED), name, match: [name], ...changes }
}

function take(fleet: Fleet, upstreams: readonly UpstreamConfig[], offline = false): Prepared {
  const prepared = fleet.prepare({ upstreams, offline })
  prepared.commit()
  return prepared
}

function find({ routes }: Prepared, name: string): Upstream {
  const found = routes.all.find((one) => one.config.name === name)
  assert.ok(found !== undefined, `${name} is routed`)
  return found
}

/** Settles when the client takes no more requests. */
async function closed({ registry }: Upstream): Promise<void> {
  assert.ok(registry instanceof RegistryClient)
  await registry.retire()
}

function pull({ registry }: Upstream) {
  return registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
}

async function startRegistry(): Promise<FaultRegistry> {
  const registry = await new FaultRegistry().start()
  registry.add(REPOSITORY, IMAGE, 'latest')
  return registry
}

test('what a configuration does not change is left alone, and the rest is said', async () => {
  await using parts = createFleet()
  const { fleet } = parts
  const first = take(fleet, [config('a'), config('b'), config('c')])
  assert.deepEqual(first.changed, ['a', 'b', 'c'])
  assert.deepEqual(first.routes.names, ['a', 'b', 'c'])
  const upstreams = [config('d'), config('b', { access: 'public' }), config('a')]
  const second = fleet.prepare({ upstreams, offline: false })
  assert.deepEqual([...second.changed].sort(), ['b', 'c', 'd'])
  assert.deepEqual(second.routes.names, ['d', 'b', 'a'])
  assert.equal(find(second, 'a'), find(first, 'a'))
  assert.notEqual(find(second, 'b').registry, find(first, 'b').registry)
  assert.equal(find(second, 'b').config.access, 'public')
  second.commit()
  assert.deepEqual(take(fleet, upstreams).changed, [])
})

test('one upstream that cannot be built leaves everything as it was', async (t) => {
  await using registry = await startRegistry()
  await using parts = createFleet()
  const { fleet } = parts
  const good = config('a', { url: registry.origin })
  const first = take(fleet, [good])
  const bad = config('bad', { caFile: '/nowhere/ca.pem' })
  const refused = () =>
    fleet.prepare({
      upstreams: [config('new'), { ...good, access: 'public' }, bad],
      offline: false,
    })
  const closes = t.mock.method(RegistryClient.prototype, 'close').mock
  assert.throws(refused, /cannot read \/nowhere\/ca\.pem: ENOENT/)
  assert.equal(closes.callCount(), 2, 'what was built for nothing is closed')
  await pull(find(first, 'a'))
  assert.deepEqual(take(fleet, [good]).changed, [])
})

test('what is abandoned is closed, and what is in use goes on', async () => {
  await using registry = await startRegistry()
  await using parts = createFleet()
  const { fleet } = parts
  const good = config('a', { url: registry.origin })
  const first = take(fleet, [good])
  const upstreams = [good, config('b', { url: registry.origin })]
  const second = fleet.prepare({ upstreams, offline: false })
  await second.abandon()
  await assert.rejects(pull(find(second, 'b')), failure('unreachable', 'connect'))
  await pull(find(first, 'a'))
  assert.deepEqual(fleet.prepare({ upstreams: [good], offline: false }).changed, [])
})

test('of two that were prepared at the same time only the first can be taken', async () => {
  await using parts = createFleet()
  const { fleet } = parts
  const one = fleet.prepare({ upstreams: [config('a')], offline: false })
  const other = fleet.prepare({ upstreams: [config('b')], offline: false })
  one.commit()
  assert.throws(() => other.commit(), /another configuration/)
  await other.abandon()
  assert.deepEqual(take(fleet, [config('a')]).changed, [])
})

test('another certificate in the same file is another client, the same one is not', async () => {
  await using dir = await makeTempDir()
  const file = (name: string) => join(dir.path, name)
  await writeFile(file('ca'), LOOPBACK_CERT)
  await writeFile(file('cert'), LOOPBACK_CERT)
  await writeFile(file('key'), LOOPBACK_KEY)
  const files = { caFile: file('ca'), clientCertFile: file('cert'), clientKeyFile: file('key') }
  const upstreams = [config('a', files), config('b')]
  await using parts = createFleet()
  const { fleet } = parts
  take(fleet, upstreams)
  await writeFile(file('ca'), LOOPBACK_CERT)
  assert.deepEqual(take(fleet, upstreams).changed, [])
  for (const name of ['ca', 'cert', 'key']) {
    await writeFile(file(name), name === 'key' ? `${LOOPBACK_KEY}\n` : `${LOOPBACK_CERT}\n`)
    assert.deepEqual(take(fleet, upstreams).changed, ['a'], name)
  }
})

test('going offline changes every upstream, and no packet leaves', async () => {
  await using registry = await startRegistry()
  await using parts = createFleet()
  const { fleet } = parts
  const upstreams = [config('a', { url: registry.origin }), config('b')]
  take(fleet, upstreams)
  const offline = take(fleet, upstreams, true)
  assert.deepEqual(offline.changed, ['a', 'b'])
  assert.ok(find(offline, 'a').registry instanceof OfflineRegistry)
  await assert.rejects(pull(find(offline, 'a')), failure('offline'))
  assert.equal(find(take(fleet, upstreams, true), 'a'), find(offline, 'a'))
  await pull(find(take(fleet, upstreams), 'a'))
  assert.equal(registry.requests.length, 1)
})

test('a client that was replaced ends its pulls, and is closed when nothing is asked of it', async () => {
  await using registry = await startRegistry()
  const barrier = new Barrier()
  registry.script({ path: /blobs/ }, stall(100, barrier))
  await using parts = createFleet()
  const { fleet } = parts
  const old = find(take(fleet, [config('a', { url: registry.origin })]), 'a')
  const blob = await old.registry.openBlob(REPOSITORY, LAYER, { ...AS_LARDER, offset: 0 })
  const held = registry.hold({ path: /manifests/ }, { times: 1 })
  const question = pull(old)
  await held.arrived()
  take(fleet, [config('b', { url: registry.origin })])
  held.release()
  await question
  await pull(old)
  barrier.release()
  assert.equal((await buffer(blob.body)).length, 20_000)
  await closed(old)
  await assert.rejects(pull(old), failure('unreachable', 'connect'))
})

test('a fleet that is closed closes what was retired, too', async () => {
  await using registry = await startRegistry()
  registry.script({ path: /blobs/ }, stall(100, new Barrier()))
  const { fleet } = createFleet(60_000)
  const old = find(take(fleet, [config('a', { url: registry.origin })]), 'a')
  const blob = await old.registry.openBlob(REPOSITORY, LAYER, { ...AS_LARDER, offset: 0 })
  const current = find(take(fleet, [config('b', { url: registry.origin })]), 'b')
  await fleet.close()
  await assert.rejects(buffer(blob.body), failure('unreachable'))
  for (const one of [old, current]) {
    await assert.rejects(pull(one), failure('unreachable', 'connect'))
  }
})

test('a client that was replaced speaks no more for its upstream, but what it does counts', async () => {
  await using registry = await startRegistry()
  await using parts = createFleet(60_000)
  const { fleet, events } = parts
  const old = find(take(fleet, [config('a', { url: registry.origin })]), 'a')
  registry.script({}, answer(503))
  for (let i = 0; i < 5; i++) await assert.rejects(pull(old))
  const states = () => events.filter(({ event }) => event === 'circuit').map(({ state }) => state)
  assert.deepEqual(states(), ['open'])
  take(fleet, [config('a', { url: registry.origin, access: 'public' })])
  assert.deepEqual(states(), ['open', 'closed'])
  parts.clock.time += 10_000
  const count = events.filter(({ event }) => event === 'request').length
  await assert.rejects(pull(old))
  assert.deepEqual(states(), ['open', 'closed'])
  assert.ok(events.filter(({ event }) => event === 'request').length > count)
})
