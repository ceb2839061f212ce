import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'

import { Barrier } from './barrier.ts'
import { FaultRegistry, type FaultRegistryOptions } from './fault-registry.ts'
import * as faults from './faults.ts'
import { type ClientRequest, open, rawRequest, readResponse, send } from './http-client.ts'
import { buildArtifact, buildImage, buildIndex, seededBytes } from './images.ts'
import { ScriptedServer } from './scripted-server.ts'

const image = buildImage({ layers: [4096], seed: 'fault-registry' })
const [layer] = image.layers
assert(layer)
const bytes = image.blobs.get(layer.digest) ?? Buffer.alloc(0)
const BLOB = `/v2/team/app/blobs/${layer.digest}`
const MANIFEST = '/v2/team/app/manifests/v1'

let registry: FaultRegistry

async function start(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  await registry.close()
  registry = await new FaultRegistry(options).start()
  registry.add('team/app', image, 'v1')
  return registry
}

function get(path: string, options: ClientRequest = {}) {
  return send(registry.origin, path, options)
}

beforeEach(async () => {
  registry = await new FaultRegistry().start()
  registry.add('team/app', image, 'v1')
})
afterEach(() => registry.close())

describe('a registry that behaves', () => {
  test('serves a manifest by tag and digest, GET and HEAD', async () => {
    const byTag = await get(MANIFEST)
    assert.deepEqual(byTag.body, image.manifest.bytes)
    assert.equal(byTag.headers['docker-content-digest'], image.manifest.digest)
    assert.equal(byTag.headers['content-type'], image.manifest.mediaType)
    const byDigest = await get(`/v2/team/app/manifests/${image.manifest.digest}`)
    assert.deepEqual(byDigest.body, image.manifest.bytes)
    const head = await get(MANIFEST, { method: 'HEAD' })
    assert.equal(head.headers['content-length'], String(image.manifest.bytes.length))
    assert.equal(head.body.length, 0)
    assert.equal(registry.countManifests('GET'), 2)
    assert.equal(registry.countManifests('GET', 'v1'), 1)
    assert.equal(registry.countManifests('HEAD'), 1)
  })

  test('serves a blob whole and in ranges', async () => {
    const whole = await get(BLOB)
    assert.equal(whole.status, 200)
    assert.deepEqual(whole.body, bytes)
    for (const [range, start, end] of [
      ['bytes=5-9', 5, 9],
      ['bytes=4000-', 4000, 4095],
      ['bytes=-6', 4090, 4095],
      ['bytes=4090-9999', 4090, 4095],
    ] as const) {
      const part = await get(BLOB, { range })
      assert.equal(part.status, 206)
      assert.deepEqual(part.body, bytes.subarray(start, end + 1))
      assert.equal(part.headers['content-range'], `bytes ${start}-${end}/4096`)
    }
    assert.equal((await get(BLOB, { range: 'bytes=4096-' })).status, 416)
    assert.equal(registry.countBlobs(layer.digest), 6)
  })

  test('ignores ranges when told to', async () => {
    await start({ ranges: false })
    const whole = await get(BLOB, { range: 'bytes=5-9' })
    assert.equal(whole.status, 200)
    assert.equal(whole.headers['accept-ranges'], undefined)
  })

  test('does not know what it has not, nor what another repository has', async () => {
    registry.content.putBlob('team/other', Buffer.from('x'))
    const codes: [string, string][] = [
      ['/v2/team/app/manifests/none', 'MANIFEST_UNKNOWN'],
      ['/v2/team/none/manifests/v1', 'NAME_UNKNOWN'],
      [BLOB.replace('app', 'other'), 'BLOB_UNKNOWN'],
    ]
    for (const [path, code] of codes) {
      const response = await get(path)
      assert.equal(response.status, 404)
      assert.match(response.body.toString(), new RegExp(code))
    }
  })

  test('lists tags page by page', async () => {
    await start({ pageSize: 2 })
    for (const tag of ['a', 'b', 'c', 'd']) registry.add('team/list', image, tag)
    const tags: string[] = []
    let next: string | undefined = '/v2/team/list/tags/list?n=10'
    let pages = 0
    while (next !== undefined) {
      const page = await get(next)
      tags.push(...(JSON.parse(page.body.toString()) as { tags: string[] }).tags)
      next = /<(.+)>/.exec(page.headers['link']?.toString() ?? '')?.[1]
      pages++
    }
    assert.deepEqual([tags, pages], [['a', 'b', 'c', 'd'], 2])
  })

  test('lists referrers, filtered and in pages, unless it has no such API', async () => {
    const subject = image.descriptor
    registry.add('team/app', buildArtifact({ artifactType: 'a/sig', subject, seed: 1 }))
    registry.add('team/app', buildArtifact({ artifactType: 'a/sbom', subject, seed: 2 }))
    const path = `/v2/team/app/referrers/${subject.digest}`
    const all = JSON.parse((await get(path)).body.toString()) as { manifests: unknown[] }
    assert.equal(all.manifests.length, 2)
    const some = await get(`${path}?artifactType=a/sig`)
    assert.equal(some.headers['oci-filters-applied'], 'artifactType')
    assert.equal((JSON.parse(some.body.toString()) as typeof all).manifests.length, 1)
    await start({ referrers: false })
    assert.equal((await get(path)).status, 404)
  })

  test('redirects blobs to storage that refuses a credential', async () => {
    await start({ redirectBlobs: true })
    const { status, headers } = await get(BLOB)
    assert.equal(status, 307)
    const location = new URL(headers.location ?? '')
    assert.equal(location.origin, registry.cdn.origin)
    const path = location.pathname + location.search
    assert.deepEqual((await send(location.origin, path)).body, bytes)
    const authorization = { authorization: 'Bearer leaked' }
    assert.equal((await send(location.origin, path, { headers: authorization })).status, 400)
    assert.equal(registry.cdn.requests[1]?.headers.authorization, 'Bearer leaked')
  })

  test('counts down a rate limit and then refuses', async () => {
    registry.rateLimit = { limit: 100, remaining: 1, windowSeconds: 60 }
    const first = await get(MANIFEST)
    assert.equal(first.headers['ratelimit-remaining'], '0;w=60')
    const second = await get(MANIFEST)
    assert.equal(second.status, 429)
    assert.equal(second.headers['retry-after'], '60')
    assert.equal((await get(MANIFEST, { method: 'HEAD' })).status, 200)
  })

  test('takes a push in chunks, at once and by mount, and deletes', async () => {
    const blob = seededBytes('push', 100)
    const digest = registry.content.putBlob('team/source', blob)
    const post = (query = '', body: Buffer | string = '') =>
      get(`/v2/team/new/blobs/uploads/${query}`, { method: 'POST', body })
    const begun = await post()
    assert.equal(begun.status, 202)
    const location = begun.headers.location ?? ''
    const patch = { method: 'PATCH', headers: { 'content-range': '0-49' } }
    assert.equal((await get(location, { ...patch, body: blob.subarray(0, 50) })).status, 202)
    const outOfOrder = await get(location, { ...patch, body: blob.subarray(0, 50) })
    assert.equal(outOfOrder.status, 416)
    const put = { method: 'PUT', body: blob.subarray(50) }
    assert.equal((await get(`${location}?digest=${digest}`, put)).status, 201)
    assert.deepEqual(registry.content.getBlob('team/new', digest), blob)
    assert.equal((await post(`?mount=${digest}&from=team/source`)).status, 201)
    assert.equal((await post(`?mount=${digest}&from=team/nowhere`)).status, 202)
    assert.equal((await post(`?digest=${digest}`, blob)).status, 201)
    assert.equal((await post(`?digest=${digest}`, 'wrong')).status, 400)
    const signed = buildArtifact({ artifactType: 'a/sig', subject: image.descriptor })
    const pushed = await get('/v2/team/new/manifests/v2', {
      method: 'PUT',
      headers: { 'content-type': signed.manifest.mediaType },
      body: signed.manifest.bytes,
    })
    assert.equal(pushed.status, 201)
    assert.equal(pushed.headers['oci-subject'], image.manifest.digest)
    assert.equal((await get('/v2/team/new/manifests/v2')).status, 200)
    for (const path of ['manifests/v2', `blobs/${digest}`]) {
      assert.equal((await get(`/v2/team/new/${path}`, { method: 'DELETE' })).status, 202)
      assert.equal((await get(`/v2/team/new/${path}`)).status, 404)
    }
  })
})

describe('credentials', () => {
  const alice = { authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` }
  const bob = { authorization: `Basic ${Buffer.from('bob:wrong').toString('base64')}` }
  const users = { alice: 'secret' }

  test('Basic is asked for, checked and recorded', async () => {
    await start({ auth: { kind: 'basic', users, public: /^open\// } })
    registry.add('open/app', image, 'v1')
    const refused = await get(MANIFEST)
    assert.equal(refused.status, 401)
    assert.equal(refused.headers['www-authenticate'], 'Basic realm="registry"')
    assert.equal((await get(MANIFEST, { headers: bob })).status, 401)
    assert.equal((await get(MANIFEST, { headers: alice })).status, 200)
    assert.equal((await get('/v2/open/app/manifests/v1')).status, 200)
    assert.equal(registry.requests[2]?.headers.authorization, alice.authorization)
  })

  for (const ownTokenPort of [false, true]) {
    test(`a token is good for its scope and time (port of its own: ${ownTokenPort})`, async () => {
      let now = 1_000_000
      const clock = () => now
      const auth = { kind: 'token', users, ownTokenPort, expiresIn: 300, now: clock } as const
      await start({ auth })
      const refused = await get(MANIFEST)
      const challenge = refused.headers['www-authenticate'] ?? ''
      const [, realm = '', scope = ''] = /realm="(.+?)".+scope="(.+?)"/.exec(challenge) ?? []
      assert.equal(realm, `${registry.tokens.origin}/token`)
      assert.equal(scope, 'repository:team/app:pull')
      const ask = (headers: Record<string, string>) =>
        send(registry.tokens.origin, `/token?service=x&scope=${scope}`, { headers })
      assert.equal((await ask(bob)).status, 401)
      const reply = JSON.parse((await ask(alice)).body.toString()) as Record<string, unknown>
      assert.equal(reply['expires_in'], 300)
      assert.equal(reply['token'], reply['access_token'])
      const bearer = { authorization: `Bearer ${reply['token']}` }
      assert.equal((await get(MANIFEST, { headers: bearer })).status, 200)
      const elsewhere = await get('/v2/team/other/manifests/v1', { headers: bearer })
      assert.match(elsewhere.headers['www-authenticate'] ?? '', /insufficient_scope/)
      now += 300_000
      assert.equal((await get(MANIFEST, { headers: bearer })).status, 401)
      assert.deepEqual([registry.countTokens(), registry.auth.issued], [2, 1])
      const anonymous = JSON.parse((await ask({})).body.toString()) as Record<string, unknown>
      const guest = { authorization: `Bearer ${anonymous['token']}` }
      assert.equal((await get(MANIFEST, { headers: guest })).status, 401)
    })
  }

  test('OAuth2 by POST, with a password and with a refresh token, only where it is offered', async () => {
    const refreshTokens = { alice: 'refresh-me' }
    const post = (body: string) => get('/token', { method: 'POST', body })
    const forms = [
      'grant_type=password&username=alice&password=secret&scope=repository:team/app:pull',
      'grant_type=refresh_token&refresh_token=refresh-me&scope=repository:team/app:pull',
    ]
    await start({ auth: { kind: 'token', users, refreshTokens } })
    assert.equal((await post(forms[0] ?? '')).status, 405)
    await start({ auth: { kind: 'token', users, refreshTokens, oauth2: true } })
    for (const form of forms) {
      const reply = JSON.parse((await post(form)).body.toString()) as Record<string, unknown>
      const headers = { authorization: `Bearer ${reply['access_token']}` }
      assert.equal((await get(MANIFEST, { headers })).status, 200)
      registry.auth.revokeTokens()
      assert.equal((await get(MANIFEST, { headers })).status, 401)
    }
    assert.equal((await post('grant_type=refresh_token&refresh_token=x')).status, 401)
  })
})

describe('faults', () => {
  const blobs = { method: 'GET', path: BLOB }

  test('a script counts: some pass, some fail, the rest pass', async () => {
    registry.script(blobs, faults.answer(503, { 'retry-after': '1' }, 'busy'), {
      skip: 1,
      times: 2,
    })
    const statuses: number[] = []
    for (let i = 0; i < 4; i++) statuses.push((await get(BLOB)).status)
    assert.deepEqual(statuses, [200, 503, 503, 200])
    registry.script(blobs, faults.answer(500))
    registry.clearScripts()
    assert.equal((await get(BLOB)).status, 200)
  })

  for (const by of ['fin', 'rst'] as const) {
    for (const [framing, extra] of Object.entries({
      length: [],
      chunked: [faults.chunked()],
      close: [faults.closeDelimited()],
    })) {
      test(`cut after 100 bytes by ${by}, framing ${framing}`, async () => {
        registry.script(blobs, [faults.cut(100, by), ...extra])
        const { status, body, complete, headers } = await get(BLOB)
        assert.equal(status, 200)
        assert.deepEqual(body, bytes.subarray(0, 100))
        // Nothing but the digest tells that a body without any framing is short.
        assert.equal(complete, framing === 'close' && by === 'fin')
        assert.equal(headers['content-length'], framing === 'length' ? '4096' : undefined)
        assert.equal(headers['transfer-encoding'], framing === 'chunked' ? 'chunked' : undefined)
      })
    }
    test(`hung up before the first byte by ${by}`, async () => {
      registry.script(blobs, faults.hangUp(by))
      await assert.rejects(get(BLOB))
      assert.equal(await registry.requests[0]?.delivered, false)
    })
  }

  test('a whole body without Content-Length', async () => {
    registry.script(blobs, faults.chunked(), { times: 1 })
    registry.script(blobs, faults.closeDelimited(), { times: 1 })
    for (const encoding of ['chunked', undefined]) {
      const { body, complete, headers } = await get(BLOB)
      assert.deepEqual([body, complete], [bytes, true])
      assert.equal(headers['transfer-encoding'], encoding)
      assert.equal(headers['content-length'], undefined)
    }
  })

  test('the first or the last byte is wrong', async () => {
    registry.script(blobs, faults.corrupt(0), { times: 1 })
    registry.script(blobs, faults.corrupt(-1), { times: 1 })
    const first = (await get(BLOB)).body
    assert.notEqual(first[0], bytes[0])
    assert.deepEqual(first.subarray(1), bytes.subarray(1))
    const last = (await get(BLOB)).body
    assert.notEqual(last.at(-1), bytes.at(-1))
    assert.deepEqual(last.subarray(0, -1), bytes.subarray(0, -1))
    assert.deepEqual((await get(BLOB)).body, bytes)
  })

  test('too long, too short, and lies about the length', async () => {
    const lengths: [faults.Fault, number, boolean][] = [
      [faults.resize(7), 4103, true],
      [faults.resize(-7), 4089, true],
      [faults.lieAboutLength(7), 4096, false],
      [faults.lieAboutLength(-7), 4089, true],
    ]
    for (const [fault, length, isComplete] of lengths) {
      registry.script(blobs, fault, { times: 1 })
      const { body, complete } = await get(BLOB)
      assert.deepEqual([body.length, complete], [length, isComplete])
    }
  })

  test('headers that lie', async () => {
    registry.script({ path: MANIFEST }, [
      faults.headers({ 'Docker-Content-Digest': 'sha256:0', 'content-type': 'text/html' }),
      faults.headers({ etag: undefined }),
    ])
    const { headers, body } = await get(MANIFEST)
    assert.equal(headers['docker-content-digest'], 'sha256:0')
    assert.equal(headers['content-type'], 'text/html')
    assert.equal(headers.etag, undefined)
    assert.deepEqual(body, image.manifest.bytes)
  })

  test('redirects: without end, and to a stranger who sees what he is sent', async () => {
    await using stranger = await new ScriptedServer().start()
    registry.script(blobs, faults.redirectLoop(), { times: 1 })
    registry.script(blobs, faults.redirect(`${stranger.origin}/x`, 302), { times: 1 })
    assert.equal((await get(BLOB)).headers.location, BLOB)
    const { status, headers } = await get(BLOB)
    assert.deepEqual([status, headers.location], [302, `${stranger.origin}/x`])
    const response = await send(stranger.origin, '/x', { headers: { authorization: 'Basic eA==' } })
    assert.equal(response.status, 404)
    assert.equal(stranger.requests[0]?.headers.authorization, 'Basic eA==')
  })

  test('challenges, several in lines of their own', async () => {
    const challenges = ['Basic realm="x"', 'Bearer realm="http://127.0.0.1:1/token",service="s"']
    registry.script({ path: /./ }, faults.challenge(...challenges))
    const { status, rawHeaders } = await get(MANIFEST)
    const lines = rawHeaders.filter((_, i) => rawHeaders[i - 1] === 'www-authenticate')
    assert.deepEqual([status, lines], [401, challenges])
  })

  test('a body compressed without being asked', async () => {
    registry.script(blobs, faults.gzipped())
    const { headers, body } = await get(BLOB)
    assert.equal(headers['content-encoding'], 'gzip')
    assert.deepEqual(gunzipSync(body), bytes)
  })

  test('a body in drips is still whole', async () => {
    registry.script(blobs, faults.drip(1000))
    const sizes: number[] = []
    const response = await open(registry.origin, BLOB)
    response.on('data', (chunk: Buffer) => sizes.push(chunk.length))
    const { body } = await readResponse(response)
    assert.deepEqual(body, bytes)
    assert.equal(Math.max(...sizes) <= 4000 && sizes.length > 1, true)
  })

  test('Connection: close', async () => {
    registry.script(blobs, faults.closing())
    assert.equal(
      (await get(BLOB, { headers: { connection: 'keep-alive' } })).headers.connection,
      'close',
    )
  })

  test('nothing comes until a barrier is released', async () => {
    const barrier = registry.hold(blobs)
    const pending = Promise.all([get(BLOB), get(BLOB)])
    await barrier.arrived(2)
    assert.equal(barrier.count, 2)
    await registry.seen(blobs, 2)
    barrier.release()
    for (const { body } of await pending) assert.deepEqual(body, bytes)
    assert.equal(await registry.requests[0]?.delivered, true)
  })

  test('a body stalls after some bytes until its barrier is released', async () => {
    const barrier = new Barrier()
    registry.script(blobs, faults.stall(1000, barrier))
    const response = await open(registry.origin, BLOB)
    const whole = readResponse(response)
    await barrier.arrived()
    assert.equal(response.complete, false)
    barrier.release()
    assert.deepEqual((await whole).body, bytes)
  })

  test('a client that hangs up is noticed', async () => {
    const barrier = new Barrier()
    registry.script(blobs, faults.stall(1000, barrier))
    const { body, complete } = await get(BLOB, { abortAfter: 1000 })
    assert.deepEqual([body.length, complete], [1000, false])
    assert.equal(await registry.requests[0]?.delivered, false)
  })
})

test('the raw client sends a path as it is, and header lines of one name', async () => {
  const headers = { accept: ['a/b', 'c/d'] }
  await get('/v2/../%2e%2e//x?ns=a&ns=b', { headers })
  const [request] = registry.requests
  assert.equal(request?.url, '/v2/../%2e%2e//x?ns=a&ns=b')
  assert.deepEqual(request?.query.getAll('ns'), ['a', 'b'])
  assert.equal(request?.rawHeaders.filter((name) => name === 'accept').length, 2)
  const raw = await rawRequest(registry.port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.match(raw, /^HTTP\/1.1 200 OK\r\n/)
  registry.script({ path: '/v2/' }, faults.chunked())
  const chunked = await rawRequest(registry.port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.match(chunked, /\r\n0\r\n\r\n$/)
  assert.match(await rawRequest(registry.port, 'GET /\x01 HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400/)
})

test('an index brings its images with it', async () => {
  const platform = { architecture: 'arm64', os: 'linux' }
  const index = buildIndex([image, buildImage({ seed: 'arm', platform })])
  registry.add('team/multi', index, 'v1')
  const { body } = await get('/v2/team/multi/manifests/v1')
  const { manifests } = JSON.parse(body.toString()) as { manifests: { digest: string }[] }
  for (const { digest } of manifests) {
    assert.equal((await get(`/v2/team/multi/manifests/${digest}`)).status, 200)
  }
  for (const digest of index.blobs.keys()) {
    assert.equal((await get(`/v2/team/multi/blobs/${digest}`)).status, 200)
  }
})
