import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'

import { hash } from 'bcryptjs'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-types.ts'
import type { TestApp, TestUpstream } from '../support/app.ts'
import { IMPATIENT, startTestApp } from '../support/app.ts'
import type { FaultRegistryOptions } from '../support/fault-registry.ts'
import { answer, cut, hangUp, redirect } from '../support/faults.ts'
import { open, rawRequest, readResponse, send } from '../support/http-client.ts'
import { APP, codeOf, startHub } from '../support/hub.ts'
import { buildArtifact, buildImage, type Content, seededBytes } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const WRITES = ['PUT', 'POST', 'PATCH', 'DELETE'] as const

test('80 writes are 405 UNSUPPORTED with Allow, and nobody is asked', async () => {
  await using hub = await startHub()
  const { digest } = hub.blob
  const paths = ['manifests/v1', `blobs/${digest}`, 'blobs/uploads/', 'blobs/uploads/some-id']
  for (const path of [...paths, 'tags/list', `referrers/${digest}`]) {
    for (const method of WRITES) {
      const got = await write(hub.app, method, `${APP}/${path}`, '{}')
      assert.equal(got.status, 405, `${method} ${path}`)
      assert.equal(got.headers.allow, 'GET, HEAD')
      assert.equal(codeOf(got), 'UNSUPPORTED')
      assert.match(got.body.toString(), /push to the registry/)
    }
  }
  for (const method of WRITES) {
    const got = await hub.app.get('/v2/', { method })
    assert.equal(got.status, 405, method)
    assert.equal(got.headers.allow, 'GET, HEAD')
  }
  assert.equal(hub.registry.count(), 0)
})

test('80 reading an upload is 405, and so are methods that nobody knows', async () => {
  await using hub = await startHub()
  assert.equal((await hub.app.get(`${APP}/blobs/uploads/some-id`)).status, 405)
  for (const method of ['OPTIONS', 'PROPFIND', 'TRACE', 'PURGE']) {
    assert.equal((await hub.app.get(`${APP}/manifests/v1`, { method })).status, 405, method)
  }
  assert.equal(hub.registry.count(), 0)
})

test('80 a write to what is not configured is 404, not 405', async () => {
  await using hub = await startHub()
  const got = await hub.app.get(`${APP}/manifests/v1?ns=ghcr.io`, { method: 'PUT', body: '{}' })
  assert.equal(got.status, 404)
})

test('80 the catalog is not served', async () => {
  await using hub = await startHub()
  assert.equal((await hub.app.get('/v2/_catalog')).status, 404)
  assert.equal(hub.registry.count(), 0)
})

test('81 what is pushed through is what the next pull gives', async () => {
  await using hub = await startWritable()
  const first = buildImage({ seed: 'first' })
  const second = buildImage({ seed: 'second' })
  assert.equal((await hub.app.get('/v2/team/app/manifests/v1')).status, 404)
  await push(hub.app, 'team/app', first, 'v1')
  assert.equal(await digestOfTag(hub.app), first.manifest.digest)
  assert.deepEqual(await tagsOf(hub.app), ['v1'])
  await push(hub.app, 'team/app', second, 'v1')
  assert.equal(await digestOfTag(hub.app), second.manifest.digest)
  await push(hub.app, 'team/app', second, 'v2')
  assert.deepEqual(await tagsOf(hub.app), ['v1', 'v2'])
  for (const { digest } of [second.config, ...second.layers]) {
    const got = await hub.app.get(`/v2/team/app/blobs/${digest}`)
    assert.deepEqual(got.body, second.blobs.get(digest))
  }
})

test('81 a blob that was looked for before it was pushed is there afterwards', async () => {
  await using hub = await startWritable()
  hub.registry.add('team/app', buildImage(), 'v1')
  const bytes = seededBytes('pushed', 5000)
  const digest = digestOf(bytes)
  assert.equal((await hub.app.head(`/v2/team/app/blobs/${digest}`)).status, 404)
  await pushBlob(hub.app, '/v2/team/app', bytes, digest)
  assert.equal((await hub.app.head(`/v2/team/app/blobs/${digest}`)).status, 200)
})

test('81 the location of an upload is of Larder, with the name and ns of the caller', async () => {
  for (const absoluteLocations of [false, true]) {
    await using hub = await startWritable({}, { absoluteLocations })
    for (const [name, query] of [
      ['team/app', ''],
      ['docker.io/team/app', ''],
      ['team/app', '?ns=docker.io'],
    ] as const) {
      const begun = await write(hub.app, 'POST', `/v2/${name}/blobs/uploads/${query}`)
      assert.equal(begun.status, 202)
      const location = begun.headers.location ?? ''
      assert.match(location, new RegExp(`^/v2/${name}/blobs/uploads/[^/?]+(\\?|$)`))
      const { searchParams } = new URL(location, hub.app.url)
      assert.equal(searchParams.get('ns'), query === '' ? null : 'docker.io')
      const bytes = seededBytes(name + query, 1000)
      const half = bytes.subarray(0, 500)
      const patched = await write(hub.app, 'PATCH', location, half, { 'Content-Range': '0-499' })
      assert.equal(patched.status, 202)
      assert.equal(patched.headers.range, '0-499')
      const status = await hub.app.get(patched.headers.location ?? '')
      assert.equal(status.status, 204)
      assert.equal(status.headers.range, '0-499')
      const digest = digestOf(bytes)
      const end = withQuery(patched.headers.location ?? '', `digest=${digest}`)
      const done = await write(hub.app, 'PUT', end, bytes.subarray(500))
      assert.equal(done.status, 201, done.body.toString())
      assert.equal(done.headers['docker-content-digest'], digest)
      assert.ok(done.headers.location?.startsWith(`/v2/${name}/blobs/${digest}`))
      assert.deepEqual(hub.registry.content.getBlob('team/app', digest), bytes)
    }
    assert.equal(hub.registry.count({ where: ({ url }) => url.includes('ns=') }), 0)
  }
})

test('81 what the registry says to a push comes back: 416, 400, 404 and 204', async () => {
  await using hub = await startWritable()
  const begin = async () => (await write(hub.app, 'POST', uploads)).headers.location ?? ''
  const uploads = '/v2/team/app/blobs/uploads/'
  const outOfOrder = await write(hub.app, 'PATCH', await begin(), 'abc', {
    'Content-Range': '100-102',
  })
  assert.equal(outOfOrder.status, 416)
  const wrong = digestOf(Buffer.from('other'))
  const mismatch = await write(hub.app, 'PUT', withQuery(await begin(), `digest=${wrong}`), 'abc')
  assert.equal(mismatch.status, 400)
  assert.equal(codeOf(mismatch), 'DIGEST_INVALID')
  assert.equal((await write(hub.app, 'DELETE', await begin())).status, 204)
  const unknown = await write(hub.app, 'PATCH', `${uploads}nobody-began-it`, 'abc')
  assert.equal(unknown.status, 404)
  assert.equal(codeOf(unknown), 'BLOB_UPLOAD_UNKNOWN')
})

test('81 a mount names its source as the caller sees it', async () => {
  await using hub = await startWritable()
  const { digest, bytes } = hub.blob
  for (const from of ['library/app', 'docker.io/library/app', 'app']) {
    const target = `mounted/${from.replaceAll(/\W/g, '-')}`
    const query = `mount=${digest}&from=${encodeURIComponent(from)}`
    const got = await write(hub.app, 'POST', `/v2/${target}/blobs/uploads/?${query}`)
    assert.equal(got.status, 201, from)
    assert.deepEqual(hub.registry.content.getBlob(target, digest), bytes)
  }
})

test('81 a deleted manifest, tag and blob are gone at once', async () => {
  await using hub = await startWritable()
  const image = buildImage({ seed: 'deleted' })
  hub.registry.add('team/app', image, 'v1', 'v2')
  const [layer] = image.layers
  const blob = `/v2/team/app/blobs/${layer?.digest}`
  const manifest = `/v2/team/app/manifests/${image.manifest.digest}`
  for (const path of [blob, manifest, '/v2/team/app/manifests/v1', '/v2/team/app/tags/list']) {
    assert.equal((await hub.app.get(path)).status, 200, path)
  }
  assert.equal((await write(hub.app, 'DELETE', '/v2/team/app/manifests/v1')).status, 202)
  assert.equal((await hub.app.get('/v2/team/app/manifests/v1')).status, 404)
  assert.deepEqual(await tagsOf(hub.app), ['v2'])
  assert.equal((await write(hub.app, 'DELETE', manifest)).status, 202)
  for (const path of [manifest, '/v2/team/app/manifests/v2']) {
    assert.equal((await hub.app.get(path)).status, 404, path)
  }
  assert.equal((await write(hub.app, 'DELETE', blob)).status, 202)
  assert.equal((await hub.app.head(blob)).status, 404)
  assert.equal((await hub.app.get(blob)).status, 404)
})

test('82 a push with a subject says so, and the subject has the referrer at once', async () => {
  await using hub = await startWritable()
  const { platform: _platform, ...subject } = hub.image.descriptor
  const referrers = async () => {
    const got = await hub.app.get(`${APP}/referrers/${subject.digest}`)
    return (JSON.parse(got.body.toString()) as { manifests: unknown[] }).manifests.length
  }
  assert.equal(await referrers(), 0)
  const signature = buildArtifact({ artifactType: 'application/x.signature', subject })
  const { headers } = await push(hub.app, 'library/app', signature, 'signature')
  assert.equal(headers['oci-subject'], subject.digest)
  assert.equal(await referrers(), 1)
})

test('81 a write carries the credential of its caller and never that of Larder', async () => {
  const users = { ci: 'callers-secret', larder: 'larders-secret' }
  const password = {
    kind: 'password',
    path: '',
    username: 'larder',
    passwordFile: undefined,
  } as const
  await using hub = await startHub({
    registry: { auth: { kind: 'basic', users, public: /./ } },
    upstream: {
      writes: 'passthrough',
      credentials: [{ ...password, password: 'larders-secret' }],
      allowPlainChallenge: true,
    },
  })
  const uploads = '/v2/team/app/blobs/uploads/'
  const anonymous = await write(hub.app, 'POST', uploads)
  assert.equal(anonymous.status, 401)
  assert.match(anonymous.headers['www-authenticate'] ?? '', /^Basic realm="docker.io"/)
  const wrong = await write(hub.app, 'POST', uploads, '', as('ci', 'guess'))
  assert.equal(wrong.status, 401)
  const right = await write(hub.app, 'POST', uploads, '', as('ci', 'callers-secret'))
  assert.equal(right.status, 202)
  const larders = as('larder', 'larders-secret').Authorization
  const sent = hub.registry.find({ method: 'POST' }).map((one) => one.headers.authorization)
  assert.ok(!sent.includes(larders))
  assert.ok(sent.includes(as('ci', 'callers-secret').Authorization))
})

test('81 what opened the front door, or is no credential for a registry, goes no further', async () => {
  await using dir = await makeTempDir()
  const htpasswdFile = join(dir.path, 'htpasswd')
  await writeFile(htpasswdFile, `ci:${await hash('open sesame', 4)}\n`)
  await using hub = await startWritable()
  const uploads = '/v2/team/app/blobs/uploads/'
  for (const Authorization of ['Bearer of-somebody', 'Digest username="x"', 'Basic !!!']) {
    assert.equal((await write(hub.app, 'POST', uploads, '', { Authorization })).status, 202)
  }
  await hub.app.restart({ auth: { htpasswdFile, clientCertificates: false, rules: [] } })
  assert.equal((await write(hub.app, 'POST', uploads)).status, 401)
  assert.equal((await write(hub.app, 'POST', uploads, '', as('ci', 'open sesame'))).status, 202)
  assert.equal(hub.registry.count({ method: 'POST' }), 4)
  for (const { headers } of hub.registry.requests) assert.equal(headers.authorization, undefined)
})

test('81 a refusal is not a challenge where a secret could be read on the way', async () => {
  const auth = { kind: 'basic', users: { ci: 'secret' } } as const
  await using hub = await startWritable({}, { auth })
  const got = await write(hub.app, 'POST', '/v2/team/app/blobs/uploads/')
  assert.equal(got.status, 403)
  assert.equal(got.headers['www-authenticate'], undefined)
})

test('81 an upload that is to go on at another host is refused', async () => {
  await using hub = await startWritable()
  hub.registry.script(
    { method: 'POST' },
    answer(202, { location: 'http://169.254.169.254/v2/team/app/blobs/uploads/1' }),
  )
  const got = await write(hub.app, 'POST', '/v2/team/app/blobs/uploads/')
  assert.equal(got.status, 502)
  assert.equal(got.headers.location, undefined)
})

test('81 headers of one hop stay on their hop, and Trailer harms nobody', async () => {
  await using hub = await startWritable()
  const got = await rawRequest(
    hub.app.port,
    'POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: larder\r\nTrailer: Expires\r\n' +
      'TE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic c2VjcmV0\r\n' +
      'Connection: close, X-Private\r\nX-Private: 1\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '3\r\nabc\r\n0\r\nExpires: never\r\n\r\n',
  )
  assert.match(got, /^HTTP\/1\.1 202 /)
  const [request] = hub.registry.find({ method: 'POST' })
  assert.equal(request?.body.toString(), 'abc')
  for (const name of ['trailer', 'te', 'proxy-authorization', 'x-private']) {
    assert.equal(request?.headers[name], undefined, name)
  }
  assert.equal((await hub.app.get('/v2/')).status, 200)
})

test('81 a client that leaves in the middle of a push ends the request to the registry', async () => {
  const began = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<boolean>()
  const registry = createServer((request, response) => {
    if (request.method !== 'POST') return void response.end('{}')
    request.once('data', () => began.resolve())
    request.once('error', () => undefined)
    request.once('close', () => ended.resolve(request.complete))
  })
  await once(registry.listen(0, '127.0.0.1'), 'listening')
  const { port } = registry.address() as AddressInfo
  const upstream = { name: 'docker.io', url: `http://127.0.0.1:${port}`, default: true }
  const app = await startTestApp({ upstreams: [{ ...upstream, writes: 'passthrough' }] })
  try {
    const socket = connect(app.port, '127.0.0.1')
    socket.write(
      'POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: larder\r\n' +
        'Content-Length: 1000000\r\n\r\nonly the beginning',
    )
    await began.promise
    socket.destroy()
    assert.equal(await ended.promise, false)
    assert.equal((await app.get('/v2/')).status, 200)
  } finally {
    await app.close()
    registry.closeAllConnections()
    registry.close()
  }
})

test('81 a client that leaves before the answer ends the request to the registry', async () => {
  await using hub = await startWritable()
  const barrier = hub.registry.hold({ method: 'PUT' })
  const controller = new AbortController()
  const { bytes } = buildImage().manifest
  const pushing = open(hub.app.url, '/v2/team/app/manifests/v1', {
    method: 'PUT',
    headers: { 'Content-Type': OCI_MANIFEST },
    body: bytes,
    signal: controller.signal,
  })
  await barrier.arrived()
  controller.abort()
  await assert.rejects(pushing)
  const [request] = hub.registry.find({ method: 'PUT' })
  assert.equal(await request?.delivered, false)
  barrier.release()
})

test('81 a registry that leaves before its answer is 502, and in the middle of it a cut', async () => {
  await using hub = await startWritable({ limits: IMPATIENT })
  const uploads = '/v2/team/app/blobs/uploads/'
  for (const by of ['fin', 'rst'] as const) {
    hub.registry.clearScripts()
    hub.registry.script({ method: 'POST' }, hangUp(by))
    const got = await write(hub.app, 'POST', uploads, 'abc')
    assert.equal(got.status, 502, by)
    assert.ok(codeOf(got))
    hub.registry.clearScripts()
    hub.registry.script({ method: 'POST' }, [answer(400, {}, 'x'.repeat(1000)), cut(500, by)])
    const response = await readResponse(await open(hub.app.url, uploads, { method: 'POST' }))
    assert.equal(response.complete, false, by)
  }
  assert.equal((await hub.app.get('/v2/')).status, 200)
})

test('81 a registry that never answers a push is given up', async () => {
  await using hub = await startWritable({ limits: { connectTimeoutMs: 100, idleTimeoutMs: 100 } })
  const barrier = hub.registry.hold({ method: 'POST' })
  const got = await write(hub.app, 'POST', '/v2/team/app/blobs/uploads/', 'abc')
  assert.ok(got.status === 502 || got.status === 504, String(got.status))
  barrier.release()
})

test('81 a redirect of a push is not followed and not shown', async () => {
  await using hub = await startWritable()
  hub.registry.script({ method: 'POST' }, redirect('http://169.254.169.254/'))
  const got = await write(hub.app, 'POST', '/v2/team/app/blobs/uploads/')
  assert.ok(got.status >= 400)
  assert.equal(got.headers.location, undefined)
})

function startWritable(upstream: Partial<TestUpstream> = {}, registry: FaultRegistryOptions = {}) {
  return startHub({ registry, upstream: { writes: 'passthrough', ...upstream } })
}

function write(
  app: TestApp,
  method: string,
  path: string,
  body: Buffer | string = '',
  headers: Readonly<Record<string, string>> = {},
) {
  const length = { 'Content-Length': String(Buffer.byteLength(body)) }
  return send(app.url, path, { method, body, headers: { ...length, ...headers } })
}

async function push(app: TestApp, name: string, content: Content, tag: string) {
  for (const [digest, bytes] of content.blobs) await pushBlob(app, `/v2/${name}`, bytes, digest)
  const { bytes, mediaType, digest } = content.manifest
  const type = { 'Content-Type': mediaType }
  const got = await write(app, 'PUT', `/v2/${name}/manifests/${tag}`, bytes, type)
  assert.equal(got.status, 201, got.body.toString())
  assert.equal(got.headers['docker-content-digest'], digest)
  return got
}

async function pushBlob(app: TestApp, base: string, bytes: Buffer, digest: Digest) {
  const { headers } = await write(app, 'POST', `${base}/blobs/uploads/`)
  const path = withQuery(headers.location ?? '', `digest=${digest}`)
  const done = await write(app, 'PUT', path, bytes)
  assert.equal(done.status, 201, done.body.toString())
}

function withQuery(location: string, query: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}${query}`
}

async function digestOfTag(app: TestApp) {
  return (await app.get('/v2/team/app/manifests/v1')).headers['docker-content-digest']
}

async function tagsOf(app: TestApp): Promise<string[]> {
  const { body } = await app.get('/v2/team/app/tags/list')
  return (JSON.parse(body.toString()) as { tags: string[] }).tags
}

function as(user: string, password: string) {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}
