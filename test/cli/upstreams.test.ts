import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { ExitError } from '../../src/cli/exit.ts'
import { upstreamsCommand } from '../../src/cli/upstreams.ts'
import type { Environment } from '../../src/config/environment.ts'
import { PreloadSite } from '../airgap/site.ts'
import { withFile } from '../config/support.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { buildImage } from '../support/images.ts'
import { type Answer, ScriptedServer } from '../support/scripted-server.ts'
import { FakeProgram, programsIn } from '../upstream/credentials/site.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { larder } from './admin.ts'

interface Outcome {
  readonly stdout: string
  readonly lines: readonly string[]
  readonly error: unknown
}

interface RunOptions {
  readonly env?: Environment
  /** Beside the configuration, by name. */
  readonly files?: Readonly<Record<string, string>>
}

/** Runs `larder upstreams …` with a configuration of these upstreams. */
async function run(
  upstreams: readonly object[],
  args: readonly string[],
  { env = {}, files = {} }: RunOptions = {},
): Promise<Outcome> {
  // Port 9 is nobody's: what is configured is all that is known.
  const server = { adminListen: '127.0.0.1:9' }
  return await withFile(JSON.stringify({ version: 1, server, upstreams }), async (cwd) => {
    for (const [name, text] of Object.entries(files)) await writeFile(join(cwd, name), text)
    let stdout = ''
    const io = {
      env,
      cwd,
      stdout: { write: (text: string) => (stdout += text) },
      stderr: { write: () => true },
    }
    const command = upstreamsCommand({ larder: '1.2.3' }, io)
    const argv = [...args, '-c', 'larder.yaml']
    const error: unknown = await command.parseAsync(argv, { from: 'user' }).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    return { stdout, lines: stdout.split('\n').filter((line) => line !== ''), error }
  })
}

function upstream(url: string, more: object = {}): object {
  return { name: 'r', match: ['r.example'], url, ...more }
}

const WITH_PASSWORD = {
  access: 'shared',
  credentials: [{ username: 'larder', password: 'canary' }],
}

function assertExit(error: unknown, exitCode: number): asserts error is ExitError {
  assert.ok(error instanceof ExitError, String(error))
  assert.equal(error.exitCode, exitCode)
}

/** The step that failed, after those that did not. */
function assertFailed({ lines, error, stdout }: Outcome, step: string, reason: RegExp): void {
  assertExit(error, 5)
  assert.ok(
    lines.slice(0, -1).every((line) => line.startsWith('ok ')),
    stdout,
  )
  assert.match(lines.at(-1) ?? '', new RegExp(`^FAILED  ${step} `))
  assert.match(lines.at(-1) ?? '', reason)
  assert.ok(!stdout.includes('canary'), stdout)
}

test('the upstreams are listed, as a table or as JSON', async () => {
  const upstreams = [
    upstream('https://r.example', WITH_PASSWORD),
    { name: 'docker.io', url: 'https://registry-1.docker.io' },
  ]
  const table = await run(upstreams, [])
  assert.deepEqual(table.lines, [
    'NAME       URL                           ACCESS  CREDENTIALS',
    'r          https://r.example             shared  1',
    'docker.io  https://registry-1.docker.io  public  0',
  ])
  const json = await run(upstreams, ['-o', 'json'])
  assert.deepEqual(JSON.parse(json.stdout), [
    { name: 'r', url: 'https://r.example', access: 'shared', credentials: 1 },
    { name: 'docker.io', url: 'https://registry-1.docker.io', access: 'public', credentials: 0 },
  ])
  assert.equal(table.error, undefined)
})

test('an unknown upstream is not found; what is no image or configuration is an error of usage', async () => {
  const upstreams = [upstream('https://r.example')]
  const unknown = await run(upstreams, ['test', 'x'])
  assertExit(unknown.error, 6)
  assert.equal(unknown.error.message, 'no upstream is called x; there are: r')
  const image = await run(upstreams, ['test', 'r', 'Not/An:Image:x'])
  assertExit(image.error, 2)
  assert.equal(image.error.message, 'Not/An:Image:x is not an image such as acme/app:v1')
  const file = await run([upstream('https://r.example', { caFile: 'none.pem' })], ['test', 'r'])
  assertExit(file.error, 2)
  assert.match(file.error.message, /^cannot read \S+\/none\.pem: ENOENT$/)
  assertExit((await run([upstream('nowhere')], ['test', 'r'])).error, 2)
})

test('every step to a private image is named, and no secret', async () => {
  const users = { larder: 'canary' }
  await using registry = await new FaultRegistry({ auth: { kind: 'token', users } }).start()
  const image = buildImage({ seed: 'app' })
  registry.add('acme/app', image, 'v1')
  const digest = image.manifest.digest
  const config = [upstream(registry.origin, WITH_PASSWORD)]
  for (const [ref, named] of [
    ['acme/app:v1', 'v1'],
    ['r.example/acme/app:v1', 'v1'],
    [`acme/app@${digest}`, digest],
  ] as const) {
    const { lines, error, stdout } = await run(config, ['test', 'r', ref])
    assert.equal(error, undefined)
    assert.deepEqual(lines, [
      'ok      dns         127.0.0.1 is an address',
      `ok      connect     connected to 127.0.0.1 port ${registry.port}`,
      'ok      /v2/        the registry answered 401',
      `ok      challenge   Bearer: tokens are given out by ${registry.origin}`,
      'ok      credential  username larder with password',
      'ok      token       granted to username larder with password',
      `ok      manifest    acme/app ${named} is ${digest}`,
    ])
    assert.ok(!stdout.includes('canary'))
  }
  const { stdout } = await run(config, ['test', 'r', 'acme/app:v1', '-o', 'json'])
  const report = JSON.parse(stdout)
  assert.deepEqual([report.upstream, report.ok, report.steps.length], ['r', true, 7])
  assert.deepEqual(report.steps[0], { step: 'dns', ok: true, detail: '127.0.0.1 is an address' })
})

test('an open registry needs no token, and Docker Hub completes short names', async () => {
  await using registry = await new FaultRegistry().start()
  registry.add('library/app', buildImage({ seed: 'app' }), 'latest')
  const hub = { name: 'docker.io', url: registry.origin }
  const { lines, error } = await run([hub], ['test', 'docker.io', 'app'])
  assert.equal(error, undefined)
  assert.deepEqual(lines.slice(2, 6), [
    'ok      /v2/        the registry answered 200',
    'ok      challenge   none: /v2/ is open to everyone',
    'ok      credential  none configured: Larder pulls anonymously',
    'ok      token       not needed',
  ])
  assert.match(lines[6] ?? '', /^ok {6}manifest {4}library\/app latest is sha256:/)
})

test('a name that does not resolve ends the walk at dns', async () => {
  // Too long to be a name: the resolver says so without asking anyone.
  const url = `https://${'x'.repeat(64)}.invalid`
  const outcome = await run([upstream(url)], ['test', 'r'])
  assert.equal(outcome.lines.length, 1)
  assertFailed(outcome, 'dns', /does not resolve: check the host in url/)
})

test('a port where nobody listens ends it at connect', async () => {
  const server = await new ScriptedServer().start()
  const { origin } = server
  await server.close()
  assertFailed(
    await run([upstream(origin)], ['test', 'r']),
    'connect',
    /does not accept connections/,
  )
})

test('a certificate is described: trusted by its authority, or why not', async () => {
  const tls = { key: LOOPBACK_KEY, cert: LOOPBACK_CERT }
  await using registry = await new FaultRegistry({ tls }).start()
  const refused = await run([upstream(registry.origin)], ['test', 'r'])
  assertFailed(refused, 'tls', /issued by loopback, .*\(DEPTH_ZERO_SELF_SIGNED_CERT\): .*caFile/)
  const files = { 'ca.pem': LOOPBACK_CERT }
  const trusted = await run([upstream(registry.origin, { caFile: 'ca.pem' })], ['test', 'r'], {
    files,
  })
  assert.equal(trusted.error, undefined)
  assert.match(
    trusted.lines[2] ?? '',
    /^ok {6}tls {9}TLSv1\.3, certificate issued by loopback, expires on 2126-10-30, in \d+ days$/,
  )
})

test('a server without TLS ends an https walk at tls', async () => {
  await using registry = await new FaultRegistry().start()
  const url = registry.origin.replace('http:', 'https:')
  assertFailed(await run([upstream(url)], ['test', 'r']), 'tls', /no trusted TLS connection/)
})

test('what is no registry ends it at /v2/', async () => {
  for (const [answer, reason] of [
    [{ status: 404 }, /answered 404 to GET \/v2\/: check that url leads to a registry/],
    [{ status: 503 }, /answered 503/],
    [{ status: 401 }, /wants authentication \(401\), and does not say which/],
  ] as const) {
    await using server = await new ScriptedServer(() => answer).start()
    assertFailed(await run([upstream(server.origin)], ['test', 'r']), '/v2/', reason)
  }
})

test('a realm that is not approved ends it at challenge, and is not asked', async () => {
  const value = 'Bearer realm="https://auth.foreign.test/token?x=canary",service="s"'
  const headers = { 'www-authenticate': value }
  await using server = await new ScriptedServer((): Answer => ({ status: 401, headers })).start()
  const outcome = await run([upstream(server.origin, WITH_PASSWORD)], ['test', 'r'])
  assertFailed(outcome, 'challenge', /https:\/\/auth\.foreign\.test, which is not .*trustedRealms/)
  assert.equal(server.requests.length, 1)
})

test('a source that gives nothing ends it at credential, and says why', async () => {
  await using registry = await new FaultRegistry({ auth: { kind: 'basic' } }).start()
  const from = (credential: object) =>
    upstream(registry.origin, { access: 'shared', credentials: [credential] })
  const missing = await run([from({ dockerConfigFile: 'none.json' })], ['test', 'r'])
  assertFailed(missing, 'credential', /cannot read \S+\/none\.json: no such file/)
  const files = { 'other.json': '{"auths":{"other.example":{"auth":"Y2FuYXJ5OmNhbmFyeQ=="}}}' }
  const other = [from({ dockerConfigFile: 'other.json' })]
  const outcome = await run(other, ['test', 'r', 'acme/app'], { files })
  assertFailed(outcome, 'credential', /none of 1 configured is for 127\.0\.0\.1:\d+\/acme\/app/)
})

test('helpers and plugins are walked with the PATH of the command', async () => {
  const users = { u: 'canary' }
  await using registry = await new FaultRegistry({ auth: { kind: 'basic', users } }).start()
  await withFile('', async (bin) => {
    const helper = await FakeProgram.write(bin, 'docker-credential-fake')
    await helper.answer({ Username: 'u', Secret: 'canary' })
    await mkdir(join(bin, 'plugins'))
    await FakeProgram.write(join(bin, 'plugins'), 'broken', 'exit 1')
    const { path, home } = programsIn(bin)
    const env = { PATH: path, HOME: home }
    const plugin = {
      name: 'broken',
      matchImages: [registry.host],
      defaultCacheDuration: '1h',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    }
    const files = {
      'config.json': '{"credsStore":"fake"}',
      'plugins.yaml': JSON.stringify({
        apiVersion: 'kubelet.config.k8s.io/v1',
        kind: 'CredentialProviderConfig',
        providers: [plugin],
      }),
    }
    const kubelet = {
      kubeletCredentialProvider: { config: 'plugins.yaml', binDir: join(bin, 'plugins') },
    }
    const sources = [{ dockerConfigFile: 'config.json' }, kubelet]
    const both = [upstream(registry.origin, { access: 'shared', credentials: sources })]
    const { lines, error } = await run(both, ['test', 'r'], { env, files })
    assert.equal(error, undefined)
    const name = `docker-credential-fake for ${registry.host}`
    const problem = 'not usable: broken failed (exit code 1): run it by hand to see why'
    assert.equal(lines[4], `ok      credential  ${name}; ${problem}`)
    assert.equal(lines[5], `ok      token       granted to ${name}`)
    const one = [upstream(registry.origin, { access: 'shared', credentials: [kubelet] })]
    const broken = await run(one, ['test', 'r'], { env, files })
    assertFailed(broken, 'credential', /broken failed \(exit code 1\)/)
  })
})

test('a credential that is refused ends it at token; the next one that is not is used', async () => {
  const credentials = [
    { username: 'wrong', password: 'canary-1' },
    { username: 'right', password: 'canary-2' },
  ]
  for (const kind of ['token', 'basic'] as const) {
    const users = { right: 'canary-2' }
    await using registry = await new FaultRegistry({ auth: { kind, users } }).start()
    const one = upstream(registry.origin, {
      access: 'shared',
      credentials: credentials.slice(0, 1),
    })
    const refused = await run([one], ['test', 'r'])
    assertFailed(refused, 'token', /refused to username wrong with password \(401\): check/)
    const both = upstream(registry.origin, { access: 'shared', credentials })
    const { lines, error } = await run([both], ['test', 'r'])
    assert.equal(error, undefined)
    assert.match(lines.at(-1) ?? '', /granted to username right .*; refused to username wrong/)
  }
})

test('an image that is not there, or not for this account, ends it at manifest', async () => {
  const users = { larder: 'canary' }
  const mayUse = (_user: string, repository: string) => repository !== 'acme/secret'
  await using registry = await new FaultRegistry({
    auth: { kind: 'token', users, mayUse },
  }).start()
  registry.add('acme/secret', buildImage({ seed: 'app' }), 'v1')
  const config = [upstream(registry.origin, WITH_PASSWORD)]
  const missing = await run(config, ['test', 'r', 'acme/app:v1'])
  assertFailed(missing, 'manifest', /the registry does not have it \(404\): check name and tag/)
  const denied = await run(config, ['test', 'r', 'acme/secret:v1'])
  assertFailed(denied, 'manifest', /the registry refused access \(401\): check what the credential/)
})

test('without an image an anonymous token is not asked for', async () => {
  await using registry = await new FaultRegistry({ auth: { kind: 'token', public: /./ } }).start()
  const { lines, error } = await run([upstream(registry.origin)], ['test', 'r'])
  assert.equal(error, undefined)
  assert.match(lines.at(-1) ?? '', /^ok {6}token {7}not asked for: name an image/)
  assert.equal(registry.countTokens(), 0)
})

test('a forward proxy is what is resolved and connected to, shown without its password', async () => {
  await using proxy = await new ScriptedServer(() => ({ status: 200 })).start()
  const url = `http://u:canary@${proxy.host}`
  const config = [upstream('http://r.invalid', { proxy: url, plainHttp: true })]
  const { lines, stdout } = await run(config, ['test', 'r'])
  assert.equal(lines[0], 'ok      dns         the forward proxy 127.0.0.1 is an address')
  assert.match(lines[1] ?? '', /^ok {6}connect {5}the forward proxy connected to 127\.0\.0\.1/)
  assert.ok(!stdout.includes('canary'))
})

test('a running server says how its upstreams are, and takes what an operator decides', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', buildImage(), 'v1')
  const larderAt = (...args: readonly string[]) =>
    larder(['upstreams', ...args, '--server', site.app.adminUrl])
  await site.app.get('/v2/team/app/manifests/v1?ns=reg.test')
  const up = await larderAt()
  assert.equal(up.code, 0, up.stderr)
  assert.match(up.stdout, /^NAME +STATE +ACCESS +LATENCY +QUOTA +CREDENTIALS +LAST ERROR$/m)
  assert.match(up.stdout, /^reg\.test +up +public +\d+ ms, \d+ ms +- +- +-$/m)
  const walk = await larderAt('test', 'reg.test', 'team/app:v1')
  assert.equal(walk.code, 0, walk.stderr)
  assert.match(walk.stdout, /^ok {6}manifest /m)
  const ends = await larderAt('test', 'reg.test', 'team/none:v1')
  assert.equal(ends.code, 5)
  const blocked = await larderAt('block', 'reg.test', '--reason', 'it lies')
  assert.equal(blocked.code, 0, blocked.stderr)
  assert.match(blocked.stdout, /^reg\.test +blocked since 20.*Z: it lies +public /m)
  const json = JSON.parse((await larderAt('-o', 'json')).stdout)
  assert.equal(json[0].blocked.reason, 'it lies')
  const unblocked = await larderAt('unblock', 'reg.test')
  assert.match(unblocked.stdout, /^reg\.test +up /m)
  const unknown = await larderAt('block', 'none')
  assert.equal(unknown.code, 6)
  assert.match(unknown.stderr, /no upstream is called none; there are: reg\.test/)
  const gone = await larder(['upstreams', '--server', 'http://127.0.0.1:9'])
  assert.equal(gone.code, 1)
})
