import assert from 'node:assert/strict'
import { test } from 'node:test'

import { buildImage, type Image } from '../support/images.ts'
import { attestedIndex, PreloadSite } from './site.ts'

const APP = 'reg.test/team/app:v1'

function layerOf({ layers }: Image) {
  const [layer] = layers
  assert.ok(layer)
  return layer
}

/** What its platforms need is here. */
async function startPreloaded(platforms?: readonly string[]) {
  const site = await PreloadSite.start()
  const made = attestedIndex('app', [2048, 4096])
  site.registry.add('team/app', made.index, 'v1')
  await site.preload([APP], platforms === undefined ? {} : { platforms })
  return { site, ...made, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() }
}

test('what was preloaded is complete, and nothing is asked of any registry', async () => {
  await using here = await startPreloaded()
  const { site } = here
  const before = site.registry.requests.length
  const { images, done } = await site.check([APP])
  assert.equal(site.registry.requests.length, before)
  assert.deepEqual(
    images.map(({ image, complete, missing }) => [image, complete, missing.length]),
    [[APP, true, 0]],
  )
  const { complete, incomplete, missingBytes } = done
  assert.deepEqual([complete, incomplete, missingBytes], [1, 0, 0])
})

test('a file that is gone is named with its image, kind, size, platform and what lists it', async () => {
  await using here = await startPreloaded()
  const { site, arm } = here
  const { digest, size, mediaType } = layerOf(arm)
  await site.lose(digest)
  const { images, done } = await site.check([APP])
  assert.deepEqual(images[0]?.missing, [
    {
      digest,
      kind: 'blob',
      size,
      mediaType,
      platform: { architecture: 'arm64', os: 'linux' },
      parent: arm.manifest.digest,
      lack: 'missing',
    },
  ])
  assert.deepEqual([done.incomplete, done.missingBytes], [1, size])
  const again = await site.preload([APP])
  assert.deepEqual(again.done.bytes.fetched, size)
  assert.equal((await site.check([APP])).done.complete, 1)
})

test('it is asked of the chosen platforms', async () => {
  await using here = await startPreloaded(['linux/amd64'])
  const { site, arm } = here
  assert.equal((await site.check([APP], { platforms: ['linux/amd64'] })).done.complete, 1)
  const { images } = await site.check([APP])
  assert.ok(images[0]?.missing.some(({ digest }) => digest === arm.manifest.digest))
  const none = await site.check([APP], { platforms: ['linux/s390x'] })
  assert.equal(none.done.complete, 0)
  assert.match(none.images[0]?.reason ?? '', /is not for linux\/s390x/)
})

test('damaged bytes are found when they are read, and fetched again', async () => {
  await using here = await startPreloaded()
  const { site, amd } = here
  const { digest } = layerOf(amd)
  await site.damage(digest)
  assert.equal((await site.check([APP])).done.complete, 1)
  const { images } = await site.check([APP], { hash: true })
  assert.deepEqual(
    images[0]?.missing.map((one) => [one.digest, one.lack]),
    [[digest, 'damaged']],
  )
  const again = await site.preload([APP])
  assert.equal(again.done.bytes.fetched, layerOf(amd).size)
  assert.equal((await site.check([APP], { hash: true })).done.complete, 1)
})

test('a damaged manifest is found and written again, also where memory has the right one', async () => {
  await using here = await startPreloaded()
  const { site, arm } = here
  await site.damage(arm.manifest.digest)
  const { images } = await site.check([APP])
  assert.deepEqual(
    images[0]?.missing.map(({ digest, kind, lack }) => [digest, kind, lack]),
    [[arm.manifest.digest, 'manifest', 'damaged']],
  )
  assert.deepEqual((await site.preload([APP])).done.failed, [])
  assert.equal((await site.check([APP])).done.complete, 1)
})

test('what is not here, not configured or not a name is incomplete, each for its reason', async () => {
  await using here = await startPreloaded()
  const names = ['reg.test/team/app:other', 'elsewhere.test/a/b:v1', 'NOT AN IMAGE']
  const { images, done } = await here.site.check(names)
  assert.equal(done.incomplete, 3)
  const reasons = images.map(({ reason }) => reason ?? '')
  assert.equal(reasons[0], 'not here')
  assert.match(reasons[1] ?? '', /no upstream is configured for elsewhere.test/)
  assert.notEqual(reasons[2], '')
})

test('bytes that another repository has brought are no right to them here', async () => {
  await using site = await PreloadSite.start({ upstream: { access: 'shared' } })
  const image = buildImage({ seed: 'shared' })
  const other = 'reg.test/team/other:v1'
  for (const name of ['team/app', 'team/other']) site.registry.add(name, image, 'v1')
  await site.preload([APP])
  // Its manifest lists them, and its registry was never asked about them there.
  assert.equal((await site.app.get('/v2/team/other/manifests/v1?ns=reg.test')).status, 200)
  const { images } = await site.check([other])
  const lacks = images[0]?.missing.map(({ kind, lack }) => `${kind} ${lack}`)
  assert.deepEqual(lacks, ['blob unconfirmed', 'blob unconfirmed'])
  const before = site.registry.countBlobs()
  assert.deepEqual((await site.preload([other])).done.failed, [])
  assert.equal(site.registry.countBlobs(), before)
  assert.equal((await site.check([other])).done.complete, 1)
})

const ACCOUNT = {
  credentials: [
    { kind: 'password', path: '', username: 'larder', password: 'x', passwordFile: undefined },
  ],
} as const

test('with an account, what is public is learned for the time without a network', async () => {
  await using site = await PreloadSite.start({ upstream: ACCOUNT })
  const image = buildImage({ seed: 'public' })
  site.registry.add('team/app', image, 'v1')
  const { done } = await site.preload([APP])
  assert.deepEqual(done.failed, [])
  assert.equal((await site.check([APP])).done.complete, 1)
  await site.app.restart({ offline: true })
  await site.pull('team/app', image, 'v1')
  assert.equal((await site.check([APP])).done.complete, 1)
})

test('what came without an account is known to be public, also once there is one', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', buildImage({ seed: 'public' }), 'v1')
  await site.preload([APP])
  const upstream = { name: 'reg.test', url: site.registry.origin, ...ACCOUNT }
  await site.app.restart({ upstreams: [upstream], offline: true })
  assert.equal((await site.check([APP])).done.complete, 1)
})

test('what only the account may read is refused with a sentence, but where access is shared', async () => {
  const auth = { kind: 'basic', users: { larder: 'x' } } as const
  await using site = await PreloadSite.start({ registry: { auth }, upstream: ACCOUNT })
  const image = buildImage({ seed: 'private' })
  site.registry.add('team/app', image, 'v1')
  const { done } = await site.preload([APP])
  assert.equal(done.failed[0]?.code, 'NOT_PUBLIC')
  assert.match(done.failed[0]?.message ?? '', /is not public, and reg.test has access: public/)
  const shared = {
    name: 'reg.test',
    url: site.registry.origin,
    access: 'shared',
    ...ACCOUNT,
  } as const
  await site.app.restart({ upstreams: [shared] })
  assert.deepEqual((await site.preload([APP])).done.failed, [])
  assert.equal((await site.check([APP])).done.complete, 1)
  // The same content under access: caller is here, and nobody could prove a right to it offline.
  await site.app.restart({ upstreams: [{ ...shared, access: 'caller' }] })
  assert.deepEqual((await site.preload([APP])).done.failed, [])
  const { images } = await site.check([APP])
  assert.match(images[0]?.reason ?? '', /offline nobody can prove a right/)
  await site.app.restart({ upstreams: [{ ...shared, access: 'caller', staleGrantMs: 60_000 }] })
  assert.equal((await site.check([APP])).done.complete, 1)
})
