import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'

import fc from 'fast-check'

import { digestOf } from '../../src/oci/digest.ts'
import {
  answer,
  challenge,
  chunked,
  closeDelimited,
  corrupt,
  cut,
  type Fault,
  gzipped,
  hangUp,
  headers,
  lieAboutLength,
  redirect,
  redirectLoop,
  resize,
} from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { type RecordedRequest, ScriptedServer } from '../support/scripted-server.ts'
import { runs } from './runs.ts'
import {
  allLanded,
  assertNothingLeaked,
  assertStoreRight,
  CANARY,
  partsOf,
  pull,
  putBlob,
  type Site,
  startSite,
  USER,
} from './site.ts'

const MIB = 1024 * 1024
const OTHER = digestOf(Buffer.from('other'))

interface Lie {
  readonly faults: (site: Site) => readonly Fault[]
  /** What a pull comes to while it lasts: an error or a cut, or, where it does no harm, a success. */
  readonly blob: 'fails' | 'succeeds' | 'either'
  readonly manifest: 'fails' | 'succeeds' | 'either'
}

function lie(
  blob: Lie['blob'],
  manifest: Lie['manifest'],
  ...faults: readonly (Fault | ((site: Site) => Fault))[]
): Lie {
  const isOfSite = (one: Fault | ((site: Site) => Fault)): one is (site: Site) => Fault =>
    one.length === 1 && one.name === 'ofSite'
  return {
    blob,
    manifest,
    faults: (site) => faults.map((one) => (isOfSite(one) ? one(site) : one)),
  }
}

function toStranger(make: (origin: string) => Fault) {
  return function ofSite({ stranger }: Site): Fault {
    return make(stranger.origin)
  }
}

/** Each lasts: whoever asks again is lied to again. */
const LIES: Readonly<Record<string, Lie>> = {
  'no answer, FIN': lie('fails', 'fails', hangUp('fin')),
  'no answer, RST': lie('fails', 'fails', hangUp('rst')),
  'the head only, FIN': lie('fails', 'fails', cut(0, 'fin')),
  'the head only, RST': lie('fails', 'fails', cut(0, 'rst')),
  'short with length': lie('fails', 'fails', resize(-1), lieAboutLength(1)),
  'short, consistently': lie('fails', 'fails', resize(-1)),
  'empty, consistently': lie('fails', 'fails', resize(-100 * MIB)),
  'short without length, FIN': lie('fails', 'fails', closeDelimited(), resize(-1)),
  'short without length, RST': lie(
    'fails',
    'fails',
    closeDelimited(),
    resize(-1),
    cut(99 * MIB, 'rst'),
  ),
  'short and chunked': lie('fails', 'fails', chunked(), resize(-1)),
  'chunked without an end': lie('either', 'fails', chunked(), cut(99 * MIB, 'fin')),
  'wrong first byte': lie('fails', 'fails', corrupt(0)),
  'wrong last byte': lie('fails', 'fails', corrupt(-1)),
  'wrong first byte, chunked': lie('fails', 'fails', chunked(), corrupt(0)),
  'wrong last byte, until the connection ends': lie(
    'fails',
    'fails',
    closeDelimited(),
    corrupt(-1),
  ),
  'too long': lie('fails', 'fails', resize(1)),
  'too long for its length': lie('either', 'either', resize(100), lieAboutLength(-100)),
  'too long, chunked': lie('fails', 'fails', chunked(), resize(70_000)),
  'length says less': lie('fails', 'fails', lieAboutLength(-1)),
  'wrong digest header': lie('either', 'either', headers({ 'docker-content-digest': OTHER })),
  'no digest header': lie('succeeds', 'succeeds', headers({ 'docker-content-digest': undefined })),
  'wrong media type': lie('succeeds', 'either', headers({ 'content-type': 'text/html' })),
  'a page for people': lie(
    'fails',
    'fails',
    answer(200, { 'content-type': 'text/html' }, '<html>'),
  ),
  'redirect loop': lie('fails', 'fails', redirectLoop()),
  'redirect to nowhere': lie('fails', 'fails', answer(307)),
  'redirect to a stranger': lie(
    'fails',
    'fails',
    toStranger((origin) => redirect(`${origin}/x`)),
  ),
  'redirect to a file': lie('fails', 'fails', redirect('file:///etc/passwd')),
  'realm of a stranger': lie(
    'fails',
    'fails',
    toStranger((origin) => challenge(`Bearer realm="${origin}/token",service="x"`)),
  ),
  '401 without end': lie('fails', 'fails', challenge('Basic realm="again"')),
  '401 without a challenge': lie('fails', 'fails', answer(401)),
  'gzip-encoded': lie('fails', 'fails', gzipped()),
  'encoded in name only': lie('fails', 'fails', headers({ 'content-encoding': 'gzip' })),
  'a 206 nobody asked for': lie(
    'fails',
    'fails',
    answer(206, { 'content-range': 'bytes 0-4/5' }, 'wrong'),
  ),
  'a status from nowhere': lie('fails', 'fails', answer(299, {}, 'wrong')),
  '500': lie('fails', 'fails', answer(500)),
  '429': lie('fails', 'fails', answer(429, { 'retry-after': '0' })),
}

const REFUSALS = new Set([
  'realm of a stranger',
  'redirect to a stranger',
  '401 without end',
  '401 without a challenge',
  '429',
])

for (const [name, { faults, blob }] of Object.entries(LIES)) {
  test(`blob, ${name}: nothing wrong completes, is stored or leaks, and it heals`, async () => {
    await using site = await startSite()
    const { registry, app } = site
    for (const size of [1000, 2 * MIB + 7]) {
      const wanted = putBlob(site, size, name)
      registry.script({ method: 'GET', path: /\/blobs\// }, faults(site))
      const all = await Promise.all([
        pull(site, wanted),
        pull(site, wanted),
        pull(site, wanted, { range: 'bytes=1-' }),
        pull(site, wanted, { range: 'bytes=-5' }),
        pull(site, wanted, { method: 'HEAD' }),
      ])
      const whole = all.slice(0, 4)
      const succeeded = whole.filter((got) => got?.complete === true && got.status < 300)
      if (blob === 'fails') assert.equal(succeeded.length, 0)
      if (blob === 'succeeds') assert.equal(succeeded.length, 4)
      for (const got of whole) {
        if (got !== undefined && got.status >= 400) assert.notEqual(got.status, 404)
      }
      await assertStoreRight(site, blob === 'fails' ? [wanted.digest] : [])
      registry.clearScripts()
      // A refusal is remembered for half a minute: a restart forgets it.
      if (REFUSALS.has(name)) await app.restart()
      const healed = await pull(site, wanted)
      assert.equal(healed?.status, 200)
      assert.equal(healed.complete, true)
      await assertStoreRight(site)
      assert.deepEqual(await partsOf(site), [])
    }
    assertNothingLeaked(site)
  })
}

for (const [name, { faults, manifest }] of Object.entries(LIES)) {
  test(`manifest, ${name}: nothing wrong completes, is stored or leaks, and it heals`, async () => {
    await using site = await startSite()
    const { registry, app } = site
    const image = buildImage({ seed: name })
    const { digest, bytes } = image.manifest
    registry.add('acme/app', image, 'v1')
    registry.script({ path: /\/manifests\// }, faults(site))
    const paths = [`/v2/acme/app/manifests/${digest}`, '/v2/acme/app/manifests/v1']
    const all = await Promise.all(paths.map((path) => pull(site, { path, bytes })))
    for (const [index, got] of all.entries()) {
      const isServed = got?.complete === true && got.status === 200
      // Of a tag nobody has said which bytes are right, but what is said must be consistent.
      if (manifest === 'fails') assert.equal(isServed, false, `${paths[index]}`)
      if (manifest === 'succeeds') assert.equal(isServed, true, `${paths[index]}`)
      if (isServed) assert.equal(got.headers['docker-content-digest'], digest)
      // Where a registry sends a question on, what it sends it to speaks for it.
      const isSentOn = name === 'redirect to a stranger'
      if (got !== undefined && got.status >= 400 && !isSentOn) assert.notEqual(got.status, 404)
    }
    await assertStoreRight(site, manifest === 'fails' ? [digest] : [])
    registry.clearScripts()
    if (REFUSALS.has(name)) await app.restart()
    for (const path of paths) {
      const healed = await pull(site, { path, bytes })
      assert.equal(healed?.status, 200, path)
      assert.equal(healed.complete, true)
    }
    await assertStoreRight(site)
    assertNothingLeaked(site)
  })
}

for (const by of ['fin', 'rst'] as const) {
  test(`a connection lost once on the way (${by}) is gone on with where it ended`, async () => {
    for (const after of [1, 70_000, MIB, 2 * MIB + 6]) {
      await using site = await startSite()
      const { registry } = site
      const wanted = putBlob(site, 2 * MIB + 7)
      const matcher = { method: 'GET', path: /\/blobs\//, where: hasCredential }
      registry.script(matcher, cut(after, by), { times: 1 })
      const got = await pull(site, wanted)
      assert.equal(got?.status, 200)
      assert.equal(got.complete, true)
      const asked = registry.find(matcher).map((one) => one.headers.range)
      assert.equal(asked.length, 2)
      // A reset may overtake bytes that were sent before it.
      const from = Number(/^bytes=(\d+)-$/.exec(asked[1] ?? 'bytes=0-')?.[1])
      assert.ok(from <= after && (by === 'rst' || from === after), `${asked[1]}`)
      await assertStoreRight(site)
      assert.deepEqual(await partsOf(site), [])
    }
  })
}

test('bytes that a stranger gives in the registry’s name are verified, and take no credential', async () => {
  await using site = await startSite()
  const { registry, stranger } = site
  const wanted = putBlob(site, 2 * MIB + 7)
  stranger.script({}, answer(200, {}, wanted.bytes))
  registry.script({ path: /\/blobs\// }, redirect(`${stranger.origin}/storage?signature=1`))
  const got = await pull(site, wanted)
  assert.equal(got?.complete, true)
  assert.equal(got.status, 200)
  assert.equal(stranger.count(), 1)
  assertNothingLeaked(site)
})

test('a token that runs out on the way is renewed, and the pull goes on', async () => {
  const auth = { kind: 'token', users: { [USER]: CANARY }, expiresIn: 300 } as const
  await using site = await startSite({ registry: { auth } })
  const { registry } = site
  const wanted = putBlob(site, 3 * MIB)
  const isPull = { method: 'GET', path: /\/blobs\//, where: hasCredential }
  const revoke: Fault = () => registry.auth.revokeTokens()
  registry.script(isPull, [revoke, cut(MIB + 5)], { times: 1 })
  const got = await pull(site, wanted)
  assert.equal(got?.status, 200)
  assert.equal(got.complete, true)
  assert.equal(registry.auth.issued, 2)
  assert.equal(registry.find(isPull).at(-1)?.headers.range, `bytes=${MIB + 5}-`)
  assertNothingLeaked(site)
})

test('a foreign realm gets no password, though a network leads there', async () => {
  await using registry = await new ScriptedServer(() => ({
    status: 401,
    headers: { 'www-authenticate': 'Bearer realm="http://evil.example/token",service="s"' },
  })).start()
  await using evil = await new ScriptedServer(() => ({ status: 200, body: { token: 'x' } })).start()
  const hosts = new Map([
    ['registry.example', registry.port],
    ['evil.example', evil.port],
  ])
  await using proxy = await startProxy(hosts)
  const upstream = { url: 'http://registry.example', proxy: proxy.origin }
  await using site = await startSite({ upstream })
  const wanted = putBlob(site, 10)
  const got = await pull(site, wanted)
  assert.ok((got?.status ?? 0) >= 400)
  assert.ok(registry.count() > 0)
  assert.ok(proxy.visited('registry.example') > 0)
  assert.equal(evil.count(), 0)
  assert.equal(proxy.visited('evil.example'), 0)
})

const fault: fc.Arbitrary<readonly Fault[]> = fc
  .record({
    framing: fc.constantFrom(undefined, chunked(), closeDelimited()),
    cut: fc.option(
      fc.record({
        after: fc.nat(2 * MIB + 7),
        by: fc.constantFrom('fin' as const, 'rst' as const),
      }),
      { nil: undefined },
    ),
    corrupt: fc.option(fc.nat(2 * MIB), { nil: undefined, freq: 3 }),
    resize: fc.constantFrom(undefined, undefined, undefined, -1, 1, -MIB, 5000),
    lie: fc.constantFrom(undefined, undefined, undefined, -1, 1, 5000),
  })
  .map((one) =>
    [
      one.framing,
      one.corrupt === undefined ? undefined : corruptIfThere(one.corrupt),
      one.resize === undefined ? undefined : resize(one.resize),
      one.lie === undefined ? undefined : lieAboutLength(one.lie),
      one.cut === undefined ? undefined : cut(one.cut.after, one.cut.by),
    ].filter((each) => each !== undefined),
  )

const ranges = fc.oneof(
  fc.constant(undefined),
  fc
    .tuple(fc.nat(2 * MIB), fc.nat(2 * MIB))
    .map(([a, b]) => `bytes=${Math.min(a, b)}-${Math.max(a, b)}`),
  fc.nat(2 * MIB).map((from) => `bytes=${from}-`),
  fc.integer({ min: 1, max: 3 * MIB }).map((last) => `bytes=-${last}`),
  fc.constantFrom('bytes=0-0,-1', 'bytes=-1,0-0', 'bytes=99999999-'),
)

test('whatever is cut where, and whoever asks for which part: never wrong, and it heals', async () => {
  await using site = await startSite()
  const { registry } = site
  let seed = 0
  const property = fc.asyncProperty(
    fc.array(fault, { minLength: 1, maxLength: 3 }),
    fc.array(ranges, { minLength: 1, maxLength: 6 }),
    fc.constantFrom(1, 1000, MIB, MIB + 1, 2 * MIB + 7),
    async (faults, wantedRanges, size) => {
      const wanted = putBlob(site, size, `property ${++seed}`)
      const matcher = { method: 'GET', path: wanted.path, where: hasCredential }
      for (const one of faults) registry.script(matcher, one, { times: 1 })
      await Promise.all(
        wantedRanges.map((range) => pull(site, wanted, range === undefined ? {} : { range })),
      )
      // What a lie has begun ends first: whoever joins it shares its fate.
      await allLanded(site)
      await assertStoreRight(site)
      registry.clearScripts()
      const healed = await pull(site, wanted)
      assert.equal(healed?.status, 200)
      assert.equal(healed.complete, true)
    },
  )
  await fc.assert(property, runs(25))
  await assertStoreRight(site)
  assert.deepEqual(await partsOf(site), [])
})

function hasCredential({ headers: { authorization } }: RecordedRequest): boolean {
  return authorization !== undefined
}

function corruptIfThere(position: number): Fault {
  return (delivery, request) => {
    if (delivery.body.length > 0) corrupt(position % delivery.body.length)(delivery, request)
  }
}

/** A forward proxy that knows these names, each at a port of this machine. */
async function startProxy(hosts: ReadonlyMap<string, number>) {
  const visits: string[] = []
  const visit = (url: string) => {
    const { hostname } = new URL(url)
    visits.push(hostname)
    return hosts.get(hostname)
  }
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '')
    const port = visit(url.href)
    if (port === undefined) return void response.writeHead(502).end()
    const path = `${url.pathname}${url.search}`
    const { method, headers } = incoming
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(outgoing)
  })
  server.on('connect', (incoming, client) => {
    const port = visit(`http://${incoming.url}`)
    if (port === undefined) return void client.destroy()
    const target = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      client.pipe(target).pipe(client)
    })
    target.on('error', () => client.destroy())
    client.on('error', () => target.destroy())
    client.on('close', () => target.destroy())
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    visited: (host: string) => visits.filter((one) => one === host).length,
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      server.closeAllConnections()
      await closed.promise
    },
  }
}
