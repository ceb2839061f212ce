import assert from 'node:assert/strict'
import { createServer, type Server, type Socket } from 'node:net'
import { test } from 'node:test'
import { inspect } from 'node:util'

import { digestOf } from '../../src/oci/digest.ts'
import { parseReference } from '../../src/oci/reference.ts'
import type { Identity } from '../../src/upstream/ports.ts'
import { Barrier } from '../support/barrier.ts'
import { answer, chunked, cut, gzipped, hangUp, headers, stall } from '../support/faults.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import {
  AS_LARDER,
  createClient,
  failure,
  LATEST,
  MANIFEST_TYPE,
  REPOSITORY,
  sampleManifest,
} from './client.ts'

const MANIFEST = sampleManifest()
const BY_DIGEST = parseReference(MANIFEST.digest)
const SHA512 = digestOf(MANIFEST.bytes, 'sha512')

async function startRegistry(): Promise<ScriptedServer> {
  return await new ScriptedServer(() => MANIFEST.answer).start()
}

test('a manifest is asked for in every form, unencoded, and comes as it is', async () => {
  await using server = await startRegistry()
  await using client = createClient(`${server.origin}/prefix`)
  const manifest = await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.deepEqual(manifest, {
    digest: MANIFEST.digest,
    mediaType: MANIFEST_TYPE,
    bytes: MANIFEST.bytes,
  })
  const [request] = server.requests
  assert.equal(request?.url, '/prefix/v2/acme/app/manifests/latest')
  assert.match(request?.headers.accept ?? '', /oci\.image\.index.*manifest\.list.*\*\/\*;q=0\.1/)
  assert.equal(request?.headers['accept-encoding'], 'identity')
  assert.equal(request?.headers['user-agent'], 'larder/1.2.3')
  assert.deepEqual(client.events, [
    {
      event: 'request',
      upstream: 'test',
      endpoint: 'manifest',
      method: 'GET',
      code: '200',
      seconds: 0,
    },
  ])
})

test('bytes that are not what was asked for or announced are refused', async () => {
  await using server = await startRegistry()
  server.script(
    {},
    answer(200, { 'docker-content-digest': MANIFEST.digest }, '{"schemaVersion":2}'),
  )
  await using client = createClient(server.origin)
  for (const reference of [LATEST, BY_DIGEST, parseReference(SHA512)]) {
    const pull = client.registry.getManifest(REPOSITORY, reference, AS_LARDER)
    await assert.rejects(pull, failure('invalid', 'digest_mismatch'))
  }
})

test('an announced digest of another known algorithm is the digest; others are not looked at', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  server.script({}, headers({ 'docker-content-digest': SHA512 }), { times: 1 })
  assert.equal((await pull()).digest, SHA512)
  for (const value of [undefined, 'md5:00', 'sha256:XYZ', '']) {
    server.script({}, headers({ 'docker-content-digest': value }), { times: 1 })
    assert.equal((await pull()).digest, MANIFEST.digest, String(value))
  }
})

test('HEAD tells digest, type and size', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  for (const reference of [LATEST, BY_DIGEST]) {
    const head = await client.registry.headManifest(REPOSITORY, reference, AS_LARDER)
    const size = MANIFEST.bytes.length
    assert.deepEqual(head, { digest: MANIFEST.digest, mediaType: MANIFEST_TYPE, size })
  }
  assert.deepEqual(
    server.requests.map(({ method }) => method),
    ['HEAD', 'HEAD'],
  )
})

test('where HEAD tells no digest, or nothing at all, GET does', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const head = () => client.registry.headManifest(REPOSITORY, LATEST, AS_LARDER)
  const faults = [
    headers({ 'docker-content-digest': undefined }),
    headers({ 'docker-content-digest': 'nonsense' }),
    ...[400, 401, 403, 405].map((status) => answer(status)),
  ]
  for (const fault of faults) {
    server.forget()
    server.script({ method: 'HEAD' }, fault, { times: 1 })
    assert.equal((await head()).digest, MANIFEST.digest)
    assert.deepEqual(
      server.requests.map(({ method }) => method),
      ['HEAD', 'GET'],
    )
  }
})

test('HEAD of a digest that announces another is refused, and one without any is believed', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const head = () => client.registry.headManifest(REPOSITORY, BY_DIGEST, AS_LARDER)
  server.script({}, headers({ 'docker-content-digest': digestOf(Buffer.from('x')) }), { times: 1 })
  await assert.rejects(head(), failure('invalid', 'digest_mismatch'))
  server.script({}, headers({ 'docker-content-digest': undefined }), { times: 1 })
  assert.equal((await head()).digest, MANIFEST.digest)
})

test('an encoded body is refused', async () => {
  await using server = await startRegistry()
  server.script({}, gzipped())
  await using client = createClient(server.origin)
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('invalid', 'encoding'))
})

test('a truncated body is an error, and one that works the second time is none', async () => {
  for (const by of ['fin', 'rst'] as const) {
    await using server = await startRegistry()
    await using client = createClient(server.origin)
    const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    server.script({}, cut(10, by), { times: 1 })
    assert.equal((await pull()).digest, MANIFEST.digest)
    server.script({}, cut(10, by), { times: 3 })
    await assert.rejects(pull(), failure('unreachable', 'reset'))
  }
})

test('a body without length that ends early is found out even without any digest', async () => {
  await using server = await startRawServer((socket) => {
    socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n${MANIFEST.bytes.subarray(0, 10)}`)
  })
  await using client = createClient(server.origin)
  const pull = (reference = LATEST) => client.registry.getManifest(REPOSITORY, reference, AS_LARDER)
  await assert.rejects(pull(), failure('invalid', 'protocol'))
  await assert.rejects(pull(BY_DIGEST), failure('invalid', 'digest_mismatch'))
})

test('a manifest beyond 4 MiB is refused, announced or not', async () => {
  const large = Buffer.alloc(4 * 1024 * 1024 + 1, ' ')
  await using server = await new ScriptedServer(() => ({ status: 200, body: large })).start()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('invalid', 'size_mismatch'))
  server.script({}, chunked())
  await assert.rejects(pull(), failure('invalid', 'size_mismatch'))
})

test('what the registry says no with keeps its code and its Retry-After', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  const errors = (code: string) => ({
    errors: [{ code, message: 'https://secret.example/?sig=1' }],
  })
  server.script({}, answer(404, {}, errors('NAME_UNKNOWN')), { times: 1 })
  await assert.rejects(pull(), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'NAME_UNKNOWN')
    assert.ok(!error.message.includes('secret'))
    return failure('unknown')(error)
  })
  server.script({}, answer(403, {}, errors('toomanyrequests')), { times: 1 })
  await assert.rejects(pull(), failure('throttled', 'throttled'))
  server.script({}, answer(503, { 'retry-after': '7' }), { times: 1 })
  await assert.rejects(pull(), (error: Error & { retryAfterMs?: number }) => {
    assert.equal(error.retryAfterMs, 7_000)
    return failure('failed', 'http_5xx')(error)
  })
  server.script({}, answer(418), { times: 1 })
  await assert.rejects(pull(), failure('failed', 'protocol'))
})

test('a throttling registry is left alone for as long as it said, per credential', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const pull = (as: Identity = AS_LARDER.as) =>
    client.registry.getManifest(REPOSITORY, LATEST, { as })
  server.script({}, answer(429, { 'retry-after': '60' }), { times: 1 })
  await assert.rejects(pull(), failure('throttled'))
  client.clock.time += 20_000
  await assert.rejects(pull(), (error: Error & { retryAfterMs?: number }) => {
    assert.equal(error.retryAfterMs, 40_000)
    return failure('throttled')(error)
  })
  assert.equal(server.requests.length, 1)
  await pull({ kind: 'caller', username: 'c', password: 'q', fingerprint: 'f' })
  client.clock.time += 40_000
  await pull()
  assert.equal(server.requests.length, 3)
})

test('what is left of a quota is told', async () => {
  await using server = await startRegistry()
  const quota = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' }
  server.script({}, headers(quota))
  await using client = createClient(server.origin)
  await client.registry.headManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.deepEqual(
    client.events.find(({ event }) => event === 'rateLimit'),
    { event: 'rateLimit', upstream: 'test', limit: 100, remaining: 76, windowSeconds: 21600 },
  )
})

test('no answer, half an answer and no HTTP at all have their reasons', async () => {
  await using server = await startRegistry()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  server.script({}, hangUp())
  await assert.rejects(pull(), failure('unreachable', 'reset'))
  await using noise = await startRawServer((socket) => socket.end('SSH-2.0-x\r\n\r\n'))
  await using other = createClient(noise.origin)
  await assert.rejects(
    other.registry.getManifest(REPOSITORY, LATEST, AS_LARDER),
    failure('invalid', 'protocol'),
  )
  assert.equal(other.events.at(-1)?.['reason'], 'protocol')
  const error = await other.registry.ping().catch((one: unknown) => one)
  assert.ok(!inspect(error).includes('SSH'), 'what was sent may be anything, and is not kept')
})

test('a registry that does not answer is given up in time, a slow body too', async () => {
  const silent: Socket[] = []
  await using server = await startRawServer((socket) => silent.push(socket))
  await using client = createClient(server.origin, {
    limits: { headersTimeoutMs: 100, idleTimeoutMs: 100 },
  })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('timeout', 'timeout'))
  assert.equal(silent.length, 1)
  assert.equal(client.events[0]?.['code'], '0')
  await using slow = await startRawServer((socket) =>
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{'),
  )
  await using other = createClient(slow.origin, {
    limits: { headersTimeoutMs: 100, idleTimeoutMs: 100 },
  })
  await assert.rejects(
    other.registry.getManifest(REPOSITORY, LATEST, AS_LARDER),
    failure('timeout', 'timeout'),
  )
})

test('a request that waits for a free connection does not wait for ever', async () => {
  await using server = await startRegistry()
  const barrier = new Barrier()
  server.script({ path: /blobs/ }, stall(10, barrier))
  const sleep = async () => undefined
  await using client = createClient(server.origin, { limits: { connections: 1 } }, { sleep })
  const options = { ...AS_LARDER, offset: 0 }
  const blob = await client.registry.openBlob(REPOSITORY, MANIFEST.digest, options)
  const pull = (signal?: AbortSignal) =>
    client.registry.getManifest(REPOSITORY, LATEST, {
      ...AS_LARDER,
      ...(signal === undefined ? {} : { signal }),
    })
  await assert.rejects(pull(), failure('throttled', 'queue_timeout'))
  const controller = new AbortController()
  const left = pull(controller.signal)
  controller.abort(new Error('left'))
  await assert.rejects(left, /left/)
  assert.equal(server.count({ path: /manifests/ }), 0)
  assert.equal(blob.body.destroyed, false, 'the connection was never free')
  blob.body.destroy()
  barrier.release()
})

test('a caller who leaves gets its own reason', async () => {
  await using server = await startRegistry()
  const held = server.hold({})
  await using client = createClient(server.origin)
  const controller = new AbortController()
  const options = { ...AS_LARDER, signal: controller.signal }
  const pull = client.registry.getManifest(REPOSITORY, LATEST, options)
  await held.arrived()
  controller.abort(new Error('the client left'))
  await assert.rejects(pull, /the client left/)
  assert.equal(client.events.filter(({ event }) => event === 'error').length, 0)
  held.release()
})

interface RawServer extends AsyncDisposable {
  readonly origin: string
}

/** Speaks whatever `speak` writes once a request came. */
async function startRawServer(speak: (socket: Socket) => void): Promise<RawServer> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('data', () => speak(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    origin: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
