import assert from 'node:assert/strict'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { PullPolicy } from '../../src/config/config.ts'
import { encodedOf } from '../../src/oci/digest.ts'
import { parseReference } from '../../src/oci/reference.ts'
import type { UpstreamErrorKind } from '../../src/upstream/errors.ts'
import { Barrier } from '../support/barrier.ts'
import { buildImage } from '../support/images.ts'
import { refusal } from './flights.ts'
import {
  ALWAYS,
  caller,
  NEVER,
  openRooms,
  PRESENT,
  type Rooms,
  type RoomsOptions,
} from './rooms.ts'
import { upstreamError } from './scripted-source.ts'

const HOUR = 3_600_000
const V1 = parseReference('v1')
const ONE = buildImage({ seed: 'one' }).manifest
const TWO = buildImage({ seed: 'two' }).manifest
const RULES = { Always: ALWAYS, IfNotPresent: PRESENT, Never: NEVER } as const

/** `acme/app:v1` is in the cache, and nothing has been asked since. */
async function openWarm(options: RoomsOptions = {}): Promise<Rooms> {
  const rooms = await openRooms({ ...options, rule: PRESENT })
  rooms.registry.put('acme/app', ONE, 'v1')
  await rooms.manifests.get(rooms.pull(), V1)
  rooms.follow(options.rule ?? PRESENT)
  rooms.registry.asked.length = 0
  return rooms
}

test('50 who ask for a tag that is not here cause one request', async () => {
  await using rooms = await openRooms()
  const { registry, manifests } = rooms
  registry.put('acme/app', ONE, 'v1')
  const barrier = new Barrier()
  registry.before = () => barrier.wait()
  const all = Array.from({ length: 50 }, () => manifests.get(rooms.pull(), V1))
  await barrier.arrived()
  barrier.release()
  const results = (await Promise.all(all)).map(({ outcome, bytes }) => {
    assert.deepEqual(bytes, ONE.bytes)
    return outcome.result
  })
  assert.deepEqual(registry.asked, ['getManifest acme/app v1'])
  assert.equal(results.filter((one) => one === 'miss').length, 1)
  assert.equal(results.filter((one) => one === 'coalesced').length, 49)
})

test('50 who ask for a stale tag cause one HEAD', async () => {
  await using rooms = await openWarm({ rule: ALWAYS })
  const { registry, manifests } = rooms
  const barrier = new Barrier()
  registry.before = () => barrier.wait()
  const all = Array.from({ length: 50 }, () => manifests.get(rooms.pull(), V1))
  await barrier.arrived()
  barrier.release()
  for (const { outcome } of await Promise.all(all)) assert.equal(outcome.result, 'revalidated')
  assert.deepEqual(registry.asked, ['headManifest acme/app v1'])
})

test('callers do not share an answer: each is asked for as who it is', async () => {
  await using rooms = await openWarm({ rule: ALWAYS })
  const { registry, manifests } = rooms
  const barrier = new Barrier()
  registry.before = async (_method, as) => {
    await barrier.wait()
    if (as.kind === 'caller' && as.username === 'eve') throw upstreamError('denied', 403)
  }
  const [ann, eve] = ['ann', 'eve'].map((name) => {
    return manifests.get(rooms.pull('acme/app', caller(name)), V1)
  })
  await barrier.arrived(2)
  barrier.release()
  assert.equal((await ann)?.outcome.result, 'revalidated')
  await assert.rejects(eve as Promise<unknown>, refusal('DENIED', 403))
})

test('a tag that has moved is fetched, and its age begins anew', async () => {
  await using rooms = await openWarm()
  const { registry, manifests } = rooms
  registry.put('acme/app', TWO, 'v1')
  rooms.now += HOUR
  assert.equal((await manifests.get(rooms.pull(), V1)).digest, ONE.digest)
  rooms.now += 1
  const moved = await manifests.get(rooms.pull(), V1)
  assert.equal(moved.digest, TWO.digest)
  assert.deepEqual(moved.outcome, { result: 'miss', ageSeconds: 0 })
  rooms.now += 60_000
  const again = await manifests.get(rooms.pull(), V1)
  assert.deepEqual(again.outcome, { result: 'hit', ageSeconds: 60 })
  assert.deepEqual(registry.asked, [
    'headManifest acme/app v1',
    `getManifest acme/app ${TWO.digest}`,
  ])
})

/** DESIGN's table: what a copy of a tag is good for, once it is no longer fresh. */
const TABLE: readonly (readonly [PullPolicy, UpstreamErrorKind, 'served' | number])[] = [
  ['Always', 'unknown', 404],
  ['Always', 'denied', 403],
  ['Always', 'throttled', 'served'],
  ['Always', 'failed', 'served'],
  ['Always', 'timeout', 'served'],
  ['Always', 'unreachable', 'served'],
  ['Always', 'invalid', 'served'],
  ['Always', 'offline', 'served'],
  ['IfNotPresent', 'unknown', 'served'],
  ['IfNotPresent', 'denied', 403],
  ['IfNotPresent', 'throttled', 'served'],
  ['IfNotPresent', 'failed', 'served'],
  ['IfNotPresent', 'timeout', 'served'],
  ['IfNotPresent', 'unreachable', 'served'],
  ['IfNotPresent', 'offline', 'served'],
  ['Never', 'unknown', 'served'],
  ['Never', 'denied', 'served'],
  ['Never', 'unreachable', 'served'],
]

for (const [policy, kind, expected] of TABLE) {
  test(`${policy}, and the registry is ${kind}: ${expected}`, async () => {
    await using rooms = await openWarm({ rule: RULES[policy] })
    const { registry, manifests } = rooms
    registry.before = () => {
      throw upstreamError(kind)
    }
    rooms.now += 2 * HOUR
    const pulling = manifests.get(rooms.pull(), V1)
    if (expected !== 'served') {
      await assert.rejects(pulling, (error) => (error as { status?: number }).status === expected)
      return
    }
    const { outcome, bytes } = await pulling
    assert.deepEqual(bytes, ONE.bytes)
    assert.equal(outcome.ageSeconds, 7200)
    assert.equal(outcome.result, policy === 'Never' ? 'hit' : 'stale')
    if (policy !== 'Never') assert.equal(outcome.warning, `it is ${kind}`)
    assert.equal(registry.asked.length, policy === 'Never' ? 0 : 1)
  })
}

test('in an outage a tag may grow as old as staleIfError and no older; offline, without end', async () => {
  await using rooms = await openWarm({ rule: ALWAYS, staleIfErrorMs: 5 * HOUR })
  const { registry, manifests } = rooms
  let kind: UpstreamErrorKind = 'unreachable'
  registry.before = () => {
    throw upstreamError(kind)
  }
  rooms.now += 5 * HOUR
  assert.equal((await manifests.get(rooms.pull(), V1)).outcome.result, 'stale')
  rooms.now += 1
  await assert.rejects(manifests.get(rooms.pull(), V1), refusal('UPSTREAM_FAILED', 502))
  kind = 'offline'
  assert.equal((await manifests.get(rooms.pull(), V1)).outcome.result, 'stale')
})

for (const [kind, status] of [
  ['unknown', 404],
  ['denied', 403],
  ['throttled', 503],
  ['failed', 502],
  ['timeout', 504],
  ['unreachable', 502],
  ['invalid', 502],
  ['offline', 504],
] as const) {
  test(`without a copy, ${kind} is ${status}`, async () => {
    await using rooms = await openRooms()
    rooms.registry.before = () => {
      throw upstreamError(kind)
    }
    for (const reference of [V1, parseReference(ONE.digest)]) {
      await assert.rejects(
        rooms.manifests.get(rooms.pull(), reference),
        (error) => (error as { status?: number }).status === status,
      )
    }
  })
}

test('what is here by digest is served without a question, whatever the registry would say', async () => {
  await using rooms = await openWarm({ rule: ALWAYS })
  rooms.registry.before = () => {
    throw upstreamError('denied')
  }
  const { outcome, bytes } = await rooms.manifests.get(rooms.pull(), parseReference(ONE.digest))
  assert.equal(outcome.result, 'hit')
  assert.deepEqual(bytes, ONE.bytes)
})

test('a digest that is here from another repository needs the registry’s word, not its bytes', async () => {
  await using rooms = await openWarm()
  const { registry, manifests } = rooms
  const reference = parseReference(ONE.digest)
  await assert.rejects(
    manifests.get(rooms.pull('other/app'), reference),
    refusal('MANIFEST_UNKNOWN', 404),
  )
  registry.put('third/app', ONE)
  const { bytes } = await manifests.get(rooms.pull('third/app'), reference)
  assert.deepEqual(bytes, ONE.bytes)
  assert.deepEqual(registry.asked, [
    `headManifest other/app ${ONE.digest}`,
    `headManifest third/app ${ONE.digest}`,
  ])
  registry.asked.length = 0
  assert.equal((await manifests.get(rooms.pull('third/app'), reference)).outcome.result, 'hit')
  assert.deepEqual(registry.asked, [])
})

test('a refusal to one caller is not remembered for another', async () => {
  await using rooms = await openRooms()
  const { registry, manifests } = rooms
  registry.put('acme/app', ONE, 'v1')
  registry.before = (_method, as) => {
    if (as.kind === 'caller' && as.username === 'eve') throw upstreamError('denied', 403)
  }
  const as = (name: string) => rooms.pull('acme/app', caller(name))
  for (let i = 0; i < 3; i++) await assert.rejects(manifests.get(as('eve'), V1))
  assert.equal(registry.asked.length, 1)
  assert.equal((await manifests.get(as('ann'), V1)).digest, ONE.digest)
})

test('a refusal to one caller does not end the freshness of a tag, one to Larder does', async () => {
  await using rooms = await openWarm({ rule: ALWAYS })
  const { registry, manifests } = rooms
  let kind: UpstreamErrorKind = 'denied'
  registry.before = () => {
    throw upstreamError(kind)
  }
  await assert.rejects(manifests.get(rooms.pull('acme/app', caller('eve')), V1))
  kind = 'unreachable'
  assert.equal((await manifests.get(rooms.pull(), V1)).outcome.result, 'stale')
  kind = 'unknown'
  await assert.rejects(manifests.get(rooms.pull('acme/app', { kind: 'anonymous' }), V1))
  kind = 'unreachable'
  await assert.rejects(manifests.get(rooms.pull(), V1), refusal('UPSTREAM_FAILED', 502))
  kind = 'offline'
  assert.equal((await manifests.get(rooms.pull(), V1)).outcome.result, 'stale')
  registry.before = () => undefined
  assert.equal((await manifests.get(rooms.pull(), V1)).outcome.result, 'revalidated')
  registry.before = () => {
    throw upstreamError('unreachable')
  }
  assert.equal((await manifests.get(rooms.pull(), V1)).outcome.result, 'stale')
})

test('what a push or delete has changed is asked for again', async () => {
  await using rooms = await openWarm()
  const { registry, manifests } = rooms
  registry.put('acme/app', TWO, 'v1')
  assert.equal((await manifests.get(rooms.pull(), V1)).digest, ONE.digest)
  rooms.epochs.begin(rooms.pull().place)
  await manifests.forget(rooms.pull().place, V1)
  assert.equal((await manifests.get(rooms.pull(), V1)).digest, TWO.digest)
})

/** DESIGN §1: "Never = never ask the registry". */
test('Never never asks the registry, not even for what is not here', async () => {
  await using rooms = await openRooms({ rule: NEVER })
  rooms.registry.put('acme/app', ONE, 'v1')
  await assert.rejects(rooms.manifests.get(rooms.pull(), V1))
  assert.deepEqual(rooms.registry.asked, [])
})

/** DESIGN §3: 404 is remembered for ten seconds. */
test('a tag that is gone from the registry is not asked for by each of a storm of pods', async () => {
  await using rooms = await openWarm({ rule: ALWAYS })
  rooms.registry.manifests.clear()
  for (let i = 0; i < 5; i++) {
    await assert.rejects(rooms.manifests.get(rooms.pull(), V1), refusal('MANIFEST_UNKNOWN', 404))
  }
  assert.equal(rooms.registry.asked.length, 1)
})

/** DESIGN §2, promises 1 and 5. */
test('a manifest that is damaged on disk is a miss, and heals', async () => {
  await using rooms = await openRooms()
  const { registry, files, path } = rooms
  registry.put('acme/app', ONE, 'v1')
  registry.put('other/app', ONE, 'v1')
  await rooms.manifests.get(rooms.pull(), V1)
  const hex = encodedOf(ONE.digest)
  const file = join(path, 'blobs', 'sha256', hex.slice(0, 2), hex)
  const damaged = await readFile(file)
  damaged.writeUInt8((damaged[20] ?? 0) ^ 1, 20)
  await chmod(file, 0o600)
  await writeFile(file, damaged)
  // Another repository has nothing of it in memory.
  const { bytes } = await rooms.manifests.get(rooms.pull('other/app'), parseReference(ONE.digest))
  assert.deepEqual(bytes, ONE.bytes)
  assert.deepEqual(await files.read(ONE.digest, 4096), ONE.bytes)
  assert.deepEqual(rooms.faults, ['digest'])
  assert.deepEqual(rooms.storeFailures, [])
})
