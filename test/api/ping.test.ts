import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { hash } from 'bcryptjs'

import { headers } from '../support/faults.ts'
import { APP, codeOf, startHub } from '../support/hub.ts'
import { makeTempDir } from '../support/temp-dir.ts'

test('1 GET and HEAD /v2/ are 200 and name the version of the API', async () => {
  await using hub = await startHub()
  const got = await hub.app.get('/v2/')
  assert.equal(got.status, 200)
  assert.equal(got.headers['docker-distribution-api-version'], 'registry/2.0')
  assert.deepEqual(JSON.parse(got.body.toString()), {})
  const head = await hub.app.head('/v2/')
  assert.equal(head.status, 200)
  assert.equal(head.body.length, 0)
  assert.equal(head.headers['content-length'], got.headers['content-length'])
})

test('2 GET /v2 without the slash is 200', async () => {
  await using hub = await startHub()
  assert.equal((await hub.app.get('/v2')).status, 200)
})

test('60 the ping of a host with a path is 200', async () => {
  await using hub = await startHub()
  assert.equal((await hub.app.get('/docker.io/v2/')).status, 200)
  assert.equal((await hub.app.get('/docker.io/v2')).status, 200)
})

test('83 nothing of what the registry says of itself is passed on', async () => {
  await using hub = await startHub()
  hub.registry.script(
    {},
    headers({
      'x-registry-supports-signatures': '1',
      'set-cookie': 'session=1',
      'strict-transport-security': 'max-age=1',
      'www-authenticate': 'Basic realm="elsewhere"',
    }),
  )
  const ping = await hub.app.get('/v2/')
  const manifest = await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(manifest.status, 200)
  for (const { headers: all } of [ping, manifest]) {
    assert.equal(all['x-registry-supports-signatures'], undefined)
    assert.equal(all['set-cookie'], undefined)
    assert.equal(all['strict-transport-security'], undefined)
    assert.equal(all['www-authenticate'], undefined)
  }
})

test('87 a closed front door challenges on /v2/ and on content alike', async () => {
  await using dir = await makeTempDir()
  const htpasswdFile = join(dir.path, 'htpasswd')
  await writeFile(htpasswdFile, `ci:${await hash('open sesame', 4)}\n`)
  const auth = { htpasswdFile, clientCertificates: false, rules: [] }
  await using hub = await startHub({ app: { auth } })
  for (const path of ['/v2/', `${APP}/manifests/v1`, `${APP}/blobs/${hub.blob.digest}`]) {
    const refused = await hub.app.get(path)
    assert.equal(refused.status, 401, path)
    assert.equal(codeOf(refused), 'UNAUTHORIZED')
    assert.match(refused.headers['www-authenticate'] ?? '', /^Basic realm="larder"/)
    assert.equal((await hub.app.get(path, as('ci', 'wrong'))).status, 401, path)
  }
  assert.equal(hub.registry.count(), 0)
  assert.equal((await hub.app.get('/v2/', as('ci', 'open sesame'))).status, 200)
  const pulled = await hub.app.get(`${APP}/manifests/v1`, as('ci', 'open sesame'))
  assert.equal(pulled.status, 200)
  assert.deepEqual(
    hub.registry.find({ where: (request) => request.headers.authorization !== undefined }),
    [],
  )
})

function as(user: string, password: string) {
  const encoded = Buffer.from(`${user}:${password}`).toString('base64')
  return { headers: { Authorization: `Basic ${encoded}` } }
}
