/** What is in the cache, as the admin API tells it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { IMAGE_DETAIL, IMAGES } from '../../src/admin/answers/images.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { ARM, attestedIndex, PreloadSite } from '../airgap/site.ts'
import { EXPIRED } from '../support/app.ts'
import { send } from '../support/http-client.ts'
import {
  buildArtifact,
  buildImage,
  buildIndex,
  type Content,
  seededBytes,
} from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { jsonOf, Site } from './site.ts'

const HOUR = 3_600_000
const SHARED = seededBytes('shared', 8192)

async function get(site: PreloadSite, path: string) {
  const answer = await send(site.app.adminUrl, `/api/v1${path}`)
  assert.equal(answer.status, 200, answer.body.toString())
  return jsonOf(answer)
}

async function list(site: PreloadSite, query: Readonly<Record<string, string>> = {}) {
  return IMAGES.parse(await get(site, `/images?${new URLSearchParams(query)}`))
}

async function namesOf(site: PreloadSite, query: Readonly<Record<string, string>> = {}) {
  return (await list(site, query)).images.map(({ name }) => name)
}

async function inspect(site: PreloadSite, name: string) {
  return IMAGE_DETAIL.parse(await get(site, `/images/${name}`))
}

function bytesOf({ manifest, children, blobs }: Content): number {
  const below = children.reduce((sum, child) => sum + child.manifest.bytes.length, 0)
  return [...blobs.values()].reduce(
    (sum, { length }) => sum + length,
    manifest.bytes.length + below,
  )
}

test('an image is shown once, by all of its tags, and what is part of another not by itself', async () => {
  await using site = await PreloadSite.start()
  const one = buildImage({ seed: 'one' })
  const two = buildImage({ seed: 'two' })
  const nameless = buildImage({ seed: 'nameless' })
  const { index } = attestedIndex('index')
  const { descriptor: subject } = one
  site.registry.add('team/app', one, 'v1', 'stable')
  site.registry.add('team/app', two, 'v2')
  site.registry.add('team/app', nameless, 'gone')
  site.registry.add('a/index', index, 'latest')
  site.registry.add('team/app', buildArtifact({ artifactType: 'test/signature', subject }), 'sig')
  for (const tag of ['v1', 'stable', 'v2'])
    await site.pull('team/app', tag === 'v2' ? two : one, tag)
  await site.pull('team/app', nameless)
  await site.preload(['reg.test/a/index:latest', `reg.test/team/app:v1`], { referrers: true })
  const { images, next } = await list(site)
  assert.deepEqual(
    images.map(({ name, tags }) => [name, tags]),
    [
      ['reg.test/a/index:latest', ['latest']],
      ['reg.test/team/app:stable', ['stable', 'v1']],
      ['reg.test/team/app:v2', ['v2']],
      [`reg.test/team/app@${nameless.manifest.digest}`, []],
    ],
  )
  assert.equal(next, undefined)
  const [ofIndex, ofOne] = images
  assert.deepEqual(ofIndex?.platforms, [
    { platform: 'linux/amd64', complete: true },
    { platform: 'linux/arm64', complete: true },
  ])
  assert.equal(ofIndex?.bytes, bytesOf(index))
  assert.deepEqual(ofOne?.platforms, [{ platform: 'linux/amd64', complete: true }])
  assert.deepEqual(
    [ofOne?.bytes, ofOne?.sharedBytes, ofOne?.missingBytes, ofOne?.complete, ofOne?.pinned],
    [bytesOf(one), 0, 0, true, false],
  )
})

test('what images share is said, as is what of them is missing', async () => {
  await using site = await PreloadSite.start()
  const one = buildImage({ seed: 'one', layers: [SHARED, 100] })
  const two = buildImage({ seed: 'two', layers: [SHARED, 200] })
  const arm = buildImage({ seed: 'arm', platform: ARM, layers: [4096] })
  const index = buildIndex([one, arm])
  site.registry.add('team/one', one, 'v1')
  site.registry.add('team/two', two, 'v1')
  site.registry.add('team/two', two, 'again')
  site.registry.add('else/two', two, 'v1')
  site.registry.add('team/index', index, 'v1')
  await site.preload(['reg.test/team/two:v1', 'reg.test/team/two:again'])
  const sizes = async (search: string) => {
    const { images } = await list(site, { search })
    assert.equal(images.length, 1)
    const [image] = images
    return [image?.bytes, image?.sharedBytes]
  }
  assert.deepEqual(await sizes('team/two'), [bytesOf(two), 0])
  await site.preload(['reg.test/team/one:v1'])
  assert.deepEqual(await sizes('team/two'), [bytesOf(two), SHARED.length])
  assert.deepEqual(await sizes('team/one'), [bytesOf(one), SHARED.length])
  // In an index all of it is part of something else.
  await site.preload(['reg.test/team/index:v1'], { platforms: ['linux/amd64'] })
  assert.deepEqual(await sizes('team/one'), [bytesOf(one), bytesOf(one)])
  const { images } = await list(site, { search: 'team/index' })
  const [ofIndex] = images
  assert.deepEqual(ofIndex?.platforms, [
    { platform: 'linux/amd64', complete: true },
    { platform: 'linux/arm64', complete: false },
  ])
  assert.equal(ofIndex?.complete, false)
  // What the missing manifest lists nobody knows.
  assert.equal(ofIndex?.missingBytes, arm.manifest.bytes.length)
  assert.equal(ofIndex?.sharedBytes, bytesOf(one))
  // The same under another name is another's.
  await site.preload(['reg.test/else/two:v1'])
  assert.deepEqual(await sizes('team/two'), [bytesOf(two), bytesOf(two)])
})

test('images are found by a glob or a part of their name, in each order, a page at a time', async () => {
  const clock = new SkippingClock()
  await using site = await PreloadSite.start({ app: { clock } })
  const tags = ['a1', 'a2', 'b1', 'b2', 'b3']
  for (const [i, seed] of tags.entries()) {
    const image = buildImage({ seed, layers: [1000 + ((i * 3) % 5) * 1000] })
    site.registry.add('team/app', image, seed, `${seed}-too`)
    await site.preload([`reg.test/team/app:${seed}`, `reg.test/team/app:${seed}-too`])
    clock.skip(HOUR)
  }
  const named = (...wanted: readonly string[]) => wanted.map((tag) => `reg.test/team/app:${tag}`)
  assert.deepEqual(await namesOf(site), named(...tags))
  assert.deepEqual(await namesOf(site, { search: 'APP:b' }), named('b1', 'b2', 'b3'))
  assert.deepEqual(await namesOf(site, { search: 'reg.test/**:a*' }), named('a1', 'a2'))
  assert.deepEqual(await namesOf(site, { search: '*/*:a*' }), [])
  // Its name is then the tag that was looked for.
  assert.deepEqual(await namesOf(site, { search: '2-too' }), named('a2-too', 'b2-too'))
  assert.deepEqual(await namesOf(site, { search: 'nothing' }), [])
  const orders = { size: ['b2', 'a2', 'b3', 'b1', 'a1'], 'last-use': tags.toReversed() }
  const expected = { name: tags, ...orders }
  for (const [sort, order] of Object.entries(expected)) {
    assert.deepEqual(await namesOf(site, { sort }), named(...order), sort)
    for (const limit of ['1', '2', '4']) {
      const found: string[] = []
      for (let after: string | undefined; ; ) {
        const page = await list(site, { sort, limit, ...(after === undefined ? {} : { after }) })
        assert.ok(page.images.length <= Number(limit))
        found.push(...page.images.map(({ name }) => name))
        after = page.next
        if (after === undefined) break
      }
      assert.deepEqual(found, named(...order), `${sort} by ${limit}`)
    }
  }
  const unused = await namesOf(site, { unusedFor: '3h', sort: 'last-use' })
  assert.deepEqual(unused, named('b1', 'a2', 'a1'))
})

test('of one image all is said: its layers, what its tag was, its signatures, its bytes', async () => {
  await using site = await PreloadSite.start({ upstream: { tags: EXPIRED } })
  const before = buildImage({ seed: 'before' })
  const now = buildImage({ seed: 'now', layers: [100, 200], annotations: { key: 'value' } })
  site.registry.add('team/app', before, 'v1')
  await site.preload(['reg.test/team/app:v1'])
  site.registry.add('team/app', now, 'v1')
  const { descriptor: subject } = now
  const signature = buildArtifact({ artifactType: 'test/signature', subject })
  site.registry.add('team/app', signature)
  await site.preload(['reg.test/team/app:v1'], { referrers: true, pin: true })
  const image = await inspect(site, 'reg.test/team/app:v1')
  const { digest } = now.manifest
  assert.equal(image.digest, digest)
  assert.equal(image.pinned, true)
  assert.deepEqual(image.annotations, { key: 'value' })
  assert.deepEqual(
    image.tag?.history.map((move) => move.digest),
    [before.manifest.digest, digest],
  )
  assert.deepEqual(
    image.referrers.map(({ digest, artifactType }) => [digest, artifactType]),
    [[signature.manifest.digest, 'test/signature']],
  )
  assert.equal(digestOf(Buffer.from(image.raw ?? '')), digest)
  const shown = [now.config, ...now.layers].map(({ digest, mediaType, size }) => {
    return { digest, mediaType, size, here: true }
  })
  assert.deepEqual(
    image.manifests.map(({ layers }) => layers),
    [shown],
  )
  // Slashes may be encoded, and a digest is a name.
  for (const name of ['reg.test%2Fteam%2Fapp%3Av1', `reg.test/team/app@${digest}`]) {
    assert.equal((await inspect(site, name)).digest, digest, name)
  }
  const loose = await inspect(site, `reg.test/team/app@${before.manifest.digest}`)
  assert.equal(loose.tag, undefined)
  assert.deepEqual(loose.tags, [])
})

test('of an index each platform has its layers, those that are here and those that are not', async () => {
  await using site = await PreloadSite.start()
  const { index, amd, arm } = attestedIndex('index')
  site.registry.add('team/app', index, 'v1')
  await site.preload(['reg.test/team/app:v1'], { platforms: ['linux/arm64'] })
  const { manifests } = await inspect(site, 'reg.test/team/app:v1')
  const [ofAmd, ofArm] = manifests
  assert.equal(manifests.length, 4)
  assert.deepEqual([ofAmd?.digest, ofAmd?.here, ofAmd?.layers], [amd.manifest.digest, false, []])
  assert.equal(ofArm?.platform, 'linux/arm64')
  assert.deepEqual(
    ofArm?.layers.map(({ digest, here }) => [digest, here]),
    [arm.config, ...arm.layers].map(({ digest }) => [digest, true]),
  )
})

test('what is asked for wrongly is refused, and what is not here is 404', async () => {
  await using site = await Site.start()
  for (const [query, path] of [
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['sort=age', 'sort'],
    ['after=bm9uZQ', 'after'],
    ['unusedFor=30', 'unusedFor'],
    [`search=${'x'.repeat(513)}`, 'search'],
    ['serach=x', ''],
  ] as const) {
    const answer = await site.get(`/images?${query}`)
    assert.equal(answer.status, 400, query)
    assert.equal(jsonOf(answer).error.problems[0].path, path, query)
  }
  for (const [name, status] of [
    ['ghcr.io/acme/app:v1', 404],
    ['else.test/acme/app:v1', 404],
    ['ghcr.io/Acme/App', 400],
    ['ghcr.io/%FF', 400],
    ['ghcr.io/acme/..', 400],
  ] as const) {
    assert.equal((await site.get(`/images/${name}`)).status, status, name)
  }
  const cursor = { upstream: 'a', repository: 'b', reference: 'c', value: 1 }
  site.ports.nextImage = cursor
  site.ports.calls.length = 0
  const { next } = jsonOf(await site.get('/images'))
  await site.get(`/images?${new URLSearchParams({ after: next, limit: '7', unusedFor: '1h' })}`)
  const none = { search: undefined, unusedForMs: undefined, after: undefined }
  assert.deepEqual(site.ports.calls, [
    ['images', { ...none, sort: 'name', limit: 50 }],
    ['images', { ...none, sort: 'name', limit: 7, unusedForMs: HOUR, after: cursor }],
  ])
})

test('pulls are counted where an image was pulled, once for each, over a restart too', async () => {
  await using site = await PreloadSite.start()
  const often = buildImage({ seed: 'often' })
  const index = buildIndex([
    buildImage({ seed: 'amd' }),
    buildImage({ seed: 'arm', platform: ARM }),
  ])
  site.registry.add('team/often', often, 'v1')
  site.registry.add('team/copy', often, 'v1')
  site.registry.add('team/index', index, 'v1')
  await site.preload(['often', 'copy', 'index'].map((name) => `reg.test/team/${name}:v1`))
  const pullsOf = async () => {
    const { images } = await list(site, { sort: 'pulls' })
    return images.map(({ repository, pulls }) => [repository, pulls])
  }
  const [none] = (await list(site)).images
  assert.deepEqual([none?.pulls, none?.lastPulledAt], [0, undefined], 'a preload is no pull')
  const get = (name: string, reference: string) =>
    site.app.get(`/v2/team/${name}/manifests/${reference}?ns=reg.test`)
  for (let i = 0; i < 3; i++) await get('often', 'v1')
  await get('often', often.manifest.digest)
  await site.app.head('/v2/team/often/manifests/v1?ns=reg.test')
  const etag = `"${often.manifest.digest}"`
  const same = await site.app.get('/v2/team/often/manifests/v1?ns=reg.test', {
    headers: { 'If-None-Match': etag },
  })
  assert.equal(same.status, 304)
  await get('index', 'v1')
  await get('index', index.children[0]?.manifest.digest ?? '')
  await site.app.metric('larder_requests_total')
  const expected = [
    ['team/often', 4],
    ['team/index', 1],
    ['team/copy', 0],
  ]
  assert.deepEqual(await pullsOf(), expected)
  await site.app.restart()
  assert.deepEqual(await pullsOf(), expected)
  await get('index', 'v1')
  await site.app.metric('larder_requests_total')
  const { pulls, lastPulledAt, lastUsedAt } = await inspect(site, 'reg.test/team/index:v1')
  assert.equal(pulls, 2)
  assert.ok(lastPulledAt !== undefined && lastPulledAt <= (lastUsedAt ?? 0) + 1_000)
  const { images, next } = await list(site, { sort: 'pulls', limit: '1' })
  assert.equal(images[0]?.repository, 'team/often')
  const second = await list(site, { sort: 'pulls', limit: '1', after: next ?? '' })
  assert.equal(second.images[0]?.repository, 'team/index')
})

test('no search and no pattern can hold up everything else over a long name', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage()
  const repository = 'a'.repeat(200)
  site.registry.add(repository, image, 'v1')
  await site.pull(repository, image, 'v1')
  const hostile = 'reg.test/*a*a*a*a*a*a*b:*'
  const search = await send(
    site.app.adminUrl,
    `/api/v1/images?${new URLSearchParams({ search: hostile })}`,
  )
  const purge = await site.post('/purge', { pattern: hostile, dryRun: true })
  for (const { status, body } of [search, purge]) {
    assert.equal(status, 400)
    assert.match(body.toString(), /has more than 3 \* in one part of a name/)
  }
  assert.deepEqual(await namesOf(site, { search: 'reg.test/*a*a*:v*' }), [
    `reg.test/${repository}:v1`,
  ])
})
