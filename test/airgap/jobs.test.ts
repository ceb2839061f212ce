import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { PreloadJob } from '../../src/config/config.ts'
import { TestClock } from '../access/clock.ts'
import { EXPIRED } from '../support/app.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { PreloadSite, preloadedOf } from './site.ts'

const V1 = 'reg.test/team/app:v1'
const V2 = 'reg.test/team/app:v2'

const BASE: PreloadJob = {
  name: 'base',
  sources: [V1, V2],
  schedule: undefined,
  platforms: [],
  pin: true,
}

async function start(job: Partial<PreloadJob> = {}): Promise<PreloadSite> {
  const app = { preload: [{ ...BASE, ...job }] }
  const site = await PreloadSite.start({ app, upstream: { tags: EXPIRED } })
  for (const tag of ['v1', 'v2']) site.registry.add('team/app', buildImage({ seed: tag }), tag)
  return site
}

async function run(site: PreloadSite, more: object = {}) {
  return preloadedOf(await site.lines('/preload', { job: 'base', ...more }))
}

async function pins(site: PreloadSite) {
  const { body } = await send(site.app.adminUrl, '/api/v1/pins')
  const { pins } = JSON.parse(body.toString()) as {
    pins: { name: string; owner: string; digest: string }[]
  }
  return pins.map(({ name, owner, digest }) => [name, owner, digest])
}

const digestOf = (seed: string) => buildImage({ seed }).manifest.digest

test('a job is run when asked, pins what it names as its own, and follows its tags', async () => {
  await using site = await start()
  const { done } = await run(site)
  assert.deepEqual(done.images, { done: 2, unchanged: 0, failed: 0 })
  assert.deepEqual(await pins(site), [
    [V1, 'base', digestOf('v1')],
    [V2, 'base', digestOf('v2')],
  ])
  site.registry.add('team/app', buildImage({ seed: 'moved' }), 'v1')
  await run(site)
  assert.deepEqual((await pins(site))[0], [V1, 'base', digestOf('moved')])
})

test('what its list no longer names is unpinned, once all of it was had', async () => {
  await using site = await start()
  await run(site)
  await site.preload([V2], { pin: true })
  site.registry.content.deleteManifest('team/app', 'v1')
  await site.app.reload({ preload: [{ ...BASE, sources: [V1, 'reg.test/team/app:none'] }] })
  assert.equal((await run(site)).done.images.failed, 1)
  assert.equal((await pins(site)).length, 3)
  await site.app.reload({ preload: [{ ...BASE, sources: [V1] }] })
  assert.deepEqual((await run(site)).done.failed, [])
  // That of the operator stays.
  assert.deepEqual(await pins(site), [
    [V1, 'base', digestOf('v1')],
    [V2, 'manual', digestOf('v2')],
  ])
})

test('a dry run of a job pins nothing, and unpins nothing', async () => {
  await using site = await start()
  await run(site)
  await site.app.reload({ preload: [{ ...BASE, sources: [V1] }] })
  await run(site, { dryRun: true })
  assert.equal((await pins(site)).length, 2)
})

test('a scheduled job is run at its time, logged and measured; a reload takes the others over', async () => {
  const clock = new TestClock()
  await using site = await PreloadSite.start({
    app: { clock, preload: [{ ...BASE, schedule: '* * * * * *' }] },
  })
  for (const tag of ['v1', 'v2']) site.registry.add('team/app', buildImage({ seed: tag }), tag)
  const labels = { preload: 'base' }
  clock.advance(2_000)
  await site.app.until('larder_preload_last_success_timestamp_seconds', 1, labels)
  const ended = await site.app.said(({ msg }) => msg === 'preload job ended')
  assert.deepEqual([ended['job'], ended['done'], ended['failed']], ['base', 2, 0])
  assert.equal((await pins(site)).length, 2)
  await site.app.reload({ preload: [] })
  const samples = await site.app.samples()
  assert.ok(samples.every(({ labels }) => labels['preload'] === undefined))
  const refused = await site.post('/preload', { job: 'base' })
  assert.equal(refused.status, 404)
  assert.match(refused.body.toString(), /has no preload job base; it has none/)
})

test('what a job cannot get is logged with its reason', async () => {
  await using site = await start({ sources: ['reg.test/team/app:none'] })
  await run(site)
  const line = site.app.logs.find(({ msg }) => msg === 'preload job: an image could not be had')
  assert.deepEqual(
    [line?.['job'], line?.['image'], line?.['code']],
    ['base', 'reg.test/team/app:none', 'MANIFEST_UNKNOWN'],
  )
  assert.equal(await site.app.metric('larder_preload_failed_images', { preload: 'base' }), 1)
})
