import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { type Digest, encodedOf } from '../../src/oci/digest.ts'
import { parseReference } from '../../src/oci/reference.ts'
import type { PulledBlob } from '../../src/pull/blobs.ts'
import { Barrier } from '../support/barrier.ts'
import { buildImage } from '../support/images.ts'
import { MIB, refusal, sampleBlob } from './flights.ts'
import { caller, openRooms, type Rooms } from './rooms.ts'
import { upstreamError } from './scripted-source.ts'

async function read({ content }: PulledBlob): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of content.read({ start: 0, end: content.size - 1 })) {
    // It is lent, until the next is asked for.
    pieces.push(Buffer.from(piece))
  }
  return Buffer.concat(pieces)
}

function put({ registry }: Rooms, size = 3 * MIB, repository = 'acme/app') {
  const blob = sampleBlob(size)
  registry.blobs.set(`${repository} ${blob.digest}`, blob.bytes)
  return blob
}

async function allLanded({ blobs }: Rooms): Promise<void> {
  while (blobs.flights().size > 0) await setImmediate()
}

test('a miss, a join and a hit: one request', async () => {
  await using rooms = await openRooms()
  const { bytes, digest } = put(rooms)
  const barrier = new Barrier()
  rooms.registry.before = () => barrier.wait()
  const all = Array.from({ length: 50 }, () => rooms.blobs.open(rooms.pull(), digest))
  await barrier.arrived()
  assert.deepEqual([...rooms.blobs.flights()], [['test', 1]])
  barrier.release()
  const results: string[] = []
  for (const pulled of await Promise.all(all)) {
    results.push(pulled.outcome.result)
    assert.deepEqual(await read(pulled), bytes)
  }
  assert.deepEqual(new Set(results), new Set(['miss', 'coalesced']))
  assert.equal(results.filter((one) => one === 'miss').length, 1)
  await allLanded(rooms)
  const hit = await rooms.blobs.open(rooms.pull(), digest)
  assert.equal(hit.outcome.result, 'hit')
  assert.deepEqual(await read(hit), bytes)
  assert.equal(rooms.registry.asked.length, 1)
})

test('what has come whole by another way is obtained once it is stored, not before', async () => {
  await using rooms = await openRooms()
  const { bytes, digest } = put(rooms)
  const pulled = await rooms.blobs.open(rooms.pull(), digest)
  assert.deepEqual(await read(pulled), bytes)
  // Its reader has the last byte; the disk may not.
  assert.equal(await rooms.blobs.obtain(rooms.pull(), digest), false)
  assert.equal(await rooms.files.stat(digest), bytes.length)
  assert.equal(rooms.registry.asked.length, 1)
})

test('a blob that a manifest of the repository lists is a hit there, and asked for elsewhere', async () => {
  await using rooms = await openRooms()
  const image = buildImage({ layers: [1000] })
  const [layer] = image.layers
  assert.ok(layer)
  rooms.registry.put('acme/app', image.manifest, 'v1')
  rooms.registry.blobs.set(`acme/app ${layer.digest}`, image.blobs.get(layer.digest) as Buffer)
  await rooms.manifests.get(rooms.pull(), parseReference('v1'))
  await read(await rooms.blobs.open(rooms.pull(), layer.digest))
  await allLanded(rooms)
  rooms.registry.asked.length = 0
  assert.equal((await rooms.blobs.stat(rooms.pull(), layer.digest)).outcome.result, 'hit')
  await assert.rejects(
    rooms.blobs.open(rooms.pull('other/app'), layer.digest),
    refusal('BLOB_UNKNOWN', 404),
  )
  await assert.rejects(
    rooms.blobs.stat(rooms.pull('other/app'), layer.digest),
    refusal('BLOB_UNKNOWN', 404),
  )
  // The second was answered from memory.
  assert.deepEqual(rooms.registry.asked, [`headBlob other/app ${layer.digest}`])
})

test('the registry’s word makes a blob readable in another repository, without its bytes', async () => {
  await using rooms = await openRooms()
  const { bytes, digest } = put(rooms)
  await read(await rooms.blobs.open(rooms.pull(), digest))
  await allLanded(rooms)
  put(rooms, 3 * MIB, 'other/app')
  rooms.registry.asked.length = 0
  const first = await rooms.blobs.open(rooms.pull('other/app'), digest)
  assert.equal(first.outcome.result, 'revalidated')
  assert.deepEqual(await read(first), bytes)
  const second = await rooms.blobs.open(rooms.pull('other/app'), digest)
  assert.equal(second.outcome.result, 'hit')
  assert.deepEqual(rooms.registry.asked, [`headBlob other/app ${digest}`])
})

test('who joins from another repository is asked for first, and may be refused', async () => {
  await using rooms = await openRooms()
  const { registry, blobs } = rooms
  const { digest } = put(rooms)
  const barrier = new Barrier()
  registry.before = (method) => (method === 'openBlob' ? barrier.wait() : undefined)
  const first = blobs.open(rooms.pull(), digest)
  await barrier.arrived()
  await assert.rejects(blobs.open(rooms.pull('other/app'), digest), refusal('BLOB_UNKNOWN', 404))
  barrier.release()
  assert.equal((await read(await first)).length, 3 * MIB)
})

test('a leader that is refused does not drag down who joined as somebody else', async () => {
  await using rooms = await openRooms()
  const { registry, blobs } = rooms
  const { bytes, digest } = put(rooms)
  const barrier = new Barrier()
  registry.before = async (method, as) => {
    if (method !== 'openBlob' || as.kind !== 'caller' || as.username !== 'eve') return
    await barrier.wait()
    throw upstreamError('denied', 403)
  }
  const leader = blobs.open(rooms.pull('acme/app', caller('eve')), digest)
  const accomplice = blobs.open(rooms.pull('acme/app', caller('eve')), digest)
  await barrier.arrived()
  const joined = blobs.open(rooms.pull('acme/app', caller('ann')), digest)
  while (registry.count('headBlob') === 0) await setImmediate()
  barrier.release()
  await assert.rejects(leader, refusal('DENIED', 403))
  await assert.rejects(accomplice, refusal('DENIED', 403))
  assert.deepEqual(await read(await joined), bytes)
})

test('a departure that finds the blob landed meanwhile is a hit', async () => {
  await using rooms = await openRooms()
  const { bytes, digest } = put(rooms)
  const { files, blobs, registry } = rooms
  // The look into the store that finds nothing is overtaken by a whole download.
  const original = files.stat.bind(files)
  const looked = new Barrier()
  let looks = 0
  files.stat = async (one: Digest) => {
    const size = await original(one)
    if (++looks === 1) await looked.wait()
    return size
  }
  const late = blobs.open(rooms.pull(), digest)
  await looked.arrived()
  await read(await blobs.open(rooms.pull(), digest))
  await allLanded(rooms)
  looked.release()
  const pulled = await late
  assert.equal(pulled.outcome.result, 'hit')
  assert.deepEqual(await read(pulled), bytes)
  assert.equal(registry.count('openBlob'), 1)
})

test('who is told of a failure and asks again at once begins a new download', async () => {
  for (const announces of [true, false]) {
    await using rooms = await openRooms()
    const { bytes, digest } = put(rooms, 1000)
    rooms.registry.announcesSizes = announces
    rooms.registry.blobs.set(`acme/app ${digest}`, sampleBlob(1000, 1).bytes)
    const failing = async () => read(await rooms.blobs.open(rooms.pull(), digest))
    await assert.rejects(failing(), refusal('UPSTREAM_FAILED', 502))
    rooms.registry.blobs.set(`acme/app ${digest}`, bytes)
    assert.deepEqual(await read(await rooms.blobs.open(rooms.pull(), digest)), bytes)
  }
})

test('HEAD downloads nothing', async () => {
  await using rooms = await openRooms()
  const { digest } = put(rooms)
  const { size, outcome } = await rooms.blobs.stat(rooms.pull(), digest)
  assert.equal(size, 3 * MIB)
  assert.equal(outcome.result, 'miss')
  assert.equal(rooms.registry.count('openBlob'), 0)
  assert.equal(await rooms.files.stat(digest), undefined)
})

test('what is here is served in an outage, and offline', async () => {
  for (const kind of ['unreachable', 'offline', 'denied', 'unknown'] as const) {
    await using rooms = await openRooms()
    const { bytes, digest } = put(rooms)
    await read(await rooms.blobs.open(rooms.pull(), digest))
    await allLanded(rooms)
    rooms.registry.before = () => {
      throw upstreamError(kind)
    }
    const pulled = await rooms.blobs.open(rooms.pull(), digest)
    assert.equal(pulled.outcome.result, 'hit')
    assert.deepEqual(await read(pulled), bytes)
  }
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
  test(`without a copy, ${kind} is ${status}, to GET and to HEAD`, async () => {
    await using rooms = await openRooms()
    const { digest } = put(rooms)
    rooms.registry.before = () => {
      throw upstreamError(kind)
    }
    const isStatus = (error: unknown) => (error as { status?: number }).status === status
    await assert.rejects(rooms.blobs.open(rooms.pull(), digest), isStatus)
    await assert.rejects(rooms.blobs.stat(rooms.pull(), digest), isStatus)
  })
}

test('stop ends a download that waits for its registry, and keeps the part', async () => {
  await using rooms = await openRooms()
  const { digest } = put(rooms)
  const barrier = new Barrier()
  rooms.registry.before = () => barrier.wait()
  const pulling = rooms.blobs.open(rooms.pull(), digest)
  await barrier.arrived()
  const stopping = rooms.blobs.stop()
  for (let i = 0; i < 3; i++) await setImmediate()
  // Nobody can interrupt a stub; what it answers then is not read.
  barrier.release()
  await assert.rejects(pulling, refusal('UNAVAILABLE', 503))
  await stopping
  assert.equal(rooms.blobs.flights().size, 0)
})

/** DESIGN §2, promises 1 and 5: the row and the file must agree. */
test('a blob whose file was cut short is a miss, and heals', async () => {
  await using rooms = await openRooms()
  const { bytes, digest } = put(rooms)
  await read(await rooms.blobs.open(rooms.pull(), digest))
  await allLanded(rooms)
  const hex = encodedOf(digest)
  await truncate(join(rooms.path, 'blobs', 'sha256', hex.slice(0, 2), hex), MIB)
  const pulled = await rooms.blobs.open(rooms.pull(), digest)
  assert.equal(pulled.content.size, bytes.length)
  assert.deepEqual(await read(pulled), bytes)
  assert.deepEqual(rooms.faults, ['size'])
  assert.deepEqual(rooms.storeFailures, [])
})

test('a blob whose file has gone is a miss, and heals', async () => {
  await using rooms = await openRooms()
  const { bytes, digest } = put(rooms)
  await read(await rooms.blobs.open(rooms.pull(), digest))
  await allLanded(rooms)
  await rooms.files.delete(digest)
  assert.deepEqual(await read(await rooms.blobs.open(rooms.pull(), digest)), bytes)
})

/** Promise 3: one download; a question for each of 50 pods is no less a storm. */
test('50 HEADs of a blob that is not here cause one request', async () => {
  await using rooms = await openRooms()
  const { digest } = put(rooms)
  const barrier = new Barrier()
  rooms.registry.before = () => barrier.wait()
  const all = Array.from({ length: 50 }, () => rooms.blobs.stat(rooms.pull(), digest))
  await barrier.arrived()
  for (let i = 0; i < 20; i++) await setImmediate()
  barrier.release()
  await Promise.all(all)
  assert.equal(rooms.registry.count('headBlob'), 1)
})
