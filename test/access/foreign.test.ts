import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { CredentialConfig } from '../../src/config/config.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { challenge, headers, redirect } from '../support/faults.ts'
import { rawRequest } from '../support/http-client.ts'
import { type RecordedRequest, ScriptedServer } from '../support/scripted-server.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { assertNowhere } from './canaries.ts'
import {
  ANNA,
  as,
  basic,
  LARDER,
  type PutImage,
  REFUSAL_MS,
  startTenants,
  type Tenants,
} from './tenants.ts'

/** Whose secret might go astray: the caller's, or Larder's own. */
const WHOSE = {
  'the caller’s': { access: 'caller', credentials: [] },
  'Larder’s own': { access: 'shared', credentials: [accountOf(LARDER)] },
} as const

function accountOf({ name, password }: typeof LARDER): CredentialConfig {
  return { kind: 'password', path: '', username: name, password, passwordFile: undefined }
}

/** A server that nobody has configured, and that writes down what it sees. */
async function startStranger(): Promise<ScriptedServer> {
  return new ScriptedServer(() => ({ status: 200, body: { token: 'of-a-stranger' } })).start()
}

function assertSawNoSecret({ requests }: ScriptedServer): void {
  for (const request of requests) {
    assert.equal(request.headers.authorization, undefined)
    for (const user of [ANNA, LARDER]) assertNowhere(textOf(request), user)
  }
}

function textOf({ url, rawHeaders, body }: RecordedRequest): string {
  return [url, ...rawHeaders, body.toString()].join('\n')
}

/** Everything that can be asked for, as anna. */
async function askForAll({ app }: Tenants, { repository, image, layer }: PutImage) {
  const { digest } = image.manifest
  const paths = ['manifests/v1', `manifests/${digest}`, `blobs/${layer.digest}`, 'tags/list']
  const answers = []
  for (const path of [...paths, `referrers/${digest}`]) {
    for (const method of ['GET', 'HEAD']) {
      answers.push(await app.get(`/v2/${repository}/${path}`, as(ANNA, { method })))
    }
  }
  return answers
}

for (const [whose, upstream] of Object.entries(WHOSE)) {
  for (const [what, realmAt] of [
    ['another port', (port: number) => `http://127.0.0.1:${port}/token`],
    ['another name', (port: number) => `http://localhost:${port}/token`],
    ['a name that begins alike', (port: number) => `http://127.0.0.1.evil.example:${port}/token`],
    ['an address in another form', (port: number) => `http://[::ffff:127.0.0.1]:${port}/token`],
    ['userinfo', (port: number) => `http://127.0.0.1@127.0.0.1:${port}/token`],
  ] as const) {
    test(`a realm at ${what} is not asked, and gets nothing of ${whose} secret`, async () => {
      await using stranger = await startStranger()
      await using site = await startTenants({ upstream })
      const put = site.put('team-a/app')
      const foreign = challenge(`Bearer realm="${realmAt(stranger.port)}",service="s"`)
      site.registry.script({ path: /^\/v2\// }, foreign)
      for (const { status, body } of await askForAll(site, put)) {
        assert.ok(status >= 400, String(status))
        assert.doesNotMatch(body.toString(), /evil|localhost|127\.0\.0\.1/)
      }
      assert.equal(stranger.count(), 0)
      assert.equal(site.registry.count({ path: '/token' }), 0)
    })
  }

  test(`a redirect of a blob or a manifest carries nothing of ${whose} secret`, async () => {
    await using stranger = await startStranger()
    await using site = await startTenants({ upstream })
    const put = site.put('team-a/app')
    const elsewhere = redirect(`http://localhost:${stranger.port}/storage`)
    const isAllowed = ({ headers }: RecordedRequest) => headers.authorization !== undefined
    site.registry.script({ path: /\/(?:blobs|manifests)\//, where: isAllowed }, elsewhere)
    await askForAll(site, put)
    assert.ok(stranger.count() > 0, 'it is followed')
    assertSawNoSecret(stranger)
  })

  test(`a next page elsewhere is not asked for with ${whose} secret`, async () => {
    await using stranger = await startStranger()
    await using site = await startTenants({ upstream })
    const put = site.put('team-a/app')
    for (const host of ['localhost', '127.0.0.1']) {
      const next = `http://${host}:${stranger.port}/v2/team-a/app/tags/list?last=v1`
      site.registry.script({ path: /tags\/list/ }, headers({ link: `<${next}>; rel="next"` }))
      await askForAll(site, put)
      site.registry.clearScripts()
      // No list is fresh for longer.
      site.clock.advance(REFUSAL_MS + 1)
    }
    assert.equal(stranger.count(), 0)
  })
}

test('a token server may not send on whoever asks it', async () => {
  await using stranger = await startStranger()
  await using site = await startTenants()
  const put = site.put('team-a/app')
  site.registry.script({ path: '/token' }, redirect(`http://localhost:${stranger.port}/token`))
  for (const { status } of await askForAll(site, put)) assert.ok(status >= 400)
  assert.equal(stranger.count(), 0)
})

test('a registry that speaks TLS does not get a realm that does not', async () => {
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  await using stranger = await startStranger()
  const tls = { key: LOOPBACK_KEY, cert: LOOPBACK_CERT }
  for (const upstream of Object.values(WHOSE)) {
    await using site = await startTenants({ registry: { tls }, upstream: { ...upstream, caFile } })
    const put = site.put('team-a/app')
    for (const realm of [stranger.origin, site.registry.origin.replace('https:', 'http:')]) {
      const plain = challenge(`Bearer realm="${realm}/token",service="s"`)
      site.registry.script({ path: /^\/v2\// }, plain)
      for (const { status } of await askForAll(site, put)) assert.ok(status >= 400)
      site.registry.clearScripts()
    }
    assert.ok(site.registry.count({ path: /^\/v2\// }) > 0)
    for (const request of site.registry.requests)
      assert.equal(request.headers.authorization, undefined)
  }
  assert.equal(stranger.count(), 0)
})

test('the urls of a foreign layer are followed by nobody', async () => {
  await using stranger = await startStranger()
  await using site = await startTenants()
  const put = site.put('team-a/app')
  const digest = digestOf(Buffer.from('elsewhere'))
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
    digest,
    size: 9,
    urls: [`${stranger.origin}/layer`, `http://localhost:${stranger.port}/layer`],
  }
  const { config } = put.image
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] }),
  )
  const manifest = { bytes, mediaType: OCI_MANIFEST, digest: digestOf(bytes) }
  site.registry.content.putManifest('team-a/app', manifest, 'windows')
  const got = await site.app.get('/v2/team-a/app/manifests/windows', as(ANNA))
  assert.ok(got.body.equals(bytes))
  for (const method of ['GET', 'HEAD']) {
    const answer = await site.app.get(`/v2/team-a/app/blobs/${digest}`, as(ANNA, { method }))
    assert.equal(answer.status, 404)
  }
  assert.equal(stranger.count(), 0)
})

test('a name that is not configured leads nowhere, in whatever form and place it is given', async () => {
  await using stranger = await startStranger()
  await using site = await startTenants()
  site.put('team-a/app')
  const { port } = stranger
  for (const host of [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `http://127.0.0.1:${port}`,
    `anna@127.0.0.1:${port}`,
    `[::1]:${port}`,
    `2130706433:${port}`,
    `reg.test@127.0.0.1:${port}`,
    `reg.test.127.0.0.1:${port}`,
    `reg.test:${port}`,
    '169.254.169.254',
    'metadata.google.internal',
  ]) {
    const ns = encodeURIComponent(host)
    const got = await site.app.get(`/v2/team-a/app/manifests/v1?ns=${ns}`, as(ANNA))
    assert.equal(got.status, 404, host)
    const named = await site.app.get(`/v2/${host}/team-a/app/manifests/v1`, as(ANNA))
    assert.ok(named.status >= 400, host)
  }
  // Nor does what a request says of itself.
  const lines = [
    'GET /v2/team-a/app/manifests/v1 HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    `X-Forwarded-Host: 127.0.0.1:${port}`,
    `Forwarded: host=127.0.0.1:${port}`,
    `Authorization: ${basic(ANNA)}`,
    'Connection: close',
  ]
  await rawRequest(site.app.port, `${lines.join('\r\n')}\r\n\r\n`)
  const absolute = lines.with(0, `GET http://127.0.0.1:${port}/v2/x/manifests/v1 HTTP/1.1`)
  await rawRequest(site.app.port, `${absolute.join('\r\n')}\r\n\r\n`)
  assert.equal(stranger.count(), 0)
  assert.ok(site.registry.count() > 0)
})

test('two registries do not learn each other’s callers’ secrets', async () => {
  await using site = await startTenants()
  await using other = await new ScriptedServer(() => ({
    status: 401,
    headers: { 'www-authenticate': 'Basic realm="other"' },
  })).start()
  const { registry, app } = site
  const common = { access: 'caller', allowPlainChallenge: true } as const
  await app.restart({
    upstreams: [
      { name: 'reg.test', url: registry.origin, ...common },
      { name: 'other.test', url: other.origin, ...common },
    ],
  })
  site.put('team-a/app')
  assert.equal((await app.get('/v2/reg.test/team-a/app/manifests/v1', as(ANNA))).status, 200)
  assertSawNoSecret(other)
  assert.equal(other.count(), 0)
})
