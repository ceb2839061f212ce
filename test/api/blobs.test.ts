import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { drip, stall } from '../support/faults.ts'
import type { ClientResponse } from '../support/http-client.ts'
import { open, send } from '../support/http-client.ts'
import { APP, codeOf, EMPTY_BLOB, startHub } from '../support/hub.ts'
import { seededBytes } from '../support/images.ts'

const MIB = 1024 * 1024

test('16 HEAD of a blob has its size and downloads nothing', async () => {
  await using hub = await startHub()
  const { digest } = hub.blob
  for (const state of ['cold', 'again']) {
    const got = await hub.app.head(`${APP}/blobs/${digest}`)
    assert.equal(got.status, 200, state)
    assert.equal(got.headers['content-length'], '2048')
    assert.equal(got.headers['docker-content-digest'], digest)
    assert.equal(got.headers['accept-ranges'], 'bytes')
    assert.equal(got.body.length, 0)
  }
  assert.equal(hub.registry.countBlobs(), 0)
})

test('17 a blob cold and warm has the same bytes and headers, for one upstream GET', async () => {
  await using hub = await startHub()
  const { digest, bytes } = hub.blob
  const cold = await hub.app.get(`${APP}/blobs/${digest}`)
  const warm = await hub.app.get(`${APP}/blobs/${digest}`)
  for (const got of [cold, warm]) {
    assert.equal(got.status, 200)
    assert.deepEqual(got.body, bytes)
    assert.equal(got.headers['content-length'], '2048')
    assert.equal(got.headers['content-type'], 'application/octet-stream')
    assert.equal(got.headers.etag, `"${digest}"`)
  }
  assert.deepEqual(stable(cold), stable(warm))
  assert.match(String(cold.headers['cache-status']), /fwd=miss/)
  assert.equal(warm.headers['cache-status'], 'larder; hit')
  assert.equal(hub.registry.countBlobs(digest), 1)
  const head = await hub.app.head(`${APP}/blobs/${digest}`)
  assert.deepEqual(stable(head), stable(warm))
})

test('17 a blob is still warm after a restart', async () => {
  await using hub = await startHub()
  const path = `${APP}/blobs/${hub.blob.digest}`
  await hub.app.get(path)
  await hub.app.restart()
  const warm = await hub.app.get(path)
  assert.deepEqual(warm.body, hub.blob.bytes)
  assert.equal(warm.headers['cache-status'], 'larder; hit')
  assert.equal(hub.registry.countBlobs(), 1)
})

test('17 whoever asks right after a download costs the registry nothing', async () => {
  await using hub = await startHub()
  for (let i = 0; i < 20; i++) {
    const bytes = seededBytes(`right after ${i}`, 100_000)
    const digest = hub.registry.content.putBlob('library/app', bytes)
    await hub.app.get(`${APP}/blobs/${digest}`)
    const next = await hub.app.get(`${APP}/blobs/${digest}`)
    assert.equal(next.headers['cache-status'], 'larder; hit')
    assert.ok(next.body.equals(bytes))
  }
  assert.equal(hub.registry.count(), 20)
})

test('18 the empty blob says that it is empty, cold and warm', async () => {
  await using hub = await startHub()
  for (const state of ['cold', 'warm']) {
    const got = await hub.app.get(`${APP}/blobs/${EMPTY_BLOB}`)
    assert.equal(got.status, 200, state)
    assert.equal(got.headers['content-length'], '0')
    assert.equal(got.body.length, 0)
    assert.ok(got.complete)
  }
  const head = await hub.app.head(`${APP}/blobs/${EMPTY_BLOB}`)
  assert.equal(head.headers['content-length'], '0')
  assert.equal(hub.registry.countBlobs(), 1)
})

test('19 a manifest is no blob, even when its bytes are here', async () => {
  await using hub = await startHub()
  const { digest } = hub.image.manifest
  assert.equal((await hub.app.get(`${APP}/manifests/${digest}`)).status, 200)
  const got = await hub.app.get(`${APP}/blobs/${digest}`)
  assert.equal(got.status, 404)
  assert.equal(codeOf(got), 'BLOB_UNKNOWN')
  assert.equal((await hub.app.head(`${APP}/blobs/${digest}`)).status, 404)
  const blob = await hub.app.get(`${APP}/manifests/${hub.blob.digest}`)
  assert.equal(blob.status, 404, 'nor is a blob a manifest')
})

test('20 an absent blob is BLOB_UNKNOWN, and for a while nobody is asked again', async () => {
  await using hub = await startHub()
  const absent = digestOf(Buffer.from('absent'))
  for (let i = 0; i < 3; i++) {
    const got = await hub.app.get(`${APP}/blobs/${absent}`)
    assert.equal(got.status, 404)
    assert.equal(codeOf(got), 'BLOB_UNKNOWN')
  }
  assert.equal(hub.registry.count(), 1)
  assert.equal((await hub.app.head(`${APP}/blobs/${absent}`)).status, 404)
})

test('33 If-None-Match with the digest of a blob is 304', async () => {
  await using hub = await startHub()
  const headers = { 'If-None-Match': `"${hub.blob.digest}"` }
  await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  for (const ask of [hub.app.get, hub.app.head]) {
    const got = await ask(`${APP}/blobs/${hub.blob.digest}`, { headers })
    assert.equal(got.status, 304)
    assert.equal(got.body.length, 0)
  }
})

test('36 parallel open-ended ranges of a cold blob, each closed early, cost one download', async () => {
  await using hub = await startHub()
  const size = 32 * MIB
  const bytes = seededBytes('parallel', size)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  const path = `${APP}/blobs/${digest}`
  const chunk = size / 8
  const offsets = Array.from({ length: 8 }, (_, i) => i * chunk)
  const parts = await Promise.all(
    offsets.map((start) => hub.app.get(path, { range: `bytes=${start}-`, abortAfter: chunk })),
  )
  for (const [i, part] of parts.entries()) {
    const start = i * chunk
    assert.equal(part.status, 206)
    assert.equal(part.headers['content-range'], `bytes ${start}-${size - 1}/${size}`)
    const taken = part.body.subarray(0, chunk)
    assert.ok(taken.equals(bytes.subarray(start, start + chunk)), `the part from ${start}`)
  }
  const whole = await hub.app.get(path)
  assert.ok(whole.body.equals(bytes))
  assert.equal(hub.registry.countBlobs(digest), 1)
  const warm = await hub.app.get(path, { range: 'bytes=5-9' })
  assert.equal(warm.headers['cache-status'], 'larder; hit')
})

test('37 fifty clients of one cold blob share one upstream GET', async () => {
  await using hub = await startHub()
  const bytes = seededBytes('fifty', 3 * MIB + 17)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(MIB + 5, barrier))
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => open(hub.app.url, `${APP}/blobs/${digest}`)),
  )
  barrier.release()
  for (const answer of answers) {
    assert.equal(answer.statusCode, 200)
    const chunks: Buffer[] = []
    for await (const piece of answer) chunks.push(piece as Buffer)
    assert.equal(digestOf(Buffer.concat(chunks)), digest)
  }
  assert.equal(hub.registry.countBlobs(), 1)
  assert.equal(await hub.app.metric('larder_requests_total', { result: 'miss' }), 1)
  assert.equal(await hub.app.metric('larder_requests_total', { result: 'coalesced' }), 49)
})

test('37 bytes reach a client while the rest is still on its way', async () => {
  await using hub = await startHub()
  const bytes = seededBytes('early', 3 * MIB)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(MIB + 5, barrier))
  const answer = await open(hub.app.url, `${APP}/blobs/${digest}`)
  const chunks: Buffer[] = []
  let received = 0
  for await (const piece of answer) {
    chunks.push(piece as Buffer)
    received += (piece as Buffer).length
    // The registry is not let go on until a whole chunk of its first part has come through.
    if (received >= MIB) barrier.release()
  }
  assert.ok(Buffer.concat(chunks).equals(bytes))
})

test('38 the download outlives the client that started it', async () => {
  await using hub = await startHub()
  const bytes = seededBytes('leaves', 4 * MIB)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  const path = `${APP}/blobs/${digest}`
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(MIB, barrier))
  const left = await send(hub.app.url, path, { abortAfter: 400_000 })
  assert.equal(left.complete, false)
  barrier.release()
  const [request] = hub.registry.find({ path: /blobs/ })
  assert.equal(await request?.delivered, true)
  const next = await hub.app.get(path)
  assert.ok(next.body.equals(bytes))
  assert.equal(hub.registry.countBlobs(), 1)
  assert.match(String(next.headers['cache-status']), /hit|collapsed/)
  assert.equal(await hub.app.metric('larder_requests_total', { result: 'error' }), 0)
})

test('a slow registry delays no answer that can be given from the store', async () => {
  await using hub = await startHub()
  await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  const bytes = seededBytes('slow', 2 * MIB)
  const slow = hub.registry.content.putBlob('library/app', bytes)
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, [drip(65_536), stall(MIB, barrier)])
  const waiting = hub.app.get(`${APP}/blobs/${slow}`)
  await barrier.arrived()
  const warm = await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  assert.deepEqual(warm.body, hub.blob.bytes)
  barrier.release()
  assert.ok((await waiting).body.equals(bytes))
})

/** Headers without those that differ from one request to the next, or say whether it was a hit. */
function stable({ headers }: ClientResponse) {
  const { date: _date, 'x-request-id': _id, 'cache-status': _status, ...rest } = headers
  return rest
}
