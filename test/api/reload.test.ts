import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'

import type { CredentialConfig } from '../../src/config/config.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { ANNA, as, BERT, startTenants } from '../access/tenants.ts'
import { ALWAYS, startTestApp, type TestApp, type TestUpstream } from '../support/app.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { cut, hangUp, hold, stall } from '../support/faults.ts'
import {
  type ClientRequest,
  type ClientResponse,
  open,
  readResponse,
  send,
} from '../support/http-client.ts'
import { codeOf } from '../support/hub.ts'
import { buildImage, type Image } from '../support/images.ts'

const MIB = 1024 * 1024
const RELOADS = 50

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function account(username: string, password: string): CredentialConfig {
  return { kind: 'password', path: '', username, password, passwordFile: undefined }
}

/** A registry of the test with an image, closed at its end. */
async function startRegistry(
  t: TestContext,
  options: ConstructorParameters<typeof FaultRegistry>[0] = {},
  seed = 'app',
): Promise<{ readonly registry: FaultRegistry; readonly image: Image; readonly layer: Layer }> {
  const registry = await new FaultRegistry(options).start()
  t.after(() => registry.close())
  const image = buildImage({ seed, layers: [3 * MIB] })
  registry.add('team/app', image, 'v1')
  return { registry, image, layer: layerOf(image) }
}

interface Layer {
  readonly digest: Digest
  readonly bytes: Buffer
}

function layerOf(image: Image): Layer {
  const digest = image.layers[0]?.digest
  const bytes = digest && image.blobs.get(digest)
  if (digest === undefined || bytes === undefined) throw new Error('the image has no layer')
  return { digest, bytes }
}

/** For one that is closed before the registries are: they would wait for it. */
async function startApp(t: TestContext, ...upstreams: readonly TestUpstream[]): Promise<TestApp> {
  const app = await startTestApp({ upstreams })
  t.after(() => app.close())
  return app
}

async function reloaded(app: TestApp, changes: Parameters<TestApp['reload']>[0]): Promise<void> {
  const result = await app.reload(changes)
  assert.ok(result.ok, result.ok ? '' : result.message)
}

/** The bytes of a request that is told what it has to get. */
async function pulled(asked: Promise<ClientResponse>, want: Buffer, status = 200): Promise<void> {
  const got = await asked
  assert.equal(got.status, status, got.body.subarray(0, 300).toString())
  assert.equal(got.complete, true)
  assert.ok(got.body.equals(want), 'other bytes than were asked for')
}

test('200 pulls under 50 reloads, good and bad: each ends whole, with the bytes it asked for', async (t) => {
  const users = { one: 'secret-one', two: 'secret-two' }
  const moving = await startRegistry(t, { auth: { kind: 'basic', users } })
  const mirror = await startRegistry(t)
  const still = await startRegistry(t, {}, 'still')
  const extra = await startRegistry(t, {}, 'extra')
  const cold = Array.from({ length: 5 }, (_, i) => buildImage({ seed: `${i}`, layers: [2 * MIB] }))
  for (const image of cold) {
    for (const { registry } of [moving, mirror, still]) registry.add('team/cold', image)
  }
  const barrier = new Barrier()
  moving.registry.script({ path: /team\/cold\/blobs/ }, stall(MIB + 1, barrier))
  const held = buildImage({ seed: 'held' })
  still.registry.add('team/held', held, 'v1')
  still.registry.script({ path: '/v2/team/held/manifests/v1' }, hold(barrier))

  const configs = (round: number): readonly TestUpstream[] => [
    {
      name: 'moving.test',
      url: moving.registry.origin,
      access: 'shared',
      credentials: [round % 2 === 0 ? account('one', users.one) : account('two', users.two)],
      mirrors: round % 4 === 3 ? [mirror.registry.origin] : [],
      tags: round % 3 === 0 ? ALWAYS : ALWAYS.map((rule) => ({ ...rule, match: 'v*' })),
      limits: { connections: 8 + round },
    },
    { name: 'still.test', url: still.registry.origin },
    ...(round % 4 === 1 ? [{ name: 'extra.test', url: extra.registry.origin }] : []),
  ]
  const app = await startApp(t, ...configs(0))
  const clients = Array.from({ length: 6 }, () => new Agent({ keepAlive: true }))
  t.after(() => clients.map((client) => client.destroy()))
  const pulls: Promise<void>[] = []
  const pull = (path: string, want: Buffer, range?: readonly [number, number]) => {
    const agent = clients[pulls.length % clients.length] as Agent
    const part = range === undefined ? want : want.subarray(range[0], range[1] + 1)
    const request = { agent, ...(range === undefined ? {} : { range: `bytes=${range.join('-')}` }) }
    pulls.push(pulled(app.get(`/v2/${path}`, request), part, range === undefined ? 200 : 206))
  }
  const { manifest } = moving.image

  // What is warm, and what is under way before the first of them.
  await pulled(app.get('/v2/moving.test/team/app/manifests/v1'), manifest.bytes)
  await pulled(app.get(`/v2/moving.test/team/app/blobs/${moving.layer.digest}`), moving.layer.bytes)
  for (const image of cold) {
    const { digest, bytes } = layerOf(image)
    pull(`moving.test/team/cold/blobs/${digest}`, bytes)
  }
  pull('still.test/team/held/manifests/v1', held.manifest.bytes)
  await barrier.arrived(cold.length + 1)
  for (const image of cold) {
    const { digest, bytes } = layerOf(image)
    pull(`moving.test/team/cold/blobs/${digest}`, bytes)
    pull(`moving.test/team/cold/blobs/${digest}`, bytes, [MIB - 9, MIB + 9])
    pull(`moving.test/team/cold/blobs/${digest}`, bytes, [2 * MIB - 5, 2 * MIB - 1])
  }
  pull('still.test/team/held/manifests/v1', held.manifest.bytes)

  let good = 0
  for (let round = 1; round <= RELOADS; round++) {
    pull('moving.test/team/app/manifests/v1', manifest.bytes)
    pull(`moving.test/team/app/manifests/${manifest.digest}`, manifest.bytes)
    pull(`moving.test/team/app/blobs/${moving.layer.digest}`, moving.layer.bytes, [5, MIB + 5])
    const isBad = round % 2 === 0
    const upstreams = configs(isBad ? good + 1 : good)
    const none = join(app.dataDir, 'none')
    const door = { htpasswdFile: none, clientCertificates: false, rules: [] }
    const [first, ...others] = upstreams
    assert.ok(first)
    const { ok } = isBad
      ? await app.reload(
          round % 4 === 0
            ? { upstreams, auth: door }
            : { upstreams: [...others, { ...first, caFile: none }] },
        )
      : await app.reload({ upstreams: configs(++good) })
    assert.equal(ok, !isBad)
    pull(`still.test/team/app/blobs/${still.layer.digest}`, still.layer.bytes)

    const { status } = await app.get('/v2/extra.test/team/app/manifests/v1')
    assert.equal(status, good % 4 === 1 ? 200 : 404, `after ${good} good ones`)
    for (const { registry } of [moving, mirror]) registry.forget()
    await pulled(app.get('/v2/moving.test/team/app/manifests/v1'), manifest.bytes)
    const where = good % 4 === 3 ? mirror.registry : moving.registry
    const asked = where.find({ path: /manifests/ }).at(-1)
    const user = good % 2 === 0 ? 'one' : 'two'
    const own = where === moving.registry ? basic(user, users[user]) : undefined
    assert.equal(asked?.headers.authorization, own, `after ${good} good ones`)
  }
  barrier.release()
  assert.ok(pulls.length >= 200, String(pulls.length))
  await Promise.all(pulls)
  assert.equal(await app.metric('larder_http_requests_in_flight'), 0)
})

test('a pull goes on with the registry it began with, and new ones ask the new one at once', async (t) => {
  const before = await startRegistry(t, {}, 'before')
  const after = await startRegistry(t, {}, 'after')
  const app = await startApp(t, { name: 'reg.test', url: before.registry.origin, tags: ALWAYS })
  const path = '/v2/reg.test/team/app/manifests/v1'
  const barrier = before.registry.hold({ path: /manifests/ })
  const first = app.get(path)
  await barrier.arrived()
  await reloaded(app, {
    upstreams: [{ name: 'reg.test', url: after.registry.origin, tags: ALWAYS }],
  })
  await pulled(app.get(path), after.image.manifest.bytes)
  barrier.release()
  await pulled(first, before.image.manifest.bytes)
  // What came late, from where nobody asks any more, is not kept over what is true now.
  after.registry.script({}, hangUp())
  const stale = await app.get(path)
  assert.equal(stale.headers['docker-content-digest'], after.image.manifest.digest)
})

test('a download that breaks after a reload is resumed where, and as whom, it began', async (t) => {
  const users = { one: 'secret-one', two: 'secret-two' }
  const { registry, layer } = await startRegistry(t, { auth: { kind: 'basic', users } })
  const barrier = new Barrier()
  const isBlob = { path: /blobs/, where: isAuthorized }
  registry.script(isBlob, [stall(2 * MIB, barrier), cut(2 * MIB)], { times: 1 })
  const upstream = { name: 'reg.test', url: registry.origin, access: 'shared' } as const
  const app = await startApp(t, { ...upstream, credentials: [account('one', users.one)] })
  const path = `/v2/reg.test/team/app/blobs/${layer.digest}`
  const first = app.get(path)
  await barrier.arrived()
  await reloaded(app, { upstreams: [{ ...upstream, credentials: [account('two', users.two)] }] })
  barrier.release()
  await pulled(first, layer.bytes)
  const resumed = registry.find(isBlob).at(-1)
  assert.match(resumed?.headers.range ?? '', /^bytes=[1-9]\d*-$/)
  assert.equal(resumed?.headers.authorization, basic('one', users.one))
})

function isAuthorized({
  headers,
}: {
  readonly headers: { readonly authorization?: string | undefined }
}): boolean {
  return headers.authorization !== undefined
}

test('a pull from an upstream that is taken away ends whole, and its bytes are still here when it is back', async (t) => {
  const { registry, layer } = await startRegistry(t)
  const other = await startRegistry(t)
  const barrier = new Barrier()
  registry.script({ path: /blobs/ }, stall(2 * MIB, barrier))
  const gone = { name: 'gone.test', url: registry.origin }
  const stays = { name: 'stays.test', url: other.registry.origin }
  const app = await startApp(t, gone, stays)
  const path = `/v2/gone.test/team/app/blobs/${layer.digest}`
  const first = app.get(path)
  await barrier.arrived()
  await reloaded(app, { upstreams: [stays] })
  const refused = await app.get(path)
  assert.deepEqual([refused.status, codeOf(refused)], [404, 'NAME_UNKNOWN'])
  barrier.release()
  await pulled(first, layer.bytes)
  await reloaded(app, { upstreams: [gone, stays] })
  registry.forget()
  await pulled(app.get(path), layer.bytes)
  assert.equal(registry.countBlobs(), 0)
})

test('an upstream that stays as it is keeps its connections, its tokens and its open circuit', async (t) => {
  const { registry, image, layer } = await startRegistry(t, {
    auth: { kind: 'token', public: /./ },
  })
  const dead = await startRegistry(t)
  const access = 'shared'
  const kept = { name: 'kept.test', url: registry.origin, tags: ALWAYS, access } as const
  const broken = { name: 'dead.test', url: dead.registry.origin }
  const app = await startApp(t, kept, broken)
  const path = '/v2/kept.test/team/app/manifests/v1'
  await pulled(app.get(path), image.manifest.bytes)
  await pulled(app.get(`/v2/kept.test/team/app/blobs/${layer.digest}`), layer.bytes)
  dead.registry.script({}, hangUp())
  for (let i = 0; i < 6; i++) await app.get(`/v2/dead.test/team/app/manifests/v${i}`)
  const isOpen = { upstream: 'dead.test', state: 'open' }
  await app.until('larder_upstream_circuit_state', 1, isOpen)
  dead.registry.forget()
  const tokens = registry.countTokens()
  const connections = registry.openConnections

  await reloaded(app, { upstreams: [kept, broken, { name: 'new.test', url: registry.origin }] })
  await pulled(app.get(path), image.manifest.bytes)
  assert.equal(registry.countTokens(), tokens)
  assert.ok(registry.openConnections <= connections)
  const refused = await app.get('/v2/dead.test/team/app/manifests/v9')
  assert.equal(refused.status, 502)
  assert.equal(dead.registry.count(), 0, 'its circuit is still open')
  assert.equal(await app.metric('larder_upstream_circuit_state', isOpen), 1)

  // And one that is configured otherwise begins with a clean sheet.
  dead.registry.clearScripts()
  await reloaded(app, { upstreams: [kept, { ...broken, limits: { connections: 3 } }] })
  assert.equal((await app.get('/v2/dead.test/team/app/manifests/v1')).status, 200)
})

test('bytes and tags that are cached stay so, whatever of their upstream changes', async (t) => {
  const { registry, image, layer } = await startRegistry(t)
  const upstream = { name: 'reg.test', url: registry.origin, access: 'shared' } as const
  const app = await startApp(t, upstream)
  const paths = ['manifests/v1', `manifests/${image.manifest.digest}`, `blobs/${layer.digest}`]
  for (const path of paths)
    assert.equal((await app.get(`/v2/reg.test/team/app/${path}`)).status, 200)
  // A client has its last byte before the disk has it.
  await app.until('larder_store_blobs', 2)
  registry.forget()
  const changes = { limits: { connections: 2 }, credentials: [account('a', 'b')] }
  await reloaded(app, { upstreams: [{ ...upstream, ...changes }] })
  for (const path of paths) {
    const { headers } = await app.get(`/v2/reg.test/team/app/${path}`)
    assert.match(String(headers['cache-status']), /^larder; hit/)
  }
  assert.equal(registry.count(), 0)
})

test('what was not found is asked for again after a reload, changed or not', async (t) => {
  const { registry, image } = await startRegistry(t)
  const app = await startApp(t, { name: 'reg.test', url: registry.origin })
  const absent = digestOf(Buffer.from('absent'))
  const paths = ['manifests/new', `manifests/${image.manifest.digest}`, `blobs/${absent}`]
  const repository = '/v2/reg.test/team/new'
  for (const path of paths) assert.equal((await app.get(`${repository}/${path}`)).status, 404)
  registry.forget()
  for (const path of paths) {
    const { headers } = await app.get(`${repository}/${path}`)
    assert.equal(headers['cache-status'], 'larder; hit; detail=negative')
  }
  assert.equal(registry.count(), 0)
  registry.add('team/new', image, 'new')
  await reloaded(app, {})
  assert.equal((await app.get(`${repository}/manifests/new`)).status, 200)
  assert.equal((await app.get(`${repository}/${paths[1]}`)).status, 200)
  assert.equal((await app.get(`${repository}/${paths[2]}`)).status, 404)
  assert.ok(registry.countBlobs(absent) > 0)
})

test('a credential that was refused is tried again after a reload that mends it', async (t) => {
  const users = { larder: 'right' }
  const { registry, image } = await startRegistry(t, { auth: { kind: 'basic', users } })
  const upstream = { name: 'reg.test', url: registry.origin, access: 'shared' } as const
  const app = await startApp(t, { ...upstream, credentials: [account('larder', 'wrong')] })
  const path = '/v2/reg.test/team/app/manifests/v1'
  assert.equal((await app.get(path)).status, 403)
  await reloaded(app, { upstreams: [{ ...upstream, credentials: [account('larder', 'right')] }] })
  await pulled(app.get(path), image.manifest.bytes)
})

test('a new pull is not refused what a download of the configuration before was refused', async (t) => {
  const users = { larder: 'right' }
  const { registry, layer } = await startRegistry(t, { auth: { kind: 'basic', users } })
  const upstream = { name: 'reg.test', url: registry.origin, access: 'shared' } as const
  const app = await startApp(t, { ...upstream, credentials: [account('larder', 'wrong')] })
  const barrier = registry.hold({ path: /blobs/, where: isAuthorized }, { times: 1 })
  const path = `/v2/reg.test/team/app/blobs/${layer.digest}`
  const first = app.get(path)
  await barrier.arrived()
  await reloaded(app, { upstreams: [{ ...upstream, credentials: [account('larder', 'right')] }] })
  registry.forget()
  const second = app.get(path)
  // By then the other one has long been waiting.
  assert.equal((await app.get('/v2/reg.test/team/app/manifests/v1')).status, 200)
  barrier.release()
  assert.equal((await first).status, 403)
  await pulled(second, layer.bytes)
})

test('a right is proved anew after a reload: what was withdrawn meanwhile is refused', async () => {
  await using site = await startTenants()
  const put = site.put('team-a/app')
  const path = `/v2/${put.repository}/blobs/${put.layer.digest}`
  await pulled(site.app.get(path, as(ANNA)), put.layer.bytes)
  site.revoke(ANNA)
  assert.equal((await site.app.get(path, as(ANNA))).status, 200, 'remembered for a while')
  await reloaded(site.app, {})
  assert.equal((await site.app.get(path, as(ANNA))).status, 403)
  site.restore(ANNA)
  assert.equal((await site.app.get(path, as(ANNA))).status, 403, 'so is a refusal')
  await reloaded(site.app, {})
  assert.equal((await site.app.get(path, as(ANNA))).status, 200)
})

for (const access of ['public', 'caller'] as const) {
  test(`that a repository is public is proved anew after a reload, with access: ${access}`, async () => {
    await using site = await startTenants({ upstream: { access } })
    const put = site.put('open/app')
    const path = `/v2/${put.repository}/blobs/${put.layer.digest}`
    await pulled(site.app.get(path), put.layer.bytes)
    site.setPrivate(put.repository)
    assert.equal((await site.app.get(path)).status, 200, 'remembered for a while')
    await reloaded(site.app, {})
    assert.equal((await site.app.get(path)).status, access === 'public' ? 403 : 401)
  })
}

for (const before of ['shared', 'public'] as const) {
  test(`from ${before} to caller: who has no right reads nothing more, not even of a download under way`, async () => {
    const credentials = before === 'shared' ? [account('larder', 'canary-of-larder')] : []
    const upstream = { access: before, credentials }
    await using site = await startTenants({ upstream })
    const { app, registry } = site
    // With `public` there is only what everybody may read, until its owner closes it.
    const name = before === 'shared' ? 'team-a/app' : 'open/app'
    const warm = site.put(name)
    const cold = site.put(name)
    await pulled(app.get(`/v2/${name}/blobs/${warm.layer.digest}`), warm.layer.bytes)
    const isCold = { method: 'GET', path: new RegExp(cold.layer.digest), where: isAuthorized }
    const barrier = registry.hold(isCold, { times: 1 })
    const joined = app.get(`/v2/${name}/blobs/${cold.layer.digest}`)
    joined.catch(() => undefined)
    await barrier.arrived()
    if (before === 'public') site.setPrivate(name)

    await reloaded(app, { upstreams: [callerOf(registry)] })
    const ask = (what: string, request: ClientRequest) => app.get(`/v2/${name}/${what}`, request)
    for (const { digest } of [warm.layer, cold.layer]) {
      for (const range of [{}, { range: 'bytes=0-9' }]) {
        assert.equal((await ask(`blobs/${digest}`, range)).status, 401)
        assert.equal((await ask(`blobs/${digest}`, as(BERT, range))).status, 403)
        const head = await app.head(`/v2/${name}/blobs/${digest}`, as(BERT))
        assert.equal(head.status, 403)
      }
    }
    assert.equal((await ask('manifests/v1', as(BERT))).status, 403)
    if (before === 'shared') {
      const anna = ask(`blobs/${warm.layer.digest}`, as(ANNA))
      await pulled(anna, warm.layer.bytes)
    }
    // Who had begun under the rule of before ends under it.
    barrier.release()
    await pulled(joined, cold.layer.bytes)
    assert.equal((await ask(`blobs/${cold.layer.digest}`, as(BERT))).status, 403)
  })
}

function callerOf({ origin }: FaultRegistry): TestUpstream {
  const access = 'caller'
  return { name: 'reg.test', url: origin, default: true, access, allowPlainChallenge: true }
}

test('offline: true lets nothing out from now on, false lets it out again', async (t) => {
  const { registry, image, layer } = await startRegistry(t)
  const app = await startApp(t, { name: 'reg.test', url: registry.origin, tags: ALWAYS })
  const repository = '/v2/reg.test/team/app'
  await pulled(app.get(`${repository}/manifests/v1`), image.manifest.bytes)
  const barrier = new Barrier()
  registry.script({ path: /blobs/ }, stall(2 * MIB, barrier))
  const begun = app.get(`${repository}/blobs/${layer.digest}`)
  await barrier.arrived()

  await reloaded(app, { offline: true })
  registry.forget()
  await pulled(app.get(`${repository}/manifests/v1`), image.manifest.bytes)
  const missing = await app.get(`${repository}/manifests/v2`)
  assert.equal(missing.status, 504)
  assert.match(missing.body.toString(), /"offline":true/)
  assert.equal(registry.count(), 0)
  barrier.release()
  await pulled(begun, layer.bytes)

  await reloaded(app, { offline: false })
  assert.equal((await app.get(`${repository}/manifests/v2`)).status, 404)
  assert.equal(registry.countManifests('GET', 'v2'), 1)
})

test('a reload that fails closes what it had built, and says so once', async (t) => {
  const { registry, image } = await startRegistry(t)
  const app = await startApp(t, { name: 'reg.test', url: registry.origin })
  const none = join(app.dataDir, 'none.crt')
  const wanted = { name: 'new.test', url: registry.origin }
  const result = await app.reload({
    upstreams: [wanted, { name: 'bad.test', url: registry.origin, caFile: none }],
    offline: false,
  })
  const problem = `upstreams: bad.test: cannot read ${none}: ENOENT`
  assert.equal(result.ok ? '' : result.message, problem)
  const lines = app.logs.filter(({ msg }) => msg === 'the configuration from before stays in use')
  assert.deepEqual(
    lines.map(({ problems }) => problems),
    [[problem]],
  )
  assert.equal(await app.metric('larder_config_last_reload_successful'), 0)
  assert.equal((await app.get('/v2/new.test/team/app/manifests/v1')).status, 404)
  await pulled(app.get('/v2/reg.test/team/app/manifests/v1'), image.manifest.bytes)
})

test('a reader that is slow over a reload gets the rest of what it began', async (t) => {
  const { registry, layer } = await startRegistry(t)
  const upstream = { name: 'reg.test', url: registry.origin }
  const app = await startApp(t, upstream)
  const path = `/v2/reg.test/team/app/blobs/${layer.digest}`
  await send(app.url, path)
  const slow = await open(app.url, path)
  await reloaded(app, { upstreams: [{ name: 'other.test', url: registry.origin }] })
  const got = await readResponse(slow)
  assert.equal(got.complete, true)
  assert.ok(got.body.equals(layer.bytes))
})

test('the password file of a changed front door counts from the next request on', async (t) => {
  const { registry } = await startRegistry(t)
  const app = await startApp(t, { name: 'reg.test', url: registry.origin })
  const none = join(app.dataDir, 'none')
  const door = { htpasswdFile: none, clientCertificates: false, rules: [] }
  assert.equal((await app.reload({ auth: door })).ok, false)
  assert.equal((await app.get('/v2/')).status, 200, 'no door that nobody can open')
})
