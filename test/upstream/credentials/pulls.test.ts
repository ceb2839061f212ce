import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parseRepository } from '../../../src/oci/reference.ts'
import { type Answer, ScriptedServer } from '../../support/scripted-server.ts'
import { makeTempDir } from '../../support/temp-dir.ts'
import {
  AS_LARDER,
  basic,
  type Client,
  createClient,
  failure,
  LATEST,
  password,
  REPOSITORY,
  sampleManifest,
} from '../client.ts'
import { auth, FakeProgram, programsIn } from './site.ts'

const MANIFEST = sampleManifest()
const HELPER = 'docker-credential-fake'
const PLUGIN = 'fake-provider'

/** A registry that takes one password by Basic. */
async function startRegistry(accepts: Set<string>): Promise<ScriptedServer> {
  return await new ScriptedServer(({ headers }) => {
    const { authorization = '' } = headers
    return accepts.has(authorization) ? MANIFEST.answer : challenge('Basic realm="r"')
  }).start()
}

function challenge(value: string): Answer {
  return { status: 401, headers: { 'www-authenticate': value } }
}

async function pull({ registry }: Client, repository = REPOSITORY): Promise<void> {
  assert.equal((await registry.getManifest(repository, LATEST, AS_LARDER)).digest, MANIFEST.digest)
}

function sent(server: ScriptedServer, ...[user, secret]: [string, string]): number {
  return server.count({ where: ({ headers }) => headers.authorization === basic(user, secret) })
}

test('a rotated file is used at the very pull that the registry refuses', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  const accepts = new Set([basic('u', 'old')])
  await using server = await startRegistry(accepts)
  const write = (secret: string) =>
    writeFile(file, JSON.stringify({ auths: { [server.host]: { auth: auth(`u:${secret}`) } } }))
  await write('old')
  await using client = createClient(server.origin, {
    credentials: [{ kind: 'dockerConfig', file }],
  })
  await pull(client)
  accepts.clear()
  accepts.add(basic('u', 'new'))
  await write('new')
  await pull(client)
  assert.equal(sent(server, 'u', 'new'), 1)
})

test('a rotated helper is used at the very pull that the registry refuses', async () => {
  await using dir = await makeTempDir()
  const accepts = new Set([basic('u', 'old')])
  await using server = await startRegistry(accepts)
  const file = join(dir.path, 'config.json')
  await writeFile(file, JSON.stringify({ credsStore: 'fake' }))
  const helper = await FakeProgram.write(dir.path, HELPER)
  await helper.answer({ Username: 'u', Secret: 'old' })
  await using client = createClient(
    server.origin,
    { credentials: [{ kind: 'dockerConfig', file }] },
    { programs: { environment: programsIn(dir.path) } },
  )
  await pull(client)
  accepts.clear()
  accepts.add(basic('u', 'new'))
  await helper.answer({ Username: 'u', Secret: 'new' })
  client.clock.time += 30_000
  await pull(client)
  assert.equal(await helper.runs(), 2)
})

test('a plugin whose every answer is refused is run again at most once in thirty seconds', async () => {
  await using dir = await makeTempDir()
  await using server = await startRegistry(new Set())
  const { client, plugin } = await startPlugin(dir.path, server, { body: answerAnew(server) })
  await using _ = client
  for (let i = 0; i < 10; i++) await assert.rejects(pull(client), failure('denied', 'auth'))
  assert.equal(await plugin.runs(), 1)
  assert.equal(server.requests.length, 2, 'without, and with the credential')
  client.clock.time += 30_000
  for (let i = 0; i < 10; i++) await assert.rejects(pull(client), failure('denied', 'auth'))
  assert.equal(await plugin.runs(), 2)
})

test('a plugin that gives another password each time, and keeps none, ends a pull all the same', async () => {
  await using dir = await makeTempDir()
  await using server = await startRegistry(new Set())
  const body = answerAnew(server, '0s')
  const { client, plugin } = await startPlugin(dir.path, server, { body })
  await using _ = client
  await assert.rejects(pull(client), failure('denied', 'auth'))
  assert.equal(await plugin.runs(), 2)
})

/** Prints a password that was never there before. */
function answerAnew(server: ScriptedServer, cacheDuration = '1h'): string {
  const answer = response(server, 'PASSWORD', cacheDuration)
  return `echo '${JSON.stringify(answer)}' | sed "s/PASSWORD/$$/"`
}

function response(server: ScriptedServer, secret: string, cacheDuration = '1h'): object {
  return {
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderResponse',
    cacheKeyType: 'Registry',
    cacheDuration,
    auth: { [server.host]: { username: 'u', password: secret } },
  }
}

async function startPlugin(
  folder: string,
  server: ScriptedServer,
  { body, timeoutMs = 30_000 }: { readonly body?: string; readonly timeoutMs?: number } = {},
): Promise<{ readonly client: Client; readonly plugin: FakeProgram }> {
  const configFile = join(folder, 'config.yaml')
  const provider = {
    name: PLUGIN,
    matchImages: [server.host],
    defaultCacheDuration: '1h',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
  }
  await writeFile(
    configFile,
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [provider],
    }),
  )
  const plugin = await FakeProgram.write(folder, PLUGIN, body)
  const client = createClient(
    server.origin,
    { credentials: [{ kind: 'kubelet', configFile, binDir: folder }] },
    { programs: { environment: programsIn(), pluginTimeoutMs: timeoutMs } },
  )
  return { client, plugin }
}

test('fifty pulls of a private image run the plugin once', async () => {
  await using dir = await makeTempDir()
  await using server = await startRegistry(new Set([basic('u', 'p')]))
  const { client, plugin } = await startPlugin(dir.path, server)
  await using _ = client
  await plugin.answer(response(server, 'p'))
  await Promise.all(Array.from({ length: 50 }, () => pull(client)))
  assert.equal(await plugin.runs(), 1)
})

test('whatever a plugin does, a pull ends, and one line says why', async () => {
  for (const body of [
    'echo canary; echo canary >&2; sleep 600',
    'echo canary',
    'yes canary | head -c 10000000',
    'echo canary; exit 1',
  ]) {
    await using dir = await makeTempDir()
    await using server = await startRegistry(new Set([basic('u', 'p')]))
    const { client } = await startPlugin(dir.path, server, { body, timeoutMs: 300 })
    await using _ = client
    for (let i = 0; i < 3; i++) {
      const error = await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER).catch(String)
      assert.match(String(error), /the registry refused access/)
    }
    assert.equal(client.log.length, 1, client.log.join())
    assert.match(client.log[0] ?? '', /"level":"error".*"problem":".*fake-provider/)
    assert.ok(!client.log.join().includes('canary'))
    const reasons = client.events.filter(({ event }) => event === 'error')
    assert.deepEqual(reasons[0]?.['reason'], 'credential')
  }
})

test('who stops waiting for a plugin does not take it from the others', async () => {
  await using dir = await makeTempDir()
  await using server = await startRegistry(new Set([basic('u', 'p')]))
  const gate = join(dir.path, 'gate')
  const body = `while ! [ -e '${gate}' ]; do sleep 0.02; done; cat "$0.answer"`
  const { client, plugin } = await startPlugin(dir.path, server, { body })
  await using _ = client
  await plugin.answer(response(server, 'p'))
  const controller = new AbortController()
  const options = { ...AS_LARDER, signal: controller.signal }
  const impatient = client.registry.getManifest(REPOSITORY, LATEST, options)
  const patient = pull(client)
  controller.abort(new Error('gone'))
  await assert.rejects(impatient, /gone/)
  await writeFile(gate, '')
  await patient
  assert.equal(await plugin.runs(), 1)
})

test('closing a client ends the plugin that it waits for', async () => {
  await using dir = await makeTempDir()
  await using server = await startRegistry(new Set())
  const { client } = await startPlugin(dir.path, server, { body: 'sleep 600' })
  const waiting = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER).catch(String)
  // Until the plugin is asked for, there is nothing to end.
  while (!(await hasRun(join(dir.path, PLUGIN)))) await new Promise(setImmediate)
  await client.registry.close()
  assert.ok(typeof (await waiting) === 'string')
})

async function hasRun(file: string): Promise<boolean> {
  return await stat(`${file}.args`).then(
    () => true,
    () => false,
  )
}

const REPOSITORIES = Array.from({ length: 20 }, (_, index) => parseRepository(`acme/app-${index}`))

test('a wrong password is not tried for every repository: that would lock the account', async () => {
  const accepts = new Set<string>()
  for (const kind of ['basic', 'token']) {
    await using server = await new ScriptedServer((request): Answer => {
      const { authorization = '' } = request.headers
      if (request.path === '/token') {
        return accepts.has(authorization) ? { status: 200, body: { token: 't' } } : { status: 401 }
      }
      if (accepts.has(authorization) || authorization === 'Bearer t') return MANIFEST.answer
      const bearer = `Bearer realm="${server.origin}/token"`
      return challenge(kind === 'basic' ? 'Basic realm="r"' : bearer)
    }).start()
    accepts.clear()
    await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
    for (const one of REPOSITORIES) await assert.rejects(pull(client, one), failure('denied'))
    assert.equal(sent(server, 'u', 'p'), 3, kind)
    // Mended at the registry, it is used again as soon as it has rested.
    accepts.add(basic('u', 'p'))
    client.clock.time += 30_000
    await Promise.all(REPOSITORIES.map((one) => pull(client, one)))
  }
})

test('what a good password may not read does not keep it from what it may', async () => {
  await using server = await new ScriptedServer(({ path, headers }): Answer => {
    if (headers.authorization !== basic('u', 'p')) return challenge('Basic realm="r"')
    return path.includes('app-1') ? MANIFEST.answer : { status: 403 }
  }).start()
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  for (const one of REPOSITORIES) {
    const refused = pull(client, one)
    if (one.includes('app-1')) await refused
    else await assert.rejects(refused, failure('denied', 'auth'))
  }
})

test('a password that was accepted since is not taken for wrong', async () => {
  // Some registries say 401 of what an account may not read.
  await using server = await new ScriptedServer(({ path, headers }): Answer => {
    const isGranted = headers.authorization === basic('u', 'p') && /app-1\d?\//.test(path)
    return isGranted ? MANIFEST.answer : challenge('Basic realm="r"')
  }).start()
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  for (const index of [2, 3, 10, 4, 5, 11]) {
    const repository = parseRepository(`acme/app-${index}`)
    if (index >= 10) await pull(client, repository)
    else await assert.rejects(pull(client, repository), failure('denied', 'auth'))
  }
})

test("ACR's refresh token is exchanged for each repository's token", async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  await using server = await new ScriptedServer(({ path, method, headers }): Answer => {
    if (path === '/oauth2/token' && method === 'POST') {
      return { status: 200, body: { access_token: 'at' } }
    }
    if (headers.authorization === 'Bearer at') return MANIFEST.answer
    return challenge(`Bearer realm="${server.origin}/oauth2/token",service="my.azurecr.io"`)
  }).start()
  const entry = { auth: auth('00000000-0000-0000-0000-000000000000:'), identitytoken: 'rt' }
  await writeFile(file, JSON.stringify({ auths: { [server.host]: entry } }))
  await using client = createClient(server.origin, {
    credentials: [{ kind: 'dockerConfig', file }],
  })
  await pull(client)
  await pull(client)
  const [asked, ...more] = server.find({ path: '/oauth2/token' })
  assert.deepEqual(more, [])
  assert.equal(asked?.headers.authorization, undefined)
  assert.deepEqual(Object.fromEntries(new URLSearchParams(asked?.body.toString())), {
    grant_type: 'refresh_token',
    client_id: 'larder',
    service: 'my.azurecr.io',
    scope: 'repository:acme/app:pull',
    refresh_token: 'rt',
  })
})

test('where no token is exchanged, an identity token is the password', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  await using server = await startRegistry(new Set([basic('zero', 'rt')]))
  const entry = { auth: auth('zero:'), identitytoken: 'rt' }
  await writeFile(file, JSON.stringify({ auths: { [server.host]: entry } }))
  await using client = createClient(server.origin, {
    credentials: [{ kind: 'dockerConfig', file }],
  })
  await pull(client)
})

test('the expiry of what is used is told to the observer', async () => {
  await using dir = await makeTempDir()
  await using server = await startRegistry(new Set([basic('u', 'p')]))
  const { client, plugin } = await startPlugin(dir.path, server)
  await using _ = client
  await plugin.answer(response(server, 'p', '6h0m0s'))
  await pull(client)
  await pull(client)
  const events = client.events.filter(({ event }) => event === 'credentialExpiry')
  const at = client.clock.time + 6 * 3_600_000
  assert.deepEqual(events, [{ event: 'credentialExpiry', upstream: 'test', at }])
})
