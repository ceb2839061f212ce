import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ALWAYS, EXPIRED, IMPATIENT } from '../support/app.ts'
import { answer, type Fault, hangUp } from '../support/faults.ts'
import { send } from '../support/http-client.ts'
import { APP, codeOf, type Hub, startHub } from '../support/hub.ts'
import { buildImage } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'

/** As Docker Hub says it of its abuse limit. */
const HUB_LIMIT = { errors: [{ code: 'TOOMANYREQUESTS', message: 'too many' }] }
const THROTTLED = answer(429, { 'retry-after': '77' }, 'slow down')

test('51 a registry that limits requests is answered for from the cache, and then left alone', async () => {
  await using hub = await startHub({ upstream: { tags: EXPIRED } })
  await hub.app.get(`${APP}/manifests/v1`)
  hub.registry.forget()
  hub.registry.script({}, THROTTLED)
  for (let i = 0; i < 3; i++) assertStale(hub, await hub.app.get(`${APP}/manifests/v1`))
  assert.equal(hub.registry.countManifests('GET'), 0)
  assert.equal(hub.registry.count(), 1, 'it rests for as long as it asked for')
})

test('52 a registry that limits requests and nothing cached is 503 with Retry-After', async () => {
  await using hub = await startHub()
  hub.registry.script({}, THROTTLED)
  for (const path of ['manifests/v1', `blobs/${hub.blob.digest}`, 'tags/list']) {
    const got = await hub.app.get(`${APP}/${path}`)
    assert.equal(got.status, 503, path)
    assert.equal(codeOf(got), 'TOOMANYREQUESTS')
    const seconds = Number(got.headers['retry-after'])
    assert.ok(seconds > 70 && seconds <= 77, String(seconds))
  }
  assert.equal(hub.registry.count(), 1)
})

test('52 while a registry that limits requests rests, what is cached flows on and misses wait for nothing', async () => {
  for (const limit of [THROTTLED, answer(403, { 'retry-after': '77' }, HUB_LIMIT)]) {
    const clock = new SkippingClock()
    await using hub = await startHub({ upstream: { tags: ALWAYS }, app: { clock } })
    await pullAll(hub)
    hub.registry.forget()
    hub.registry.script({}, limit)
    const absent = `${APP}/manifests/absent`
    assert.equal((await hub.app.get(absent)).status, 503)
    assert.equal(hub.registry.count(), 1)
    await pullAll(hub)
    assertStale(hub, await hub.app.get(`${APP}/manifests/v1`))
    const refused = await hub.app.get(absent)
    assert.equal(refused.status, 503)
    assert.match(String(refused.headers['retry-after']), /^7[67]$/)
    assert.equal(hub.registry.count(), 1, 'it rests')
    hub.registry.clearScripts()
    clock.skip(77_000)
    assert.equal((await hub.app.get(absent)).status, 404)
    assert.equal(hub.registry.count(), 2)
    assert.equal(await hub.app.metric('larder_upstream_up'), 1, 'a limit is no failure')
  }
})

const FAILURES: readonly (readonly [string, Fault, number])[] = [
  ['500', answer(500), 502],
  ['502', answer(502), 502],
  ['503', answer(503), 502],
  ['504', answer(504), 502],
  ['418', answer(418), 502],
  ['nothing', hangUp('fin'), 502],
  ['a reset', hangUp('rst'), 502],
]

for (const [what, fault, status] of FAILURES) {
  test(`53 a registry that answers ${what} and nothing cached is ${status}, with a reason`, async () => {
    await using hub = await startHub({ upstream: { limits: IMPATIENT } })
    hub.registry.script({}, fault)
    await assertFails(hub, status)
  })
}

test('53 a registry that does not answer is 504 within its time', async () => {
  const limits = { ...IMPATIENT, headersTimeoutMs: 100 }
  await using hub = await startHub({ upstream: { limits } })
  const barrier = hub.registry.hold({})
  const got = await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(got.status, 504)
  assert.equal(codeOf(got), 'UPSTREAM_FAILED')
  assert.equal((await hub.app.head(`${APP}/blobs/${hub.blob.digest}`)).status, 504)
  barrier.release()
})

test('53 a registry that is not there is 502, and one that comes back is used', async () => {
  const clock = new SkippingClock()
  await using hub = await startHub({ upstream: { limits: IMPATIENT }, app: { clock } })
  const { port } = hub.registry
  await hub.registry.close()
  await assertFails(hub, 502)
  await hub.registry.start(port)
  clock.skip(10_000)
  assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 200)
})

test('53 once a registry has failed repeatedly it is not asked, and a miss fails at once', async () => {
  const limits = { connectTimeoutMs: 100, headersTimeoutMs: 400 }
  await using hub = await startHub({ upstream: { tags: EXPIRED, limits } })
  await hub.app.get(`${APP}/manifests/v1`)
  const barrier = hub.registry.hold({})
  const names = ['a', 'b', 'c', 'd', 'e']
  const early = await Promise.all(names.map((name) => hub.app.get(`${APP}/manifests/${name}`)))
  assert.deepEqual(new Set(early.map(({ status }) => status)), new Set([504]))
  hub.registry.forget()
  const startedAt = performance.now()
  for (const path of ['manifests/f', `blobs/${hub.blob.digest}`]) {
    const got = await hub.app.get(`${APP}/${path}`)
    assert.equal(got.status, 502, path)
    assert.match(got.body.toString(), /has failed repeatedly and is not asked for (?:9|10) s/)
  }
  assertStale(hub, await hub.app.get(`${APP}/manifests/v1`))
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < 400, `three answers took ${tookMs} ms`)
  assert.equal(hub.registry.count(), 0)
  const of = (state: string) => hub.app.metric('larder_upstream_circuit_state', { state })
  assert.deepEqual([await of('closed'), await of('open'), await of('half_open')], [0, 1, 0])
  assert.equal(await hub.app.metric('larder_upstream_up'), 0)
  const changes = hub.app.logs.filter(({ state }) => state !== undefined)
  assert.deepEqual(
    changes.map(({ state, upstream, openMs }) => [state, upstream, openMs]),
    [['open', 'docker.io', 10_000]],
  )
  barrier.release()
})

test('54 an expired tag of a registry that is down is served stale, and by digest as ever', async () => {
  for (const fault of [answer(500), answer(503), hangUp('rst')]) {
    await using hub = await startHub({ upstream: { tags: ALWAYS, limits: IMPATIENT } })
    await pullAll(hub)
    hub.registry.script({}, fault)
    assertStale(hub, await hub.app.get(`${APP}/manifests/v1`))
    const head = await hub.app.head(`${APP}/manifests/v1`)
    assert.equal(head.status, 200)
    const { digest, bytes } = hub.image.manifest
    assert.deepEqual((await hub.app.get(`${APP}/manifests/${digest}`)).body, bytes)
    const blob = await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
    assert.equal(blob.headers['cache-status'], 'larder; hit')
  }
})

test('54 a tag older than staleIfError is not served for a registry that is down', async () => {
  const clock = new SkippingClock()
  const upstream = { tags: ALWAYS, limits: IMPATIENT, staleIfErrorMs: 60_000 }
  await using hub = await startHub({ upstream, app: { clock } })
  await hub.app.get(`${APP}/manifests/v1`)
  hub.registry.script({}, answer(503))
  clock.skip(59_000)
  const stale = await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(stale.status, 200)
  assert.equal(stale.headers['age'], '59')
  clock.skip(2_000)
  assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 502)
})

test('54 what the registry says no to is not served stale under Always, but is by digest', async () => {
  for (const [fault, status, code] of [
    [answer(404), 404, 'MANIFEST_UNKNOWN'],
    [answer(403), 403, 'DENIED'],
  ] as const) {
    await using hub = await startHub({ upstream: { tags: ALWAYS } })
    await pullAll(hub)
    hub.registry.script({}, fault)
    const got = await hub.app.get(`${APP}/manifests/v1`)
    assert.equal(got.status, status)
    assert.equal(codeOf(got), code)
    assert.equal((await hub.app.get(`${APP}/manifests/${hub.index.manifest.digest}`)).status, 200)
    assert.equal((await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)).status, 200)
  }
})

test('55 what an offline cache does not have is 504 that says so, and nobody is asked', async () => {
  await using hub = await startHub({ app: { offline: true } })
  const paths = ['manifests/v1', `manifests/${hub.index.manifest.digest}`, 'tags/list']
  for (const path of [...paths, `blobs/${hub.blob.digest}`, `referrers/${hub.blob.digest}`]) {
    const got = await hub.app.get(`${APP}/${path}`)
    assert.equal(got.status, 504, path)
    const [error] = (JSON.parse(got.body.toString()) as { errors: { detail: object }[] }).errors
    assert.deepEqual(error?.detail, { offline: true })
    assert.equal((await hub.app.head(`${APP}/${path}`)).status, 504, path)
  }
  assert.equal(hub.registry.openConnections, 0)
})

test('55 a repository whose every tag is under Never is offline, its digests, blobs and lists too', async () => {
  const [rule] = ALWAYS
  assert.ok(rule)
  const tags = [{ ...rule, repository: 'library/app', pullPolicy: 'Never' } as const, ...ALWAYS]
  await using hub = await startHub({ upstream: { tags } })
  const { registry, app } = hub
  const paths = ['manifests/v1', `manifests/${hub.index.manifest.digest}`, 'tags/list']
  for (const path of [...paths, `blobs/${hub.blob.digest}`, `referrers/${hub.blob.digest}`]) {
    const got = await app.get(`${APP}/${path}`)
    assert.equal(got.status, 504, path)
    assert.match(got.body.toString(), /"offline":true/)
  }
  assert.equal(registry.count(), 0)
  registry.add('library/other', hub.image, 'v1')
  assert.equal((await app.get('/v2/library/other/manifests/v1')).status, 200, 'others are asked')
})

test('51 a tag that is here does not wait for a registry that asks for a short rest', async () => {
  await using hub = await startHub({ upstream: { tags: ALWAYS, access: 'shared' } })
  await hub.app.get(`${APP}/manifests/v1`)
  hub.registry.script({}, answer(429, { 'retry-after': '5' }))
  const startedAt = performance.now()
  for (let i = 0; i < 2; i++) {
    const got = await hub.app.get(`${APP}/manifests/v1`)
    assert.equal(got.status, 200)
    assert.match(String(got.headers['cache-status']), /fwd=stale/)
  }
  assert.ok(performance.now() - startedAt < 4_000, 'nothing waited for the rest to end')
})

test('56 an offline cache serves all of an image that was pulled before', async () => {
  await using hub = await startHub({ upstream: { tags: ALWAYS } })
  await pullAll(hub)
  hub.registry.forget()
  await hub.app.restart({ offline: true })
  assert.equal((await hub.app.head(`${APP}/manifests/v1?ns=docker.io`)).status, 200)
  await pullAll(hub)
  const range = await hub.app.get(`${APP}/blobs/${hub.blob.digest}`, { range: 'bytes=1-2' })
  assert.equal(range.status, 206)
  const tags = await hub.app.get(`${APP}/tags/list`)
  assert.equal(tags.status, 200)
  assert.equal(hub.registry.count(), 0)
})

test('57 a tag that has moved costs one HEAD and one GET, and its old digest stays', async () => {
  await using hub = await startHub({ upstream: { tags: EXPIRED } })
  await hub.app.get(`${APP}/manifests/v1`)
  const moved = buildImage({ seed: 'moved' })
  hub.registry.add('library/app', moved, 'v1')
  hub.registry.forget()
  const got = await hub.app.get(`${APP}/manifests/v1`)
  assert.deepEqual(got.body, moved.manifest.bytes)
  const asked = hub.registry.requests.map(({ method, path }) => `${method} ${path}`)
  assert.deepEqual(asked, [
    `HEAD ${APP}/manifests/v1`,
    `GET ${APP}/manifests/${moved.manifest.digest}`,
  ])
  const old = await hub.app.get(`${APP}/manifests/${hub.index.manifest.digest}`)
  assert.deepEqual(old.body, hub.index.manifest.bytes)
  assert.equal(hub.registry.count(), 2)
})

test('57 a tag that has not moved costs one HEAD, however many ask at once', async () => {
  await using hub = await startHub({ upstream: { tags: ALWAYS } })
  await hub.app.get(`${APP}/manifests/v1`)
  hub.registry.forget()
  const once = await hub.app.get(`${APP}/manifests/v1`)
  assert.match(String(once.headers['cache-status']), /revalidated/)
  assert.equal(once.headers['age'], '0')
  const held = hub.registry.hold({ method: 'HEAD' })
  const pulls = Array.from({ length: 10 }, () => hub.app.get(`${APP}/manifests/v1`))
  await held.arrived()
  await hub.app.until('larder_http_requests_in_flight', 10)
  held.release()
  for (const { status } of await Promise.all(pulls)) assert.equal(status, 200)
  assert.deepEqual(
    hub.registry.requests.map(({ method }) => method),
    ['HEAD', 'HEAD'],
  )
})

test('57 a registry that gives no digest to HEAD is asked with GET', async () => {
  await using hub = await startHub({ upstream: { tags: ALWAYS } })
  await hub.app.get(`${APP}/manifests/v1`)
  hub.registry.script({ method: 'HEAD' }, answer(405))
  assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 200)
  const moved = buildImage({ seed: 'moved' })
  hub.registry.add('library/app', moved, 'v1')
  assert.deepEqual((await hub.app.get(`${APP}/manifests/v1`)).body, moved.manifest.bytes)
})

test('58 a fresh tag costs nothing, until it is too old', async () => {
  const clock = new SkippingClock()
  // What is shared is for everyone: that a repository is still public is another question.
  await using hub = await startHub({ upstream: { access: 'shared' }, app: { clock } })
  await hub.app.get(`${APP}/manifests/v1`)
  clock.skip(3_599_000)
  for (const ask of [hub.app.get, hub.app.head]) {
    const got = await ask(`${APP}/manifests/v1`)
    assert.match(String(got.headers['cache-status']), /^larder; hit/)
    assert.equal(got.headers['age'], '3599')
  }
  assert.equal(hub.registry.count(), 1)
  clock.skip(2_000)
  await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(hub.registry.count({ method: 'HEAD' }), 1)
})

test('58 what is fresh is so after a restart, too', async () => {
  await using hub = await startHub()
  await pullAll(hub)
  hub.registry.forget()
  await hub.app.restart()
  await pullAll(hub)
  assert.equal(hub.registry.count(), 0)
})

test('86 what the registry says of its quota is in the metrics and not in the answer', async () => {
  await using hub = await startHub()
  hub.registry.rateLimit = { limit: 100, remaining: 76, windowSeconds: 21_600 }
  const got = await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(got.headers['ratelimit-remaining'], undefined)
  const upstream = 'docker.io'
  assert.equal(await hub.app.metric('larder_upstream_ratelimit_limit', { upstream }), 100)
  assert.equal(await hub.app.metric('larder_upstream_ratelimit_remaining', { upstream }), 75)
  assert.equal(await hub.app.metric('larder_upstream_ratelimit_window_seconds'), 21_600)
})

test('86 what is left of a quota, and how the registry is, is in the admin API', async () => {
  await using hub = await startHub({ upstream: { limits: IMPATIENT } })
  hub.registry.rateLimit = { limit: 100, remaining: 76, windowSeconds: 21_600 }
  await hub.app.get(`${APP}/manifests/v1`)
  const read = async () => {
    const { body } = await send(hub.app.adminUrl, '/api/v1/upstreams')
    return JSON.parse(body.toString()).upstreams[0]
  }
  const { name, circuit, rateLimit } = await read()
  assert.deepEqual([name, circuit], ['docker.io', 'closed'])
  assert.deepEqual(rateLimit, { limit: 100, remaining: 75, windowSeconds: 21_600 })
  hub.registry.script({}, hangUp())
  for (let i = 0; i < 5; i++) await hub.app.get(`${APP}/manifests/absent${i}`)
  assert.equal((await read()).circuit, 'open')
})

test('86 what the registry said of its quota is forgotten when its window has passed', async () => {
  const clock = new SkippingClock()
  await using hub = await startHub({ app: { clock } })
  hub.registry.rateLimit = { limit: 100, remaining: 3, windowSeconds: 3_600 }
  await hub.app.get(`${APP}/manifests/v1`)
  const gauges = async () => {
    const samples = await hub.app.samples()
    return samples.filter(({ name }) => name.startsWith('larder_upstream_ratelimit_')).length
  }
  clock.skip(3_500_000)
  assert.equal(await gauges(), 3)
  clock.skip(100_000)
  assert.equal(await gauges(), 0)
  await hub.app.get(`${APP}/manifests/docker`)
  assert.equal(await gauges(), 3)
})

async function pullAll({ app, index, image, blob }: Hub): Promise<void> {
  for (const path of [
    'manifests/v1',
    `manifests/${index.manifest.digest}`,
    `manifests/${image.manifest.digest}`,
    `blobs/${image.config.digest}`,
    `blobs/${blob.digest}`,
  ]) {
    assert.equal((await app.get(`${APP}/${path}`)).status, 200, path)
  }
}

function assertStale(hub: Hub, got: Awaited<ReturnType<Hub['app']['get']>>): void {
  assert.equal(got.status, 200)
  assert.deepEqual(got.body, hub.index.manifest.bytes)
  assert.match(
    String(got.headers['cache-status']),
    /^larder; fwd=stale; ttl=-\d+; detail=stale-if-error$/,
  )
  assert.match(String(got.headers['warning']), /^299 - "[ -~]+"$/)
}

/** Before the first byte, never 404, and with a reason that names no address. */
async function assertFails({ app, blob, registry }: Hub, status: number): Promise<void> {
  for (const path of ['manifests/v1', `blobs/${blob.digest}`, 'tags/list']) {
    const got = await app.get(`${APP}/${path}`)
    assert.equal(got.status, status, path)
    assert.equal(codeOf(got), 'UPSTREAM_FAILED')
    assert.doesNotMatch(got.body.toString(), /127\.0\.0\.1|http:|at .*\.ts/)
    assert.equal((await app.head(`${APP}/${path}`)).status, status, path)
  }
  registry.forget()
}
