import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { after, before, test } from 'node:test'

import fc from 'fast-check'

import { Barrier } from '../support/barrier.ts'
import { stall } from '../support/faults.ts'
import { rawRequest, send } from '../support/http-client.ts'
import { APP, type Hub, startHub } from '../support/hub.ts'
import { seededBytes } from '../support/images.ts'

const MIB = 1024 * 1024
const PORT_OF_METADATA = '169.254.169.254'
const LONG = 'a'.repeat(10_000)

let hub: Hub
const bugs: unknown[] = []
const onBug = (error: unknown) => void bugs.push(error)

before(async () => {
  hub = await startHub()
  process.on('unhandledRejection', onBug)
  process.on('uncaughtException', onBug)
})

after(async () => {
  const beside = await readdir(dirname(hub.app.dataDir))
  const inside = await readdir(hub.app.dataDir)
  await hub[Symbol.asyncDispose]()
  process.off('unhandledRejection', onBug)
  process.off('uncaughtException', onBug)
  assert.deepEqual(bugs, [])
  assert.deepEqual(beside, ['data'], 'nothing is written beside the data directory')
  const known = /^(blobs|ingest|pins|quarantine|lock(-journal)?|larder\.db(-wal|-shm)?)$/
  for (const name of inside) assert.match(name, known)
})

const PATHS = [
  `${APP}/manifests/..`,
  `${APP}/manifests/.`,
  `${APP}/../../etc/passwd`,
  '/../../../../etc/passwd',
  '/v2/../v2/library/app/manifests/v1',
  '/v2/%2e%2e/manifests/v1',
  '/v2/%2E%2E/%2E%2E/manifests/v1',
  '/v2/library/%2e%2e%2fapp/manifests/v1',
  '/v2/library%2Fapp/manifests/v1',
  '/v2/library%2fapp/manifests/v1',
  '/v2/library%5Capp/manifests/v1',
  '/v2/library\\app/manifests/v1',
  '/v2/library/app/manifests/v1%00',
  '/v2/library/app/manifests/%0d%0aX-Injected:%20yes',
  '/v2/library/app/manifests/v1%0a',
  '/v2/library/app/manifests/%zz',
  '/v2/library/app/manifests/%',
  '/v2/library/app/manifests/%c3%28',
  '/v2/library/app/manifests/%f0%9f%98%80',
  '/v2/library/app/manifests/%252e%252e',
  '/v2//library/app/manifests/v1',
  '/v2/library//app/manifests/v1',
  '/v2/library/app//manifests/v1',
  '/v2/library/app/manifests//v1',
  '/v2/library/app/manifests/',
  '/v2/library/app/manifests/v1/',
  '/v2/library/app/blobs/',
  '//v2/library/app/manifests/v1',
  '//evil.example/v2/library/app/manifests/v1',
  '/v2/library/app/manifests/v1;ns=x',
  '/v2/library/app/manifests/v1#fragment',
  '/v2/library/app@sha256:00/manifests/v1',
  '/v2/user:password@evil.example/app/manifests/v1',
  `/v2/${LONG}/manifests/v1`,
  `/v2/library/app/manifests/${LONG}`,
  `/v2/library/app/blobs/sha256:${LONG}`,
  `/v2/${'a/'.repeat(5000)}manifests/v1`,
  `/${'v2/'.repeat(1000)}`,
  '/',
  '/v3/',
  '/v2',
  '/favicon.ico',
  '/metrics',
  '/api/v1/reload',
  '/v2/_catalog',
  '/V2/',
  '*',
].filter((path) => path !== '/v2')

for (const path of PATHS) {
  test(`the path ${shown(path)} is a 4xx, and nobody is asked`, async () => {
    await assertRefused(`GET ${path} HTTP/1.1\r\nHost: larder\r\n\r\n`)
  })
}

const NAMESPACES = [
  '',
  PORT_OF_METADATA,
  '127.0.0.1',
  '127.0.0.1:9090',
  '[::1]',
  '[::1]:5000',
  'localhost',
  'localhost:5000',
  '0',
  '2130706433',
  'docker.io@evil.example',
  'user:password@docker.io',
  'docker.io%40evil.example',
  'docker.io%23evil.example',
  'docker.io%2F..%2F..',
  'docker.io/',
  'docker.io:443',
  'docker.io.',
  '.docker.io',
  'docker.io%00',
  'docker.io%20',
  '%20docker.io',
  'docker.io%0d%0aX-Injected:%20yes',
  'http://docker.io',
  'https:%2F%2Fdocker.io',
  '%2e%2e',
  '%2e%2e%2f%2e%2e',
  'docker%2eio%2fx',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '%E2%80%AEdocker.io',
  'd%C3%B6cker.io',
  LONG,
]

for (const ns of NAMESPACES) {
  test(`ns=${shown(ns)} is a 4xx, and nobody is asked`, async () => {
    await assertRefused(`GET ${APP}/manifests/v1?ns=${ns} HTTP/1.1\r\nHost: larder\r\n\r\n`)
  })
}

for (const query of ['ns=docker.io&ns=docker.io', 'ns=docker.io&ns=ghcr.io', 'ns=ghcr.io&%6Es=x']) {
  test(`two ns in ${query} are a 4xx, and nobody is asked`, async () => {
    await assertRefused(`GET ${APP}/manifests/v1?${query} HTTP/1.1\r\nHost: larder\r\n\r\n`)
  })
}

test('what is like ns and is not selects nothing', async () => {
  const queries = [
    'ns[a]=ghcr.io',
    'ns[]=ghcr.io',
    'NS=ghcr.io',
    '__proto__[ns]=ghcr.io',
    'n%73%00=x',
  ]
  for (const query of queries) {
    const got = await send(hub.app.url, `${APP}/manifests/v1?${query}`)
    assert.equal(got.status, 200, query)
    assert.equal(got.headers['oci-namespace'], undefined)
    assert.equal(got.headers['docker-content-digest'], hub.index.manifest.digest)
  }
  assert.equal(hub.registry.count(), 1, 'the first of them was the first pull')
  hub.registry.forget()
})

test('names that objects have are names like any other', async () => {
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const got = await send(hub.app.url, `${APP}/manifests/${name}`)
    assert.equal(got.status, 404, name)
    assert.equal((await send(hub.app.url, `/v2/${name}/app/manifests/v1`)).status < 500, true)
    const tags = await send(hub.app.url, `${APP}/tags/list?${name}=1&last=${name}`)
    assert.equal(tags.status, 200)
  }
  assert.equal(({} as Record<string, unknown>)['ns'], undefined)
  hub.registry.forget()
})

const REQUESTS: Readonly<Record<string, string>> = {
  'an absolute target': `GET http://${PORT_OF_METADATA}/v2/library/app/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n`,
  'an absolute target of another scheme': 'GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n',
  'no Host': `GET ${APP}/manifests/v1 HTTP/1.1\r\n\r\n`,
  'a method in lower case': 'get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n',
  'a method that is none': 'BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n',
  'a version that is none': 'GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n',
  'another protocol': 'SSH-2.0-OpenSSH_9.9\r\n\r\n',
  'a TLS hello': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
  'control bytes in the target': 'GET /v2/\x01\x02 HTTP/1.1\r\nHost: x\r\n\r\n',
  'a NUL in a header': 'GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n',
  'a header without a colon': 'GET /v2/ HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n',
  'a space before the colon': 'GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n',
  'a header name that is none': 'GET /v2/ HTTP/1.1\r\nHost: x\r\nX(A): 1\r\n\r\n',
  'two lengths':
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  'a negative length': 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
  'a length and chunks':
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'chunks twice':
    'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
  'a chunk size that is none': `GET ${APP}/manifests/.. HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n`,
  'headers of 100 kB': `GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(100_000)}\r\n\r\n`,
  'a target of 100 kB': `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
}

for (const [what, text] of Object.entries(REQUESTS)) {
  test(`a request with ${what} is refused, and nobody is asked`, async () => {
    await assertRefused(text)
  })
}

test('headers that ask for something else are as if they were not there', async () => {
  const ask = (headers: string) => {
    return rawRequest(hub.app.port, `GET /v2/ HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`)
  }
  for (const headers of [
    'Connection: Upgrade\r\nUpgrade: websocket',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
    'TE: trailers, deflate',
    'Trailer: Expires',
    'Expect: miracles',
    'Transfer-Encoding: identity',
    'X-Forwarded-Host: evil.example',
    'X-Original-URL: /metrics',
    'X-HTTP-Method-Override: DELETE',
    'Host: docker.io',
  ]) {
    const got = await ask(headers)
    assert.match(got, /^HTTP\/1\.1 (200|400) /, headers)
    assert.doesNotMatch(got, /101 Switching|evil\.example/)
  }
  assert.match(await ask('Expect: 100-continue\r\nConnection: close'), /^HTTP\/1\.1 (100|200) /)
})

test('a body on a GET is neither read as a request nor stored', async () => {
  const smuggled = `DELETE ${APP}/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n`
  const length = `Content-Length: ${smuggled.length}`
  const got = await rawRequest(
    hub.app.port,
    `GET /v2/ HTTP/1.1\r\nHost: x\r\n${length}\r\n\r\n${smuggled}`,
  )
  assert.match(got, /^HTTP\/1\.1 200 /)
  assert.equal(got.match(/HTTP\/1\.1 /g)?.length, 1)
  assert.equal(hub.registry.count(), 0)
})

test('CONNECT opens nothing', async () => {
  const text = `CONNECT 127.0.0.1:${hub.registry.port} HTTP/1.1\r\nHost: x\r\n\r\n`
  const got = await rawRequest(hub.app.port, text).catch(() => '')
  assert.doesNotMatch(got, /^HTTP\/1\.1 2/)
  assert.equal(hub.registry.openConnections <= 1, true)
  assert.equal(hub.registry.count(), 0)
})

test('garbage behind a request never becomes part of the body that is being sent', async () => {
  const bytes = seededBytes('garbage', 3 * MIB)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(2 * MIB + 5, barrier), { times: 1 })
  const socket = connect(hub.app.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(`GET ${APP}/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const chunks: Buffer[] = []
  let received = 0
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    if (received < MIB && received + chunk.length >= MIB) socket.write('\x00\x01garbage\r\n\r\n')
    received += chunk.length
  })
  await once(socket, 'close')
  barrier.release()
  const all = Buffer.concat(chunks)
  const body = all.subarray(all.indexOf('\r\n\r\n') + 4)
  assert.ok(
    bytes.subarray(0, body.length).equals(body),
    'only bytes of the blob, as far as they go',
  )
  hub.registry.clearScripts()
  hub.registry.forget()
})

test('a request that is never finished holds up nobody', async () => {
  const socket = connect(hub.app.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ')
  await once(socket, 'connect')
  assert.equal((await hub.app.get('/v2/')).status, 200)
  socket.destroy()
})

test('a connection that is reset in the middle of an answer harms nobody', async () => {
  const bytes = seededBytes('reset', 8 * MIB)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  for (let i = 0; i < 5; i++) {
    const socket = connect(hub.app.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`GET ${APP}/blobs/${digest} HTTP/1.1\r\nHost: x\r\nRange: bytes=${i}-\r\n\r\n`)
    await once(socket, 'data')
    socket.resetAndDestroy()
  }
  assert.ok((await hub.app.get(`${APP}/blobs/${digest}`)).body.equals(bytes))
  hub.registry.forget()
})

test('no target makes an answer that is neither right nor a 4xx in JSON', async () => {
  const piece = fc.constantFrom(
    ...['v2', 'library', 'app', 'manifests', 'blobs', 'tags', 'list', 'referrers', 'uploads', '..'],
    ...[
      '%2e',
      '%2F',
      '%00',
      '%',
      ':',
      '@',
      '?',
      '&',
      'ns=',
      '=',
      '#',
      '\\',
      ';',
      '//',
      'sha256:',
      'é',
    ],
  )
  const target = fc
    .array(fc.oneof(piece, fc.string({ maxLength: 4 })), { maxLength: 12 })
    .map((pieces) => `/${pieces.join('/')}`.replaceAll(/[\0-\x20\x7f]|[^\0-\xff]/g, '~'))
  await fc.assert(
    fc.asyncProperty(target, async (path) => {
      const got = await exchange(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
      assert.ok(got.status === 200 || (got.status >= 400 && got.status < 500), `${got.status}`)
      if (got.status >= 400) assertJson(got)
    }),
    { numRuns: 150 },
  )
  hub.registry.forget()
})

test('no bytes at all end the process', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const socket = connect(hub.app.port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.resume()
      socket.end(Buffer.concat([bytes, Buffer.from('\r\n\r\n')]))
      await once(socket, 'close')
    }),
    { numRuns: 50 },
  )
  assert.equal((await hub.app.get('/v2/')).status, 200)
})

test('the operators listener refuses what it does not know', async () => {
  for (const path of [
    '/nothing',
    '/../etc/passwd',
    '/%2e%2e/etc/passwd',
    '/v2/',
    '/metrics/..',
    `/${LONG}`,
  ]) {
    const got = await send(hub.app.adminUrl, path)
    assert.ok(got.status >= 400 && got.status < 500, `${shown(path)} ${got.status}`)
  }
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const got = await send(hub.app.adminUrl, '/metrics', { method })
    assert.ok(got.status >= 400 && got.status < 500, method)
  }
})

interface Answered {
  readonly status: number
  readonly head: string
  readonly body: string
}

async function exchange(text: string): Promise<Answered> {
  const got = await rawRequest(hub.app.port, Buffer.from(text, 'latin1'))
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(got)?.[1])
  const end = got.indexOf('\r\n\r\n')
  const head = got.slice(0, end)
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
  return { status, head, body: got.slice(end + 4, end + 4 + length) }
}

function assertJson({ head, body }: Answered): void {
  // What is no HTTP has no answer in JSON: it never was a request.
  if (!/content-type: application\/json/i.test(head)) {
    assert.match(head, /^HTTP\/1\.1 (400|408|417|431) /)
    return
  }
  const { errors } = JSON.parse(body) as { errors: { code: string; message: string }[] }
  assert.match(errors[0]?.code ?? '', /^[A-Z_]+$/)
  assert.equal(typeof errors[0]?.message, 'string')
}

/** A 4xx that repeats nothing of the request, asks nobody, and is not the last answer. */
async function assertRefused(text: string): Promise<void> {
  const got = await exchange(text)
  assert.ok(got.status >= 400 && got.status < 500, `status ${got.status}`)
  assertJson(got)
  assert.doesNotMatch(`${got.head}\n${got.body}`, /x-injected|passwd|evil/i)
  assert.equal(hub.registry.count(), 0)
  assert.deepEqual(bugs, [])
  assert.equal((await hub.app.get('/v2/')).status, 200)
}

function shown(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 40)}… (${text.length} characters)` : text
  return JSON.stringify(short)
}
