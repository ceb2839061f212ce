/** What an operator sees first: what the cache is good for, and what it is configured to do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CONFIGURATION } from '../../src/admin/answers/configuration.ts'
import { OVERVIEW } from '../../src/admin/answers/overview.ts'
import { ARM, PreloadSite } from '../airgap/site.ts'
import { send } from '../support/http-client.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { startLarder } from '../support/larder.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { jsonOf } from './site.ts'

async function overview(site: PreloadSite) {
  // What has ended is counted a moment after its client has seen that.
  await site.app.metric('larder_requests_total')
  return OVERVIEW.parse(jsonOf(await send(site.app.adminUrl, '/api/v1/overview')))
}

test('of nothing there is no ratio, and what was pulled again is what was saved', async () => {
  const clock = new SkippingClock()
  await using site = await PreloadSite.start({ app: { clock } })
  const image = buildImage({ layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  const before = await overview(site)
  assert.equal(before.requests.total, 0)
  assert.deepEqual([before.requests.hitRatio, before.bytes.hitRatio], [undefined, undefined])
  assert.equal(before.version, '0.0.0-test')

  await site.pull('team/app', image, 'v1')
  const cold = await overview(site)
  assert.equal(cold.bytes.saved, cold.bytes.served - cold.bytes.fetched)
  assert.equal(cold.bytes.preloaded, 0)
  for (let i = 0; i < 3; i++) await site.pull('team/app', image, 'v1')
  assert.equal((await site.app.get('/v2/team/app/manifests/none?ns=reg.test')).status, 404)
  clock.skip(3_600_000)
  const { requests, bytes, storage, uptimeSeconds, startedAt } = await overview(site)
  const sum = Object.values(requests.byResult).reduce((total, count) => total + count, 0)
  assert.equal(requests.total, sum)
  assert.equal(requests.total, await site.app.metric('larder_requests_total'))
  assert.equal(bytes.served, await site.app.metric('larder_served_bytes_total'))
  assert.equal(bytes.fetched, await site.app.metric('larder_fetched_bytes_total'))
  const { hit = 0, miss = 0, negative = 0, error = 0 } = requests.byResult
  assert.equal(requests.hitRatio, (hit + negative) / (hit + miss + negative + error))
  assert.ok(requests.hitRatio > 0.6 && requests.hitRatio < 0.9)
  assert.ok(bytes.saved > 2 * 50_000)
  assert.equal(bytes.hitRatio, bytes.saved / bytes.served)
  assert.deepEqual([storage.tags, storage.manifests, storage.blobs], [1, 1, 3])
  assert.ok(uptimeSeconds >= 3_600 && startedAt <= clock.now() - 3_600_000)
})

test('it says how complete what is pinned is, and what a pinned image lacks', async () => {
  await using site = await PreloadSite.start()
  const amd = buildImage({ seed: 'amd' })
  const arm = buildImage({ seed: 'arm', platform: ARM })
  site.registry.add('team/app', amd, 'whole')
  site.registry.add('team/app', buildIndex([amd, arm]), 'part')
  await site.preload(['reg.test/team/app:whole'], { pin: true })
  await site.preload(['reg.test/team/app:part'], { platforms: ['linux/amd64'], pin: true })
  assert.equal((await overview(site)).pins.complete, 2, 'of the platform that it is pinned for')
  // By hand, and so with all its platforms.
  await site.post('/pins', { references: ['reg.test/team/app:part'] })
  const { pins } = await overview(site)
  assert.deepEqual(
    [pins.complete, pins.incomplete, pins.missingBytes],
    [1, 1, arm.manifest.bytes.length],
  )
})

test('what was preloaded is no loss, and saves what is pulled of it, over a restart too', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  await site.preload(['reg.test/team/app:v1'])
  const { bytes } = await overview(site)
  assert.ok(bytes.preloaded > 50_000)
  const { preloaded } = bytes
  assert.deepEqual(bytes, { served: 0, fetched: preloaded, preloaded, saved: 0 })
  await site.app.restart({}, async () => {})
  await site.pull('team/app', image, 'v1')
  const { bytes: pulled, last24Hours } = await overview(site)
  assert.ok(pulled.served > 50_000)
  assert.deepEqual([pulled.saved, pulled.hitRatio], [pulled.served, 1])
  assert.deepEqual(last24Hours.bytes, { ...pulled, fetched: preloaded, preloaded })
})

test('more fetched for pulls than served saves nothing, and is no less than nothing', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  const path = `/v2/team/app/blobs/${image.layers[0]?.digest}?ns=reg.test`
  assert.equal((await site.app.get(path, { headers: { Range: 'bytes=0-9' } })).status, 206)
  await site.app.until('larder_fetched_bytes_total', 50_000)
  const { bytes } = await overview(site)
  assert.deepEqual([bytes.served, bytes.saved, bytes.hitRatio], [10, 0, 0])
})

test('the configuration in effect is shown without secrets, with where each value comes from', async () => {
  const upstreams = (password: string, staleIfError: string) => [
    {
      name: 'reg.test',
      url: 'http://127.0.0.1:1',
      access: 'shared',
      staleIfError,
      credentials: [{ username: 'anna', password }],
    },
  ]
  await using larder = await startLarder({
    upstreams: upstreams('canary', '1d'),
    env: { LARDER__OFFLINE: 'true' },
  })
  const read = async () => {
    const { body } = await send(larder.adminUrl, '/api/v1/config')
    assert.ok(!body.includes('canary'))
    return CONFIGURATION.parse(JSON.parse(body.toString()))
  }
  const { config, origins } = await read()
  const [upstream] = config['upstreams'] as Record<string, unknown>[]
  assert.equal(config['offline'], true)
  assert.deepEqual(upstream?.['credentials'], [{ username: 'anna', password: '***' }])
  assert.equal(upstream?.['staleIfError'], '1d')
  assert.equal(origins['offline'], 'env')
  assert.equal(origins['upstreams.0.staleIfError'], 'file')
  assert.equal(origins['upstreams.0.staleGrant'], 'default')

  await larder.writeConfig({
    upstreams: upstreams('canary', '2d').map((one) => ({ ...one, staleGrant: '5m' })),
    env: {},
  })
  const headers = { 'Content-Type': 'application/json' }
  const reload = { method: 'POST', headers, body: '{}' }
  const { status, body } = await send(larder.adminUrl, '/api/v1/reload', reload)
  assert.equal(status, 200, body.toString())
  const later = await read()
  const [changed] = later.config['upstreams'] as Record<string, unknown>[]
  assert.equal(changed?.['staleIfError'], '2d')
  assert.equal(later.origins['upstreams.0.staleGrant'], 'file')
})
