import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'

import { referrersTag } from '../../src/oci/reference.ts'
import { Barrier } from '../support/barrier.ts'
import { answer, hold, stall } from '../support/faults.ts'
import { buildArtifact, buildImage, type Image, seededBytes } from '../support/images.ts'
import { attestedIndex, PreloadSite } from './site.ts'

const MIB = 1024 * 1024
const APP = 'reg.test/team/app:v1'

/** Its config, or a layer. */
function layerOf({ layers }: Image, index = 0) {
  const layer = layers[index]
  assert.ok(layer)
  return layer.digest
}

test('an index comes with all its platforms and attestations, and is then served offline', async () => {
  await using site = await PreloadSite.start()
  const { index } = attestedIndex('app')
  site.registry.add('team/app', index, 'v1')
  const { images, done } = await site.preload([APP])
  const bytes = [...index.blobs.values(), index.manifest.bytes]
  const children = index.children.map(({ manifest }) => manifest.bytes)
  const total = [...bytes, ...children].reduce((sum, { length }) => sum + length, 0)
  assert.deepEqual(done.images, { done: 1, unchanged: 0, failed: 0 })
  assert.deepEqual(done.bytes, { fetched: total, here: 0 })
  const { state, digest, bytes: size, fetchedBytes } = images.get(APP) ?? {}
  assert.deepEqual(
    { state, digest, size, fetchedBytes },
    { state: 'done', digest: index.manifest.digest, size: total, fetchedBytes: total },
  )
  await site.app.restart({ offline: true })
  await site.registry.close()
  await site.pull('team/app', index, 'v1')
})

test('of an index only the chosen platforms come, with the statements about them', async () => {
  await using site = await PreloadSite.start()
  const { index, amd, arm, ofAmd, ofArm } = attestedIndex('app')
  site.registry.add('team/app', index, 'v1')
  await site.preload([APP], { platforms: ['linux/arm64'] })
  const { countManifests, countBlobs } = site.registry
  const fetched = (image: Image) => [
    countManifests.call(site.registry, 'GET', image.manifest.digest),
    countBlobs.call(site.registry, layerOf(image)),
  ]
  assert.deepEqual([arm, ofArm, amd, ofAmd].map(fetched), [
    [1, 1],
    [1, 1],
    [0, 0],
    [0, 0],
  ])
})

test('without a choice those of the upstream come', async () => {
  await using site = await PreloadSite.start({ upstream: { platforms: ['linux/amd64'] } })
  const { index, amd, arm } = attestedIndex('app')
  site.registry.add('team/app', index, 'v1')
  await site.preload([APP])
  assert.equal(site.registry.countBlobs(layerOf(amd)), 1)
  assert.equal(site.registry.countBlobs(layerOf(arm)), 0)
})

test('an index that has none of the chosen platforms is no success', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', attestedIndex('app').index, 'v1')
  const { done } = await site.preload([APP], { platforms: ['linux/s390x'] })
  const [failed] = done.failed
  assert.equal(failed?.code, 'NO_PLATFORM')
  assert.match(failed?.message ?? '', /not for linux\/s390x, but for linux\/amd64, linux\/arm64/)
})

test('the same again asks the registry for nothing', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', attestedIndex('app').index, 'v1')
  const first = await site.preload([APP])
  const before = site.gets
  const second = await site.preload([APP])
  assert.equal(site.gets, before)
  assert.equal(second.images.get(APP)?.state, 'unchanged')
  assert.deepEqual(second.done.images, { done: 0, unchanged: 1, failed: 0 })
  assert.deepEqual(second.done.bytes, { fetched: 0, here: first.done.bytes.fetched })
})

test('what 20 images share is fetched once, and images that are written differently are one', async () => {
  await using site = await PreloadSite.start()
  const shared = seededBytes('shared', MIB)
  const names = Array.from({ length: 20 }, (_, index) => {
    site.registry.add('team/app', buildImage({ seed: index, layers: [shared, 512] }), `v${index}`)
    return `reg.test/team/app:v${index}`
  })
  const digest = layerOf(buildImage({ layers: [shared] }))
  const { done } = await site.preload([...names, ...names])
  assert.deepEqual(done.images, { done: 20, unchanged: 0, failed: 0 })
  assert.equal(site.registry.countBlobs(digest), 1)
  // A manifest, a config and a layer of each, and what they share.
  assert.equal(site.gets, 61)
})

test('bytes are counted as those of a preload, and nothing as a pull', async () => {
  await using site = await PreloadSite.start()
  const { index } = attestedIndex('app')
  site.registry.add('team/app', index, 'v1')
  const { done } = await site.preload([APP])
  const fetched = (reason: string) => site.app.metric('larder_fetched_bytes_total', { reason })
  assert.equal(await fetched('preload'), done.bytes.fetched)
  assert.equal(await fetched('pull'), 0)
  assert.equal(await site.app.metric('larder_requests_total'), 0)
})

test('with referrers come signatures of the API and of cosign tags, and what those list', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ seed: 'signed' })
  const subject = image.descriptor
  const sbom = buildArtifact({ artifactType: 'application/spdx+json', seed: 'sbom', subject })
  const signature = buildImage({ seed: 'signature' })
  site.registry.add('team/app', image, 'v1')
  site.registry.add('team/app', sbom)
  site.registry.add('team/app', signature, `${referrersTag(image.manifest.digest)}.sig`)
  const plain = await site.preload([APP])
  assert.equal(plain.done.images.done, 1)
  assert.equal(site.registry.countBlobs(layerOf(signature)), 0)
  const { done } = await site.preload([APP], { referrers: true })
  assert.deepEqual(done.failed, [])
  for (const one of [sbom, signature]) assert.equal(site.registry.countBlobs(layerOf(one)), 1)
  const again = await site.preload([APP], { referrers: true })
  assert.equal(again.images.get(APP)?.state, 'unchanged')
  const checked = await site.check([APP], { referrers: true })
  assert.equal(checked.done.complete, 1)
  await site.lose(layerOf(sbom))
  const [lacking] = (await site.check([APP], { referrers: true })).images
  assert.deepEqual(
    lacking?.missing.map(({ digest }) => digest),
    [layerOf(sbom)],
  )
})

test('what one image lacks is said, and the others come', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', attestedIndex('app').index, 'v1')
  const broken = buildImage({ seed: 'broken', layers: [64, 65] })
  site.registry.add('team/broken', broken, 'v1')
  site.registry.content.deleteBlob('team/broken', layerOf(broken))
  const names = [
    APP,
    'reg.test/team/broken:v1',
    'reg.test/team/app:none',
    'elsewhere.test/a/b:v1',
    'NOT AN IMAGE',
  ]
  const { done } = await site.preload(names)
  assert.deepEqual(done.images, { done: 1, unchanged: 0, failed: 4 })
  const said = Object.fromEntries(
    done.failed.map(({ image, code, message }) => [image, [code, message]]),
  )
  assert.equal(said['reg.test/team/broken:v1']?.[0], 'BLOB_UNKNOWN')
  assert.equal(said['reg.test/team/app:none']?.[0], 'MANIFEST_UNKNOWN')
  assert.match(said['elsewhere.test/a/b:v1']?.[1] ?? '', /no upstream is configured for elsewhere/)
  assert.ok(said['NOT AN IMAGE'])
  // The rest of it is here all the same.
  assert.equal(site.registry.countBlobs(layerOf(broken, 1)), 1)
})

test('a dry run tells what it would be, and fetches no blob', async () => {
  await using site = await PreloadSite.start()
  const shared = seededBytes('shared', 4096)
  const [one, two] = ['one', 'two'].map((seed) => buildImage({ seed, layers: [shared, 512] }))
  assert.ok(one && two)
  site.registry.add('team/app', one, 'one')
  site.registry.add('team/app', two, 'two')
  const names = ['reg.test/team/app:one', 'reg.test/team/app:two']
  await site.preload(names.slice(0, 1))
  const before = site.registry.countBlobs()
  const { done, images } = await site.preload(names, { dryRun: true })
  assert.equal(site.registry.countBlobs(), before)
  const [, config] = two.layers
  assert.ok(config)
  const own = two.manifest.bytes.length + two.config.size + 512
  assert.equal(done.bytes.fetched, own)
  assert.equal(images.get('reg.test/team/app:two')?.fetchedBytes, own)
  assert.equal(images.get('reg.test/team/app:one')?.state, 'unchanged')
})

test('a registry that has to rest, or fails, is asked again', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ seed: 'late' })
  site.registry.add('team/app', image, 'v1')
  const busy = answer(503, { 'retry-after': '1' })
  const blob = { path: new RegExp(`/blobs/${layerOf(image)}`) }
  site.registry.script(blob, busy, { times: 2 })
  const { done } = await site.preload([APP])
  assert.deepEqual(done.failed, [])
})

test('a node pulls another image while a preload has every place that it may have', async () => {
  await using site = await PreloadSite.start({ upstream: { limits: { connections: 2 } } })
  const barrier = new Barrier()
  const big = buildImage({ seed: 'big', layers: [MIB, MIB + 1, MIB + 2, MIB + 3] })
  const small = buildImage({ seed: 'small' })
  site.registry.add('team/big', big, 'v1')
  site.registry.add('team/app', small, 'v1')
  for (const { digest } of big.layers) {
    site.registry.script({ path: new RegExp(`/blobs/${digest}`) }, stall(1024, barrier))
  }
  const preloading = site.preload(['reg.test/team/big:v1'])
  await barrier.arrived(1)
  await site.pull('team/app', small, 'v1')
  assert.equal(barrier.count, 1, 'the preload has more than its share')
  barrier.release()
  assert.deepEqual((await preloading).done.failed, [])
})

test('a node that waits for what a preload waits for goes first', async () => {
  await using site = await PreloadSite.start({ upstream: { limits: { connections: 2 } } })
  const barrier = new Barrier()
  const image = buildImage({ seed: 'big', layers: [MIB, MIB + 1] })
  site.registry.add('team/app', image, 'v1')
  site.registry.script({ path: /\/blobs\// }, hold(barrier), { times: 1 })
  const preloading = site.preload([APP], { parallel: 3 })
  // One content has the only place of the background; the others are in the line.
  await barrier.arrived(1)
  const asked = new Set(site.registry.requests.map(({ path }) => path.split('/').at(-1)))
  const waiting = [image.config, ...image.layers].find(({ digest }) => !asked.has(digest))
  assert.ok(waiting)
  const path = `/v2/team/app/blobs/${waiting.digest}?ns=reg.test`
  assert.equal((await site.app.get(path)).status, 200)
  barrier.release()
  assert.deepEqual((await preloading).done.failed, [])
  assert.equal(site.registry.countBlobs(waiting.digest), 1)
})

test('whoever leaves ends it', async () => {
  await using site = await PreloadSite.start()
  const barrier = new Barrier()
  const images = ['one', 'two'].map((seed) => buildImage({ seed, layers: [MIB, MIB + 1, MIB + 2] }))
  for (const [index, image] of images.entries()) site.registry.add('team/app', image, `v${index}`)
  site.registry.script({ path: /\/blobs\// }, stall(1024, barrier))
  const names = images.map((_, index) => `reg.test/team/app:v${index}`)
  const leaving = new AbortController()
  const response = await site.begin('/preload', { images: names, parallel: 1 }, leaving.signal)
  const closed = once(response.on('error', () => {}).resume(), 'close')
  await barrier.arrived(1)
  leaving.abort()
  await closed.catch(() => undefined)
  await site.app.until('larder_http_requests_in_flight', 0)
  const ended = await site.app.said(({ action }) => action === 'preload')
  assert.deepEqual(ended['result'], { complete: false })
  barrier.release()
  assert.equal(site.registry.countBlobs(), 1)
})
