import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'

import { answer, redirect, redirectLoop } from '../support/faults.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import {
  AS_LARDER,
  basic,
  createClient,
  failure,
  LATEST,
  password,
  REPOSITORY,
  sampleManifest,
} from './client.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from './loopback-tls.ts'

const MANIFEST = sampleManifest()
const CREDENTIALS = { credentials: [password('u', 'secret-word')] }

function startStore(): Promise<ScriptedServer> {
  return new ScriptedServer(() => MANIFEST.answer).start()
}

/** Wants Basic for everything. */
function startRegistry(tls?: { key: string; cert: string }): Promise<ScriptedServer> {
  return new ScriptedServer(
    ({ headers }) =>
      headers.authorization === basic('u', 'secret-word')
        ? MANIFEST.answer
        : { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
    tls,
  ).start()
}

const AUTHORIZED = {
  where: ({ headers }: { headers: { authorization?: string | undefined } }) =>
    headers.authorization !== undefined,
}

test('every kind of redirect is followed, with the method, without the credential', async () => {
  await using store = await startStore()
  await using server = await startRegistry()
  await using client = createClient(server.origin, CREDENTIALS)
  for (const status of [301, 302, 303, 307, 308]) {
    server.script(AUTHORIZED, redirect(`${store.origin}/elsewhere?sig=1`, status), { times: 2 })
    await client.registry.headManifest(REPOSITORY, LATEST, AS_LARDER)
    await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  }
  assert.deepEqual(
    store.requests.map(({ method, url }) => `${method} ${url}`),
    Array.from({ length: 10 }, (_, i) => `${i % 2 === 0 ? 'HEAD' : 'GET'} /elsewhere?sig=1`),
  )
  for (const { rawHeaders } of store.requests) {
    assert.ok(!rawHeaders.join().toLowerCase().includes('authorization'))
  }
})

test('a relative redirect stays, and keeps the credential', async () => {
  await using server = await startRegistry()
  server.script({ path: /latest/, ...AUTHORIZED }, redirect('../other/place'))
  await using client = createClient(server.origin, CREDENTIALS)
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.equal(server.requests.at(-1)?.path, '/v2/acme/app/other/place')
  assert.equal(server.requests.at(-1)?.headers.authorization, basic('u', 'secret-word'))
})

test('the credential does not come back with a redirect that does', async () => {
  await using store = await startStore()
  await using server = await startRegistry()
  store.script({}, redirect(`${server.origin}/back`))
  server.script({ path: /latest/, ...AUTHORIZED }, redirect(`${store.origin}/there`))
  await using client = createClient(server.origin, CREDENTIALS)
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('failed', 'redirect'))
  assert.equal(server.find({ path: '/back' })[0]?.headers.authorization, undefined)
})

test('a challenge of a redirect target is not answered', async () => {
  await using store = await startStore()
  const values = { 'www-authenticate': 'Basic realm="give"' }
  store.script({}, answer(401, values))
  await using server = await startStore()
  server.script({}, redirect(`${store.origin}/there`))
  await using client = createClient(server.origin, CREDENTIALS)
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('failed', 'redirect'))
  server.clearScripts()
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  for (const { headers } of [...store.requests, ...server.requests]) {
    assert.equal(headers.authorization, undefined)
  }
})

test('five redirects are followed, and no sixth', async () => {
  await using server = await startStore()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  server.script({}, redirect('/again'), { times: 5 })
  assert.equal((await pull()).digest, MANIFEST.digest)
  server.forget()
  server.script({}, redirectLoop())
  await assert.rejects(pull(), failure('invalid', 'redirect'))
  assert.equal(server.requests.length, 6)
})

test('redirects to nowhere and to what may not be reached are refused', async () => {
  await using server = await startStore()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  for (const location of [
    'http://[',
    'file:///etc/passwd',
    'http://169.254.169.254/latest/meta-data/',
    'http://[::ffff:169.254.169.254]/',
    'http://2852039166/',
    'http://0.0.0.0/',
    'http://[fd00:ec2::254]/',
    'http://user:pass@127.0.0.1/',
  ]) {
    server.script({}, redirect(location), { times: 1 })
    await assert.rejects(pull(), failure('invalid', 'redirect'), location)
  }
  server.script({}, answer(307), { times: 1 })
  await assert.rejects(pull(), failure('invalid', 'redirect'))
  server.script({}, answer(304), { times: 1 })
  await assert.rejects(pull(), failure('failed', 'protocol'))
})

test('names are checked when they are resolved, every address of them', async () => {
  await using store = await startStore()
  await using server = await startStore()
  const addresses = new Map([
    ['good.test', ['127.0.0.1']],
    ['mixed.test', ['127.0.0.1', '169.254.169.254']],
    ['meta.test', ['fe80::1']],
  ])
  await using client = createClient(
    server.origin,
    {},
    {
      lookup: (hostname, _options, callback) => {
        const found = addresses.get(hostname) ?? []
        callback(
          null,
          found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        )
      },
    },
  )
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  for (const host of ['mixed.test', 'meta.test']) {
    server.script({}, redirect(`http://${host}:${store.port}/`), { times: 1 })
    await assert.rejects(pull(), failure('invalid', 'redirect'), host)
  }
  assert.equal(store.requests.length, 0)
  server.script({}, redirect(`http://good.test:${store.port}/`), { times: 1 })
  await pull()
  assert.equal(store.requests.length, 1)
})

test('over TLS: a private CA is trusted, nobody else is, and https is never left', async () => {
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  await using store = await startStore()
  await using server = await startRegistry({ key: LOOPBACK_KEY, cert: LOOPBACK_CERT })
  await using distrustful = createClient(server.origin, CREDENTIALS)
  await assert.rejects(
    distrustful.registry.getManifest(REPOSITORY, LATEST, AS_LARDER),
    failure('unreachable', 'tls'),
  )
  await using client = createClient(server.origin, { ...CREDENTIALS, caFile })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await pull()
  server.script({}, redirect(`${store.origin}/`), { times: 1 })
  await assert.rejects(pull(), failure('invalid', 'redirect'))
  assert.equal(store.requests.length, 0)
})

test('https is not left even where the registry itself has none', async () => {
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  await using store = await startStore()
  await using secure = await new ScriptedServer(
    () => ({ status: 307, headers: { location: `${store.origin}/` } }),
    { key: LOOPBACK_KEY, cert: LOOPBACK_CERT },
  ).start()
  await using server = await startStore()
  server.script({}, redirect(`${secure.origin}/`))
  await using client = createClient(server.origin, { caFile })
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('invalid', 'redirect'))
  assert.deepEqual([secure.requests.length, store.requests.length], [1, 0])
})

test('the client certificate is shown to the registry, and not to where it redirects', async () => {
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'cert.pem')
  const clientKeyFile = join(dir.path, 'key.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  await writeFile(clientKeyFile, LOOPBACK_KEY)
  await using store = await startMutualTls(() => undefined)
  await using server = await startMutualTls(() => `${store.origin}/`)
  const files = { caFile, clientCertFile: caFile, clientKeyFile }
  await using client = createClient(server.origin, files)
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.deepEqual([server.shown, store.shown], [['loopback'], [undefined]])
})

interface MutualTlsServer extends AsyncDisposable {
  readonly origin: string
  /** The names in the certificates that clients showed. */
  readonly shown: (string | undefined)[]
}

/** Asks for a certificate, redirects or answers, and remembers who asked. */
async function startMutualTls(location: () => string | undefined): Promise<MutualTlsServer> {
  const shown: (string | undefined)[] = []
  const options = { key: LOOPBACK_KEY, cert: LOOPBACK_CERT, requestCert: true }
  const server = createServer({ ...options, rejectUnauthorized: false }, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate()
    // The types say that there always is one.
    shown.push((subject as { CN?: string } | undefined)?.CN)
    const target = location()
    if (target === undefined) response.writeHead(200, MANIFEST.answer.headers).end(MANIFEST.bytes)
    else response.writeHead(307, { location: target }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    origin: `https://127.0.0.1:${port}`,
    shown,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('over TLS: a realm without TLS is refused', async () => {
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  await using auth = await new ScriptedServer(() => ({ status: 200, body: { token: 't' } })).start()
  const challenge = `Bearer realm="${auth.origin}/token"`
  await using server = await new ScriptedServer(
    () => ({ status: 401, headers: { 'www-authenticate': challenge } }),
    { key: LOOPBACK_KEY, cert: LOOPBACK_CERT },
  ).start()
  await using client = createClient(server.origin, { ...CREDENTIALS, caFile })
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('invalid', 'realm'))
  assert.equal(auth.requests.length, 0)
})

test('a file that cannot be read is named when the upstream is built', () => {
  assert.throws(() => createClient('https://r.example', { caFile: '/nowhere/ca.pem' }), {
    message: 'cannot read /nowhere/ca.pem: ENOENT',
  })
})
