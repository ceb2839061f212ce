/** How each registry is, whether it can be reached, and one that an operator does not trust. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { UPSTREAM, UPSTREAMS, WALK } from '../../src/admin/answers/upstreams.ts'
import { PreloadSite } from '../airgap/site.ts'
import { EXPIRED, IMPATIENT } from '../support/app.ts'
import { answer, hangUp } from '../support/faults.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { jsonOf } from './site.ts'

const V1 = '/v2/team/app/manifests/v1?ns=reg.test'

async function upstream({ app }: PreloadSite) {
  const { upstreams } = UPSTREAMS.parse(jsonOf(await send(app.adminUrl, '/api/v1/upstreams')))
  const [one] = upstreams
  assert.ok(one)
  return one
}

async function change(site: PreloadSite, what: string, body: object = {}) {
  const answer = await site.post(`/upstreams/reg.test/${what}`, body)
  assert.equal(answer.status, 200, answer.body.toString())
  return jsonOf(answer)
}

async function readiness({ app }: PreloadSite) {
  const { status, body } = await send(app.adminUrl, '/readyz?verbose')
  const { checks } = JSON.parse(body.toString()) as { checks: { name: string; status: string }[] }
  return [status, checks.find(({ name }) => name === 'upstreams')?.status]
}

test('a blocked registry is not asked: what is here is served, the rest fails at once', async () => {
  await using site = await PreloadSite.start({ upstream: { tags: EXPIRED } })
  const image = buildImage({ layers: [5_000] })
  site.registry.add('team/app', image, 'v1')
  await site.pull('team/app', image, 'v1')
  const before = UPSTREAM.parse(await change(site, 'block', { reason: 'it lies' }))
  assert.equal(before.blocked?.reason, 'it lies')
  const asked = site.registry.requests.length
  await site.pull('team/app', image, 'v1')
  const miss = await site.app.get('/v2/team/app/manifests/v2?ns=reg.test')
  assert.equal(miss.status, 504)
  assert.match(miss.body.toString(), /not in this cache, and an operator has blocked its registry/)
  assert.match(miss.body.toString(), /"offline":true/)
  const { done } = await site.preload(['reg.test/team/app:v3'])
  assert.equal(done.images.failed, 1)
  assert.equal(site.registry.requests.length, asked, 'nothing was asked of it')
  assert.deepEqual(await readiness(site), [200, 'blocked by an operator, and not asked: reg.test'])
  assert.equal(await site.app.metric('larder_upstream_blocked', { upstream: 'reg.test' }), 1)
  const overview = jsonOf(await send(site.app.adminUrl, '/api/v1/overview')) as {
    warnings: string[]
  }
  assert.deepEqual(overview.warnings, ['blocked by an operator, and not asked: reg.test'])

  await site.app.restart()
  await site.app.reload({
    upstreams: [{ name: 'reg.test', url: site.registry.origin, limits: { connections: 3 } }],
  })
  assert.equal((await site.app.get('/v2/team/app/manifests/v2?ns=reg.test')).status, 504)
  assert.equal((await upstream(site)).blocked?.at, before.blocked?.at)
  assert.equal(site.registry.requests.length, asked, 'neither a restart nor a reload ends it')

  const after = UPSTREAM.parse(await change(site, 'unblock'))
  assert.equal(after.blocked, undefined)
  assert.equal((await site.app.get('/v2/team/app/manifests/v2?ns=reg.test')).status, 404)
  assert.ok(site.registry.requests.length > asked)
  assert.deepEqual(await readiness(site), [200, 'ok'])
  assert.equal(await site.app.metric('larder_upstream_blocked', { upstream: 'reg.test' }), 0)
  await site.app.restart()
  assert.equal((await upstream(site)).blocked, undefined)
})

test('nothing is passed through to a blocked registry either', async () => {
  await using site = await PreloadSite.start({ upstream: { writes: 'passthrough' } })
  await change(site, 'block')
  const asked = site.registry.requests.length
  const push = await site.app.get('/v2/team/app/blobs/uploads/?ns=reg.test', { method: 'POST' })
  assert.ok(push.status >= 500, `${push.status}`)
  assert.equal(site.registry.requests.length, asked)
})

test('what says which are blocked and cannot be read is said, and stops no start', async () => {
  await using site = await PreloadSite.start()
  const file = join(site.app.dataDir, 'blocked.json')
  await change(site, 'block', {})
  assert.match(await readFile(file, 'utf8'), /"reg\.test"/)
  await site.app.restart({}, () => writeFile(file, '{"blocked":'))
  assert.equal((await upstream(site)).blocked, undefined)
  const [line] = site.app.logs.filter(({ file }) => file === 'blocked.json')
  assert.match(String(line?.['msg']), /cannot be read: none is/)
})

test('a block that the disk refuses is in effect, and says that it will not last', async () => {
  await using site = await PreloadSite.start()
  // A folder in its place: no file can take that name.
  await mkdir(join(site.app.dataDir, 'blocked.json'))
  const refused = await site.post('/upstreams/reg.test/block', {})
  assert.equal(refused.status, 507)
  assert.match(refused.body.toString(), /it is blocked until Larder is restarted/)
  assert.ok((await upstream(site)).blocked)
})

test('an operator sees errors, latency and traffic of a registry', async () => {
  await using site = await PreloadSite.start({ upstream: { limits: IMPATIENT } })
  const image = buildImage({ layers: [5_000] })
  site.registry.add('team/app', image, 'v1')
  const fresh = await upstream(site)
  assert.deepEqual(fresh.requests, { total: 0, failed: 0 })
  assert.deepEqual([fresh.latencyMs, fresh.lastSuccessAt], [undefined, undefined])
  await site.pull('team/app', image, 'v1')
  site.registry.script({ path: /manifests\/broken/ }, answer(503))
  await site.app.get('/v2/team/app/manifests/broken?ns=reg.test')
  site.registry.script({ path: /manifests\/gone/ }, hangUp('rst'))
  await site.app.get('/v2/team/app/manifests/gone?ns=reg.test')
  await site.app.metric('larder_requests_total')
  const { requests, latencyMs, recentErrors, traffic, up, lastSuccessAt } = await upstream(site)
  assert.equal(requests.total, await site.app.metric('larder_upstream_requests_total'))
  const refused = await site.app.metric('larder_upstream_requests_total', { code: '503' })
  const cut = await site.app.metric('larder_upstream_requests_total', { code: '0' })
  assert.ok(refused > 0 && cut > 0)
  assert.equal(requests.failed, refused + cut)
  assert.ok(latencyMs && latencyMs.p50 <= latencyMs.p95)
  assert.ok(lastSuccessAt !== undefined)
  const [last, first] = recentErrors
  assert.deepEqual([first?.reason, last?.reason], ['http_5xx', 'reset'])
  const errors = await site.app.metric('larder_upstream_errors_total', { reason: 'http_5xx' })
  assert.equal(first?.count, errors)
  assert.equal(up, true)
  assert.equal(traffic.requests.total, await site.app.metric('larder_requests_total'))
  assert.equal(traffic.bytes.served, await site.app.metric('larder_served_bytes_total'))
})

test('the way to a registry is walked from here, blocked or not, to the step where it ends', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', buildImage(), 'v1')
  const whole = WALK.parse(await change(site, 'test', { image: 'team/app:v1' }))
  assert.ok(whole.ok)
  assert.equal(whole.steps.at(-1)?.step, 'manifest')
  await change(site, 'block')
  const none = WALK.parse(await change(site, 'test', { image: 'reg.test/team/none:v1' }))
  assert.deepEqual(
    [none.ok, none.steps.at(-1)?.step, none.steps.at(-1)?.ok],
    [false, 'manifest', false],
  )
  const origin = WALK.parse(await change(site, 'test'))
  assert.ok(origin.ok && origin.steps.every(({ step }) => step !== 'manifest'))
  for (const [path, body, status] of [
    ['/upstreams/none/test', {}, 404],
    ['/upstreams/none/block', {}, 404],
    ['/upstreams/none/unblock', {}, 404],
    ['/upstreams/reg.test/test', { image: 'not an image' }, 400],
    ['/upstreams/reg.test/block', { reason: 'two\nlines' }, 400],
    ['/upstreams/reg.test/unblock', { reason: 'x' }, 400],
  ] as const) {
    assert.equal((await site.post(path, body)).status, status, path)
  }
  const [line] = site.app.logs.filter(({ action }) => action === 'block upstream')
  assert.deepEqual(line?.['parameters'], { upstream: 'reg.test' })
  assert.equal((await site.app.get(V1)).status, 504)
})
