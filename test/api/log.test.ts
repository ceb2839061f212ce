import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { IMPATIENT, type TestApp } from '../support/app.ts'
import { answer, challenge, hangUp } from '../support/faults.ts'
import type { ClientResponse } from '../support/http-client.ts'
import { rawRequest, send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'

test('every request has one line, with what an operator asks for', async () => {
  await using hub = await startHub()
  const headers = { 'User-Agent': 'containerd/2', 'X-Request-Id': 'my-id' }
  await hub.app.get(`${APP}/manifests/v1?ns=docker.io`, { headers })
  await hub.app.head(`${APP}/blobs/${hub.blob.digest}`)
  await hub.app.get(`${APP}/manifests/absent`)
  await hub.app.get('/v2/UPPER/manifests/v1')
  await hub.app.get('/nowhere')
  await hub.app.get('/v2/')
  await hub.app.logged(6)
  const lines = hub.app.logs.filter(({ msg }) => msg === 'request')
  assert.equal(lines.length, 6)
  const [first, second, third, fourth] = lines
  const { ms, time, ...fields } = first ?? {}
  assert.equal(typeof ms, 'number')
  assert.ok(!Number.isNaN(Date.parse(String(time))))
  assert.deepEqual(fields, {
    level: 'info',
    request: 'my-id',
    client: '127.0.0.1',
    agent: 'containerd/2',
    method: 'GET',
    handler: 'manifest',
    upstream: 'docker.io',
    repository: 'library/app',
    reference: 'v1',
    digest: hub.index.manifest.digest,
    status: 200,
    result: 'miss',
    age: 0,
    bytes: hub.index.manifest.bytes.length,
    msg: 'request',
  })
  assert.equal(second?.['method'], 'HEAD')
  assert.equal(third?.['status'], 404)
  assert.equal(third?.['problem'], 'the registry does not have it')
  assert.equal(fourth?.['status'], 400)
  for (const line of hub.app.log) assert.equal(line.trim().split('\n').length, 1)
})

test('the id of a request is in its answer and its line, and is not any text', async () => {
  await using hub = await startHub()
  for (const id of ['a'.repeat(200), 'two words', '{"level":"error"}', 'é']) {
    const got = await hub.app.get('/v2/', { headers: { 'X-Request-Id': id } })
    assert.match(String(got.headers['x-request-id']), /^[0-9a-f-]{36}$/)
  }
  await hub.app.logged(4)
  const lines = hub.app.logs.filter(({ msg }) => msg === 'request')
  const ids = new Set(lines.map(({ request }) => request))
  assert.equal(ids.size, 4)
})

test('a probe has no line', async () => {
  await using hub = await startHub()
  for (const path of ['/livez', '/readyz', '/healthz']) {
    assert.equal((await hub.app.get(path)).status, 200)
    assert.equal((await send(hub.app.adminUrl, path)).status, 200)
  }
  await hub.app.get('/v2/')
  await hub.app.logged(1)
  assert.equal(hub.app.logs.filter(({ msg }) => msg !== 'a worker is ready').length, 1)
})

test('an answer that its client did not wait for says so', async () => {
  await using hub = await startHub()
  const barrier = hub.registry.hold({ path: /blobs/ })
  const controller = new AbortController()
  const { signal } = controller
  const leaving = hub.app.get(`${APP}/blobs/${hub.blob.digest}`, { signal })
  await barrier.arrived()
  controller.abort()
  await assert.rejects(leaving)
  await hub.app.logged(1)
  assert.equal(hub.app.logs.find(({ msg }) => msg === 'request')?.['unfinished'], true)
  barrier.release()
})

test('no secret is in the log, the metrics, an answer or a file', async () => {
  const users = { larder: 'canary-upstream', caller: 'canary-caller' }
  const refreshTokens = { robot: 'canary-refresh' }
  const mayUse = (user: string) => user !== 'larder'
  await using hub = await startHub({
    registry: {
      auth: { kind: 'token', users, refreshTokens, oauth2: true, mayUse },
      redirectBlobs: true,
    },
    upstream: {
      access: 'caller',
      allowPlainChallenge: true,
      writes: 'passthrough',
      limits: IMPATIENT,
      credentials: [
        {
          kind: 'password',
          path: '',
          username: 'larder',
          password: 'canary-upstream',
          passwordFile: undefined,
        },
        {
          kind: 'password',
          path: 'library',
          username: '<token>',
          password: 'canary-refresh',
          passwordFile: undefined,
        },
      ],
    },
  })
  const { app, registry } = hub
  const answers: ClientResponse[] = []
  const ask = async (path: string, authorization?: string, method = 'GET') => {
    const headers = authorization === undefined ? {} : { Authorization: authorization }
    answers.push(await app.get(path, { method, headers }))
  }
  const caller = basic('caller', 'canary-caller')
  const strangers = [basic('stranger', 'canary-wrong'), 'Bearer canary-bearer', 'canary-scheme']
  const paths = ['manifests/v1', `blobs/${hub.blob.digest}`, 'tags/list', 'manifests/absent']
  const query = 'ns=docker.io&token=canary-query&n=1&password=canary-query'
  for (const path of paths) {
    for (const authorization of [undefined, caller, ...strangers]) {
      await ask(`${APP}/${path}?${query}`, authorization)
      await ask(`${APP}/${path}?n=canary-query&ns=canary-query`, authorization)
    }
  }
  await ask(`${APP}/blobs/uploads/?${query}`, caller, 'POST')
  await ask('/v2/?canary-query', caller)
  assert.ok(
    answers.some(({ status }) => status === 200),
    'something was pulled',
  )
  registry.script({}, answer(500, {}, 'canary-body of the registry'))
  for (const path of paths) await ask(`${APP}/${path}`, caller)
  registry.clearScripts()
  const realm = 'http://canary-realm:canary-realm@127.0.0.1:1/token?canary-realm'
  registry.script({ path: /^\/v2\// }, challenge(`Bearer realm="${realm}"`))
  for (const path of paths) await ask(`/v2/library/other/${path}`, caller)
  registry.clearScripts()
  registry.script({}, hangUp())
  for (const path of paths) await ask(`/v2/library/third/${path}`, caller)
  const raw = await rawRequest(
    app.port,
    `GET /\x01canary-raw HTTP/1.1\r\nAuthorization: ${caller}\r\n\r\n`,
  )

  assert.ok(registry.countTokens() > 0)
  const secrets = [
    /canary/,
    /secret-of-the-cdn/,
    /opaque-\d/,
    ...[caller, ...strangers, basic('larder', 'canary-upstream')].map(
      (one) => new RegExp(one.split(' ').at(-1) ?? one),
    ),
  ]
  const metrics = await send(app.adminUrl, '/metrics')
  await app.close()
  const shown: [string, string][] = [
    ['log', app.log.join('')],
    ['metrics', metrics.body.toString()],
    ['raw', raw],
    ...answers.map((one): [string, string] => ['answer', textOf(one)]),
  ]
  for (const [where, text] of shown) {
    for (const secret of secrets) assert.doesNotMatch(text, secret, where)
  }
})

test('no secret is in a file of the data directory', async () => {
  const users = { larder: 'canary-upstream' }
  await using hub = await startHub({
    registry: { auth: { kind: 'token', users }, redirectBlobs: true },
    upstream: {
      access: 'shared',
      credentials: [
        {
          kind: 'password',
          path: '',
          username: 'larder',
          password: 'canary-upstream',
          passwordFile: undefined,
        },
      ],
    },
  })
  const headers = { Authorization: basic('caller', 'canary-caller') }
  for (const path of [
    'manifests/v1',
    `blobs/${hub.blob.digest}`,
    'tags/list',
    'manifests/absent',
  ]) {
    await hub.app.get(`${APP}/${path}?ns=docker.io&token=canary-query`, { headers })
  }
  // The manifest and the blob, under their final names.
  await hub.app.until('larder_store_blobs', 2)
  const files = await filesOf(hub.app)
  assert.ok(files.length > 3)
  for (const { name, bytes } of files) {
    assert.doesNotMatch(name, /canary/)
    for (const secret of [
      'canary',
      'secret-of-the-cdn',
      'opaque-',
      headers.Authorization.slice(6),
    ]) {
      assert.equal(bytes.indexOf(secret), -1, `${secret} in ${name}`)
    }
  }
})

async function filesOf({ dataDir }: TestApp) {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Promise.all(
    files.map(async ({ parentPath, name }) => {
      return { name, bytes: await readFile(join(parentPath, name)) }
    }),
  )
}

function textOf({ rawHeaders, body }: ClientResponse): string {
  return `${rawHeaders.join('\n')}\n${body.toString('latin1')}`
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
