import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { UpstreamError } from '../../src/upstream/errors.ts'
import { answer, cut, headers } from '../support/faults.ts'
import { type Answer, type RecordedRequest, ScriptedServer } from '../support/scripted-server.ts'
import { AS_LARDER, basic, createClient, failure, password, REPOSITORY } from './client.ts'

const BLOB = Buffer.from('0123456789'.repeat(100))
const DIGEST = digestOf(BLOB)

function serveBlob({ headers }: RecordedRequest): Answer {
  const from = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '')
  if (from === null) return { status: 200, body: BLOB }
  const first = Number(from[1])
  const last = from[2] === '' ? BLOB.length - 1 : Number(from[2])
  if (first >= BLOB.length) {
    return { status: 416, headers: { 'content-range': `bytes */${BLOB.length}` } }
  }
  return {
    status: 206,
    headers: { 'content-range': `bytes ${first}-${last}/${BLOB.length}` },
    body: BLOB.subarray(first, last + 1),
  }
}

function startRegistry(): Promise<ScriptedServer> {
  return new ScriptedServer(serveBlob).start()
}

test('a blob is opened whole, and from an offset', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  for (const offset of [0, 7, 999]) {
    const blob = await client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset })
    assert.deepEqual([blob.offset, blob.size], [offset, BLOB.length])
    assert.deepEqual(await buffer(blob.body), BLOB.subarray(offset))
  }
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.range),
    [undefined, 'bytes=7-', 'bytes=999-'],
  )
})

test('a registry that ignores ranges begins at the start', async () => {
  await using server = await new ScriptedServer(() => ({ status: 200, body: BLOB })).start()
  await using client = createClient(server.origin)
  const blob = await client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset: 7 })
  assert.deepEqual([blob.offset, blob.size], [0, BLOB.length])
  assert.deepEqual(await buffer(blob.body), BLOB)
})

test('an answer that is another range than asked for is refused', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const open = (offset: number) =>
    client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset })
  for (const range of [
    undefined,
    'bytes 0-999/1000',
    'bytes 6-999/1000',
    'bytes 7-998/1000',
    'bytes 7-999/*x',
    'bytes 7-2000/3000',
    'items 7-999/1000',
  ]) {
    server.script({}, headers({ 'content-range': range }), { times: 1 })
    await assert.rejects(open(7), failure('invalid', 'protocol'), String(range))
  }
  await assert.rejects(open(5_000), failure('invalid', 'protocol'))
  server.script({}, answer(206, { 'content-range': 'bytes 0-0/1000' }, '0'), { times: 1 })
  await assert.rejects(open(0), failure('invalid', 'protocol'))
})

test('a body that breaks off says so in the same terms, and ends no process when nobody listens', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  server.script({}, cut(10, 'rst'), { times: 2 })
  const blob = await client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset: 0 })
  await assert.rejects(buffer(blob.body), failure('unreachable', 'reset'))
  const dropped = await client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset: 0 })
  const closed = new Promise((resolve) => dropped.body.once('close', resolve))
  dropped.body.resume()
  await closed
  assert.ok(dropped.body.errored instanceof UpstreamError)
})

test('a body that is let go frees its connection', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin, { limits: { connections: 1 } })
  for (let i = 0; i < 3; i++) {
    const blob = await client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset: 0 })
    blob.body.destroy()
  }
  assert.deepEqual(await client.registry.headBlob(REPOSITORY, DIGEST, AS_LARDER), {
    size: BLOB.length,
  })
})

test('a caller who leaves stops the body', async () => {
  await using server = await startRegistry()
  const controller = new AbortController()
  await using client = createClient(server.origin)
  const blob = await client.registry.openBlob(REPOSITORY, DIGEST, {
    ...AS_LARDER,
    offset: 0,
    signal: controller.signal,
  })
  controller.abort(new Error('left'))
  await assert.rejects(buffer(blob.body), /left/)
})

test('HEAD tells the size; where HEAD is refused the first byte does', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const head = () => client.registry.headBlob(REPOSITORY, DIGEST, AS_LARDER)
  assert.deepEqual(await head(), { size: BLOB.length })
  for (const status of [401, 403, 405]) {
    server.forget()
    server.script({ method: 'HEAD' }, answer(status), { times: 1 })
    assert.deepEqual(await head(), { size: BLOB.length })
    assert.deepEqual(
      server.requests.map(({ method, headers }) => [method, headers.range]),
      [
        ['HEAD', undefined],
        ['GET', 'bytes=0-0'],
      ],
    )
  }
  server.script({ method: 'HEAD' }, answer(405), { times: 2 })
  server.script({ method: 'GET' }, answer(200, {}, BLOB), { times: 1 })
  assert.deepEqual(await head(), { size: BLOB.length })
  server.script({ method: 'GET' }, answer(416, { 'content-range': 'bytes */0' }), { times: 1 })
  assert.deepEqual(await head(), { size: 0 })
})

test("ECR's public registry refuses HEAD of a blob even with a fresh token", async () => {
  await using server = await new ScriptedServer((request): Answer => {
    if (request.path === '/token') return { status: 200, body: { token: 't' } }
    const unauthorized = request.method === 'HEAD' || request.headers.authorization !== 'Bearer t'
    if (!unauthorized) return serveBlob(request)
    const value = `Bearer realm="http://${request.headers.host}/token",service="s",scope="aws"`
    return { status: 401, headers: { 'www-authenticate': value } }
  }).start()
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  const head = () => client.registry.headBlob(REPOSITORY, DIGEST, AS_LARDER)
  assert.deepEqual(await head(), { size: BLOB.length })
  assert.deepEqual(await head(), { size: BLOB.length }, 'the credential was not held to be refused')
})

test('a missing blob is unknown', async () => {
  await using server = await new ScriptedServer(() => ({ status: 404 })).start()
  await using client = createClient(server.origin)
  const head = client.registry.headBlob(REPOSITORY, DIGEST, AS_LARDER)
  await assert.rejects(head, failure('unknown', 'not_found'))
})

test('a signed URL that ran out is asked for again, once', async () => {
  await using cdn = await new ScriptedServer(serveBlob).start()
  await using server = await new ScriptedServer(({ headers }) =>
    headers.authorization === basic('u', 'p')
      ? { status: 307, headers: { location: `${cdn.origin}/signed?sig=secret` } }
      : { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
  ).start()
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  const open = () => client.registry.openBlob(REPOSITORY, DIGEST, { ...AS_LARDER, offset: 7 })
  cdn.script({}, answer(403, {}, 'Request has expired: secret'), { times: 1 })
  const blob = await open()
  assert.deepEqual(await buffer(blob.body), BLOB.subarray(7))
  assert.equal(server.count({ where: ({ headers }) => headers.authorization !== undefined }), 2)
  assert.deepEqual(
    cdn.requests.map(({ headers }) => [headers.range, headers.authorization]),
    [
      ['bytes=7-', undefined],
      ['bytes=7-', undefined],
    ],
  )
  cdn.script({}, answer(403, {}, 'Request has expired: secret'))
  await assert.rejects(open(), (error: Error) => {
    assert.ok(!`${error.message}${client.log.join()}`.includes('secret'))
    return failure('failed', 'redirect')(error)
  })
  cdn.clearScripts()
  await buffer((await open()).body)
})

test('a signed URL that takes no HEAD is probed by GET', async () => {
  await using cdn = await new ScriptedServer((request) =>
    request.method === 'HEAD' ? { status: 403 } : serveBlob(request),
  ).start()
  await using server = await new ScriptedServer(() => ({
    status: 307,
    headers: { location: `${cdn.origin}/signed` },
  })).start()
  await using client = createClient(server.origin)
  const size = BLOB.length
  assert.deepEqual(await client.registry.headBlob(REPOSITORY, DIGEST, AS_LARDER), { size })
})
