import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'

import { BUNDLE_FILE, bundleIdOf } from '../../../src/airgap/bundle/bundle.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { EXPIRED } from '../../support/app.ts'
import { send } from '../../support/http-client.ts'
import { buildArtifact, buildImage, buildIndex, type Content } from '../../support/images.ts'
import { StandingClock } from '../../support/standing-clock.ts'
import { ARM, PreloadSite } from '../site.ts'
import { blobsOf } from './archives.ts'
import {
  bundleIn,
  contentsIn,
  exported,
  filesIn,
  fill,
  nameOf,
  planned,
  startFilled,
} from './export-site.ts'
import { bring, imagesOf, pull, startOffline } from './import-site.ts'

const MIB = 1024 * 1024
const amd = buildImage({ seed: 'amd', layers: [3000, 2 * MIB + 7] })
const arm = buildImage({ seed: 'arm', layers: [3000], platform: ARM })
const index = buildIndex([amd, arm])
const other = buildImage({ seed: 'other', layers: [5000] })
const EVERYTHING = { patterns: ['reg.test/**'] }

test('a bundle has all that its images reach, behind what says what it is', async () => {
  await using site = await startFilled({ v1: index, other })
  const archive = await exported(site, { images: [nameOf('other'), nameOf('v1')] })
  const files = await filesIn(archive)
  const contents = blobsOf([index, other])
  const blobNames = [...contents.keys()].map((digest) => `blobs/${digest.replace(':', '/')}`)
  assert.deepEqual([...files.keys()], [BUNDLE_FILE, 'oci-layout', 'index.json', ...blobNames])
  assert.deepEqual([...files.values()].slice(3), [...contents.values()])
  assert.deepEqual(JSON.parse(String(files.get('oci-layout'))), { imageLayoutVersion: '1.0.0' })
  const { manifests } = JSON.parse(String(files.get('index.json')))
  assert.deepEqual(manifests, [
    descriptorOf(other, nameOf('other')),
    descriptorOf(index, nameOf('v1')),
  ])
  const { images, platforms, blobs, base, createdBy } = await bundleIn(archive)
  assert.equal(createdBy, 'larder 0.0.0-test')
  assert.equal(platforms, 'all')
  assert.equal(base, undefined)
  assert.deepEqual(
    images.map(({ tag, digest, isPublic }) => [tag, digest, isPublic]),
    [
      ['other', other.manifest.digest, true],
      ['v1', index.manifest.digest, true],
    ],
  )
  assert.deepEqual(
    blobs.map(({ digest, size }) => [digest, size]),
    [...contents].map(([digest, bytes]) => [digest, bytes.length]),
  )
})

test('its headers have nothing of a machine, a user or a time in them', async () => {
  await using site = await startFilled({ v1: other })
  const header = (await exported(site, EVERYTHING)).subarray(0, 512)
  const field = (at: number, length: number) =>
    header.toString('latin1', at, at + length).replace(/[\0 ]+$/, '')
  assert.equal(field(100, 8), '000644')
  assert.equal(field(108, 8), '000000')
  assert.equal(field(116, 8), '000000')
  assert.equal(field(136, 12), '00000000000')
  assert.equal(field(265, 64), '')
})

test('stores that were filled in another order give the same bytes, whenever', async () => {
  const clock = new StandingClock()
  await using one = await startFilled({ v1: index, other }, { app: { clock } })
  await using two = await startFilled({ other, v1: index }, { app: { clock } })
  const first = await exported(one, { images: [nameOf('v1'), nameOf('other')] })
  clock.skip(3_600_000)
  const second = await exported(two, EVERYTHING)
  assert.ok(first.equals(second))
})

test('when a tag was checked is said in one file, and all others stay the same', async () => {
  const clock = new StandingClock()
  await using one = await startFilled({ v1: index }, { app: { clock } })
  const first = await filesIn(await exported(one, EVERYTHING))
  clock.skip(3_600_000)
  await using two = await startFilled({ v1: index }, { app: { clock } })
  const second = await filesIn(await exported(two, EVERYTHING))
  assert.notDeepEqual(first.get(BUNDLE_FILE), second.get(BUNDLE_FILE))
  assert.deepEqual([...first].slice(1), [...second].slice(1))
})

test('the plan says what the bundle will be', async () => {
  await using site = await startFilled({ v1: index, other })
  const archive = await exported(site, EVERYTHING)
  const { bundle, ...numbers } = await planned(site, EVERYTHING)
  const blobs = blobsOf([index, other]).size
  assert.deepEqual(numbers, { images: 2, blobs, bytes: archive.length, leftOut: [], missing: [] })
  const document = (await filesIn(archive)).get(BUNDLE_FILE)
  assert.equal(`${JSON.stringify(bundle)}\n`, String(document))
})

test('what another bundle has is left out, and that bundle is named', async () => {
  await using site = await startFilled({ v1: index })
  const base = await exported(site, EVERYTHING)
  const id = bundleIdOf((await filesIn(base)).get(BUNDLE_FILE) ?? Buffer.alloc(0))
  const { blobs, contentAt } = await bundleIn(base)
  await fill(site, 'other', other)
  const exclude = {
    id,
    contentAt: new Date(contentAt).toISOString(),
    digests: blobs.map(({ digest }) => digest),
  }
  const delta = await exported(site, { ...EVERYTHING, exclude })
  assert.ok(delta.length < 16_384 + 5000, `${delta.length} bytes for 5000 that are new`)
  assert.deepEqual(await contentsIn(delta), [...blobsOf([other]).keys()])
  const bundle = await bundleIn(delta)
  assert.deepEqual(bundle.base, { id, contentAt, blobs: [...blobsOf([index]).keys()] })
  assert.equal(bundle.blobs.length, blobsOf([index, other]).size)
  const alone = await exported(site, { images: [nameOf('other')], exclude })
  assert.equal((await bundleIn(alone)).base, undefined)
})

test('of other platforms than those that are wanted nothing is there but the index', async () => {
  await using site = await startFilled({ v1: index })
  const archive = await exported(site, { ...EVERYTHING, platforms: ['linux/arm64'] })
  const expected = new Set([index.manifest.digest, ...blobsOf([arm]).keys()])
  assert.deepEqual(new Set(await contentsIn(archive)), expected)
  assert.deepEqual((await bundleIn(archive)).platforms, [ARM])
})

test('without a choice it has what its upstream takes, and those have to agree', async () => {
  const upstream = { platforms: ['linux/arm64'] }
  await using site = await startFilled({ v1: index }, { upstream })
  assert.deepEqual((await bundleIn(await exported(site, EVERYTHING))).platforms, [ARM])
  const first = { name: 'reg.test', url: site.registry.origin, ...upstream }
  const second = { name: 'other.test', url: site.registry.origin }
  await site.app.reload({ upstreams: [first, second] })
  const images = ['other.test/team/app:v1']
  assert.deepEqual((await site.preload(images)).done.failed, [])
  const { status, body } = await site.post('/export', { images: [...images, nameOf('v1')] })
  assert.equal(status, 400)
  assert.match(body.toString(), /different platforms configured \(all; linux\/arm64\)/)
})

test('what is not here whole is refused, or left out if that is allowed', async () => {
  await using site = await startFilled({ v1: index, other })
  const [lost] = other.layers
  assert.ok(lost)
  await site.app.restart({}, () => writeFile(site.fileOf(lost.digest), ''))
  const wanted = { images: [nameOf('v1'), nameOf('other'), nameOf('never'), 'else.test/a:b'] }
  const refused = await site.post('/export', wanted)
  assert.equal(refused.status, 409)
  assert.match(refused.body.toString(), /not all of it is here: reg.test\/team\/app:other, and 2/)
  const { missing, leftOut } = await planned(site, wanted)
  assert.deepEqual(leftOut, [])
  assert.deepEqual(
    missing.map(({ image, reason }) => [image, reason]),
    [
      [nameOf('other'), undefined],
      [nameOf('never'), 'not here'],
      ['else.test/a:b', 'no upstream is configured for else.test, or it does not allow a'],
    ],
  )
  assert.deepEqual(
    missing[0]?.missing.map(({ digest, lack }) => [digest, lack]),
    [[lost.digest, 'damaged']],
  )
  const allowed = { ...wanted, allowIncomplete: true }
  assert.equal((await planned(site, allowed)).leftOut.length, 3)
  assert.deepEqual(await contentsIn(await exported(site, allowed)), [...blobsOf([index]).keys()])
  const nothing = await site.post('/export', { images: [nameOf('never')], allowIncomplete: true })
  assert.equal(nothing.status, 404)
})

test('damaged bytes never leave: the archive has no end, and they are put aside', async () => {
  await using site = await startFilled({ v1: index })
  const { bytes } = await planned(site, EVERYTHING)
  const large = amd.layers[1]
  assert.ok(large)
  const right = await readFile(site.fileOf(large.digest))
  await site.damage(large.digest)
  const { complete, body } = await site.post('/export', EVERYTHING)
  assert.equal(complete, false)
  assert.ok(body.length < bytes)
  assert.ok(!body.includes(right.subarray(2 * MIB)), 'its end has left')
  const [incomplete] = (await planned(site, EVERYTHING)).missing
  assert.deepEqual(
    incomplete?.missing.map(({ digest, lack }) => [digest, lack]),
    [[large.digest, 'missing']],
  )
})

test('nothing of it is removed while it is read, and everything may be afterwards', async () => {
  const huge = buildImage({ seed: 'huge', layers: [24 * MIB] })
  await using site = await startFilled({ huge })
  // Of which nothing is read: its head comes with its first bytes.
  const answer = await site.begin('/export', EVERYTHING)
  const purge = () => site.post('/purge', { references: [nameOf('huge')] })
  const during = JSON.parse((await purge()).body.toString())
  assert.equal(during.kept.inUse > 0, true, JSON.stringify(during))
  const archive = Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>))
  assert.equal((await contentsIn(archive)).length, blobsOf([huge]).size)
  const after = await purgeAll(site)
  assert.equal(after.kept.inUse, 0)
})

test('who goes away in the middle ends it, and lets go of everything', async () => {
  const huge = buildImage({ seed: 'huge', layers: [24 * MIB] })
  await using site = await startFilled({ huge })
  // Of which nothing is read: its head comes with its first bytes.
  const answer = await site.begin('/export', EVERYTHING)
  answer.destroy()
  const isTold = ({ action, result }: Readonly<Record<string, unknown>>) =>
    action === 'export' && (result as { complete?: boolean } | undefined)?.complete === false
  await site.app.said(isTold)
  assert.equal((await purgeAll(site)).kept.inUse, 0)
})

test('what is pinned is exported as it was pinned, and patterns take what matches', async () => {
  await using site = await startFilled({ v1: index, v2: other })
  assert.equal((await site.post('/export', { pinned: true })).status, 404)
  await site.post('/pins', { references: [nameOf('v1')] })
  assert.deepEqual(await contentsIn(await exported(site, { pinned: true })), [
    ...blobsOf([index]).keys(),
  ])
  // The tag moves, and the pin does not.
  site.registry.add('team/app', arm, 'v1')
  await site.app.restart({
    upstreams: [{ name: 'reg.test', url: site.registry.origin, tags: EXPIRED }],
  })
  const moved = await send(site.app.url, '/v2/team/app/manifests/v1?ns=reg.test')
  assert.equal(moved.status, 200)
  const { images } = await bundleIn(await exported(site, { pinned: true }))
  assert.deepEqual(
    images.map(({ tag, digest }) => [tag, digest]),
    [['v1', index.manifest.digest]],
  )
  const matching = { patterns: ['reg.test/team/*:v2'] }
  assert.deepEqual(await contentsIn(await exported(site, matching)), [...blobsOf([other]).keys()])
  const nothing = await planned(site, { patterns: ['reg.test/team/*:v3'] })
  assert.equal(nothing.missing[0]?.reason, 'matches nothing here')
})

test('what is pinned for one platform is complete with that one, exported so, and at the other site too', async () => {
  const pinsOf = async (origin: string) => {
    const { body } = await send(origin, '/api/v1/overview')
    const { complete, incomplete } = JSON.parse(body.toString()).pins
    return { complete, incomplete }
  }
  const whole = { complete: 1, incomplete: 0 }
  await using site = await PreloadSite.start()
  site.registry.add('team/app', index, 'v1')
  assert.deepEqual(await pinsOf(site.app.adminUrl), { complete: 0, incomplete: 0 })
  await site.preload([nameOf('v1')], { pin: true, platforms: ['linux/arm64'] })
  assert.deepEqual(await pinsOf(site.app.adminUrl), whole)
  const archive = await exported(site, { pinned: true })
  const { platforms } = await bundleIn(archive)
  assert.deepEqual(platforms, [{ os: 'linux', architecture: 'arm64' }])
  await using offline = await startOffline()
  await bring(offline, archive, { pin: 'true' })
  assert.deepEqual(await pinsOf(offline.adminUrl), whole)
})

test('referrers come along when they are wanted, and what cosign tags under their tags', async () => {
  const signature = buildArtifact({ seed: 'sig', artifactType: 'application/x-sig' })
  const sbom = buildArtifact({
    seed: 'sbom',
    artifactType: 'application/x-sbom',
    subject: other.descriptor,
  })
  await using site = await startFilled({})
  const tag = `${other.manifest.digest.replace(':', '-')}.sig`
  site.registry.add('team/app', signature, tag)
  site.registry.add('team/app', other, 'v1')
  site.registry.add('team/app', sbom)
  assert.deepEqual((await site.preload([nameOf('v1')], { referrers: true })).done.failed, [])
  const without = await exported(site, { images: [nameOf('v1')] })
  assert.deepEqual(await contentsIn(without), [...blobsOf([other]).keys()])
  const archive = await exported(site, { images: [nameOf('v1')], referrers: true })
  assert.deepEqual(await contentsIn(archive), [...blobsOf([other, signature, sbom]).keys()])
  const { images } = await bundleIn(archive)
  assert.deepEqual(
    images.map((image) => image.tag),
    [tag, 'v1'],
  )
})

test('a digest after a tag counts more than the tag', async () => {
  await using site = await startFilled({ v1: other })
  const { digest } = other.manifest
  const same = await bundleIn(await exported(site, { images: [`${nameOf('v1')}@${digest}`] }))
  assert.deepEqual(same.images[0]?.tag, 'v1')
  await fill(site, 'v2', arm)
  const moved = await bundleIn(await exported(site, { images: [`${nameOf('v2')}@${digest}`] }))
  assert.deepEqual([moved.images[0]?.tag, moved.images[0]?.digest], [undefined, digest])
  assert.equal(moved.contentAt, 0)
})

test('a request that names nothing, or what can be nothing, is refused', async () => {
  await using site = await startFilled({})
  for (const request of [
    {},
    { patterns: ['x'] },
    { images: [] },
    { pinned: true, platforms: ['x'] },
  ]) {
    assert.equal((await site.post('/export', request)).status, 400, JSON.stringify(request))
  }
})

function descriptorOf({ manifest }: Content, name: string) {
  return {
    mediaType: manifest.mediaType,
    digest: digestOf(manifest.bytes),
    size: manifest.bytes.length,
    annotations: {
      'io.containerd.image.name': name,
      'org.opencontainers.image.ref.name': name,
    },
  }
}

async function purgeAll(site: PreloadSite) {
  const { status, body } = await site.post('/purge', { pattern: 'reg.test/**' })
  assert.equal(status, 200, body.toString())
  return JSON.parse(body.toString()) as { readonly kept: { readonly inUse: number } }
}

test('what was exported can be imported and pulled elsewhere, and a delta after its base', async () => {
  await using site = await startFilled({ v1: index })
  const base = await exported(site, EVERYTHING)
  const bundle = await bundleIn(base)
  const exclude = {
    id: bundleIdOf((await filesIn(base)).get(BUNDLE_FILE) ?? Buffer.alloc(0)),
    contentAt: new Date(bundle.contentAt).toISOString(),
    digests: bundle.blobs.map(({ digest }) => digest),
  }
  await fill(site, 'other', other)
  const delta = await exported(site, { ...EVERYTHING, exclude })
  await using away = await startOffline()
  const early = imagesOf(await bring(away, delta))
  assert.ok(early.includes(`${nameOf('v1')} refused`), early.join())
  assert.deepEqual(imagesOf(await bring(away, base)), [`${nameOf('v1')} published`])
  const late = imagesOf(await bring(away, delta))
  assert.ok(
    late.includes(`${nameOf('other')} published`) || early.includes(`${nameOf('other')} published`),
  )
  await pull(away, index, 'v1')
  await pull(away, other, 'other')
})
