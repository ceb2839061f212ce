import assert from 'node:assert/strict'
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect } from 'node:tls'

import { hash } from 'bcryptjs'

import { nameIn } from '../../src/access/certificate.ts'
import type { FrontDoorConfig } from '../../src/config/config.ts'
import { codeOf } from '../support/hub.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { Authority, type Certificate } from './certificates.ts'
import { ANNA, as, BERT, startTenants, type Tenants, type TenantsOptions } from './tenants.ts'

const DOOR: FrontDoorConfig = { htpasswdFile: undefined, clientCertificates: true, rules: [] }

let dir: TempDir
let ca: Authority
let server: Certificate
let node: Certificate
let stranger: Certificate
let nameless: Certificate

before(async () => {
  dir = await makeTempDir('larder-certificates-')
  ca = await Authority.create(dir.path)
  const other = await Authority.create(dir.path, 'other-ca')
  server = await ca.issue('server', 'IP:127.0.0.1')
  node = await ca.issue('node', 'DNS:node-1.example,DNS:node-2.example')
  stranger = await other.issue('stranger', 'DNS:node-1.example')
  nameless = await ca.issue('nameless', undefined)
})
after(() => dir.remove())

interface DoorOptions extends TenantsOptions {
  readonly auth?: FrontDoorConfig
  readonly tlsLookMs?: number
}

function startClosed({ auth = DOOR, tlsLookMs, ...options }: DoorOptions = {}): Promise<Tenants> {
  const { certFile, keyFile } = server
  const tls = { certFile, keyFile, clientCaFile: ca.certFile }
  const look = tlsLookMs === undefined ? {} : { tlsLookMs }
  return startTenants({ ...options, app: { auth, tls, ...look } })
}

/** Of one who trusts our CA and shows this certificate. */
function showing(certificate?: Certificate) {
  const own = certificate && { cert: certificate.cert, key: certificate.key }
  return { ca: ca.cert, ...own }
}

test('a certificate that our CA signed opens the door, and its first SAN is the user', async () => {
  const rules = [{ users: ['node-1.example'], repositories: ['reg.test/open/**'] }]
  await using site = await startClosed({ auth: { ...DOOR, rules } })
  const { repository } = site.put('open/app')
  site.put('team-a/app')
  const got = await site.app.get(`/v2/${repository}/manifests/v1`, showing(node))
  assert.equal(got.status, 200)
  const refused = await site.app.get('/v2/team-a/app/manifests/v1', showing(node))
  assert.equal(refused.status, 403, 'a rule is a rule for certificates as well')
})

test('without one, with one of another CA, or with one without a name, nobody is let in', async () => {
  await using site = await startClosed()
  site.put('open/app')
  for (const certificate of [undefined, stranger, nameless]) {
    for (const path of ['/v2/', '/v2/open/app/manifests/v1']) {
      const got = await site.app.get(path, showing(certificate))
      assert.equal(got.status, 403)
      assert.equal(codeOf(got), 'DENIED')
      // A challenge would make clients send a secret that opens nothing here.
      assert.equal(got.headers['www-authenticate'], undefined)
    }
  }
  assert.equal(site.registry.count(), 0)
  assert.equal(await site.app.metric('larder_auth_failures_total', { kind: 'certificate' }), 4)
})

test('a certificate opens the door, and leaves Basic for the registry’s credential', async () => {
  await using site = await startClosed({ upstream: { allowPlainChallenge: false } })
  const put = site.put('team-a/app')
  const path = `/v2/team-a/app/blobs/${put.layer.digest}`
  const challenged = await site.app.get(path, showing(node))
  assert.equal(challenged.status, 401)
  assert.match(challenged.headers['www-authenticate'] ?? '', /^Basic realm="reg.test"/)
  assert.equal((await site.app.get(path, as(BERT, showing(node)))).status, 403)
  assert.equal((await site.app.get(path, as(ANNA, showing(node)))).status, 200)
  assert.equal((await site.app.get(path, as(BERT, showing(node)))).status, 403)
  assert.equal(
    (await site.app.get(path, as(ANNA, showing()))).status,
    403,
    'and the door is closed',
  )
})

test('the ping asks whoever came in with a certificate for a registry’s credential', async () => {
  await using site = await startClosed({ upstream: { allowPlainChallenge: false } })
  assert.equal((await site.app.get('/v2/', showing(node))).status, 401)
  assert.equal((await site.app.get('/v2/', as(ANNA, showing(node)))).status, 200)
})

test('a password opens the door to those without a certificate', async () => {
  const htpasswdFile = join(dir.path, 'htpasswd')
  await writeFile(htpasswdFile, `ci:${await hash('open sesame', 4)}\n`)
  await using site = await startClosed({ auth: { ...DOOR, htpasswdFile } })
  site.put('open/app')
  site.put('team-a/app')
  const ci = { name: 'ci', password: 'open sesame' }
  const path = '/v2/open/app/manifests/v1'
  assert.equal((await site.app.get(path, showing(node))).status, 200)
  assert.equal((await site.app.get(path, as(ci, showing()))).status, 200)
  assert.equal((await site.app.get(path, as(ci, showing(stranger)))).status, 200)
  const challenged = await site.app.get(path, showing())
  assert.match(challenged.headers['www-authenticate'] ?? '', /^Basic realm="larder"/)
  // There is one Authorization in a request: to ask for another would be to ask for ever.
  const own = await site.app.get('/v2/team-a/app/manifests/v1', as(ci, showing()))
  assert.equal(own.status, 403)
  assert.equal((await site.app.get('/v2/', as(ci, showing()))).status, 200)
  for (const { headers } of site.registry.requests) {
    assert.notEqual(headers.authorization, as(ci).headers?.['Authorization'])
  }
})

test('certificates are read again when they change; broken ones change nothing', async () => {
  await using site = await startClosed({ tlsLookMs: 5 })
  site.put('open/app')
  const path = '/v2/open/app/manifests/v1'
  const { port } = site.app
  const first = await fingerprintAt(port)
  await replace(server.keyFile, 'no key')
  while (!site.app.log.some((line) => line.includes('changed certificates cannot be used'))) {
    await new Promise(setImmediate)
  }
  assert.equal(await fingerprintAt(port), first)
  assert.equal((await site.app.get(path, showing(node))).status, 200)

  const next = await ca.issue('next-server', 'IP:127.0.0.1')
  await copyFile(next.keyFile, `${server.keyFile}.new`)
  await copyFile(next.certFile, `${server.certFile}.new`)
  await rename(`${server.keyFile}.new`, server.keyFile)
  await rename(`${server.certFile}.new`, server.certFile)
  while ((await fingerprintAt(port)) === first);
  assert.equal((await site.app.get(path, showing(node))).status, 200)

  // The CA of before signs nobody's way in any more.
  await replace(ca.certFile, await readFile(join(dir.path, 'other-ca.pem'), 'utf8'))
  const trusting = { ca: ca.cert, cert: stranger.cert, key: stranger.key }
  while ((await site.app.get(path, trusting)).status !== 200);
  assert.equal((await site.app.get(path, showing(node))).status, 403)
})

/** As a mounted Secret changes: all at once. */
async function replace(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

function fingerprintAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

test('the first name of a certificate is its user', () => {
  for (const [text, name] of [
    ['DNS:a.example', 'a.example'],
    ['IP Address:10.0.0.1, DNS:a.example, DNS:b.example', 'a.example'],
    ['URI:spiffe://cluster/ns/x', 'spiffe://cluster/ns/x'],
    ['email:ci@example.com', 'ci@example.com'],
    ['URI:"spiffe://x/a, DNS:admin", DNS:b.example', 'spiffe://x/a, DNS:admin'],
    ['DNS:"a\\", DNS:admin"', 'a", DNS:admin'],
  ] as const) {
    assert.equal(nameIn(text), name, text)
  }
})

test('what cannot be read to its end names nobody', () => {
  for (const text of [
    undefined,
    '',
    'IP Address:10.0.0.1',
    'DNS:',
    'DNS:a"b, DNS:admin',
    'DNS:"unfinished, DNS:admin',
    'DNS:a,DNS:admin',
    ', DNS:admin',
  ]) {
    assert.equal(nameIn(text), undefined, String(text))
  }
})
