import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { InvalidPinError, NotHereError } from '../../src/store/pin.ts'
import { buildArtifact, buildImage, buildIndex, type Content } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import {
  Clock,
  openSite,
  type PinSite,
  pinFilesIn,
  place,
  pull,
  pullManifest,
  tag,
} from './pin-site.ts'

const APP = place('acme/app')
const V1 = tag('v1')
const IMAGE = buildImage({ seed: 1 })
const OTHER = buildImage({ seed: 2 })

test('a pinned tag protects its digest, until it is unpinned', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  assert.equal(site.pins.isProtected(digest), false)
  const pin = await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  assert.equal(site.pins.isProtected(digest), true)
  assert.deepEqual(site.pins.list(), [pin])
  assert.equal(pin.kind === 'tag' && pin.digest, digest)
  assert.equal(pin.owner, 'manual')
  assert.deepEqual(await pinFilesIn(dir.path), ['ghcr.io/acme/app/v1@manual.json'])
  assert.deepEqual(await site.pins.unpin({ ...APP, reference: V1 }), [pin])
  assert.equal(site.pins.isProtected(digest), false)
  assert.deepEqual(site.pins.list(), [])
  assert.deepEqual(await pinFilesIn(dir.path), [])
})

test('what a pinned manifest lists is protected although that was damaged and put aside', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  await site.catalog.deleteBlob(digest)
  for (const blob of IMAGE.blobs.keys()) assert.equal(site.pins.isProtected(blob), true)
  await site.pins.unpin({ ...APP, reference: V1 })
  for (const blob of IMAGE.blobs.keys()) assert.equal(site.pins.isProtected(blob), false)
})

test('a pin is for its owner: what two asked for stays when one of them leaves', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  const reference = { kind: 'tag', tag: V1 } as const
  await site.pins.pin({ place: APP, reference })
  await site.pins.pin({ place: APP, reference, owner: 'nightly' })
  assert.equal((await site.pins.unpin({ owner: 'nightly' })).length, 1)
  assert.equal(site.pins.isProtected(digest), true)
  assert.equal((await site.pins.unpin({ reference: V1 })).length, 1)
  assert.equal(site.pins.isProtected(digest), false)
})

test('to pin again replaces the pin', async () => {
  await using dir = await makeTempDir()
  const clock = new Clock()
  await using site = await openSite(dir.path, clock)
  await pull(site, APP, V1, IMAGE)
  const request = { place: APP, reference: { kind: 'tag', tag: V1 } } as const
  await site.pins.pin({ ...request, expiresAt: clock.at + 10 })
  await site.pins.pin(request)
  clock.at += 20
  assert.equal(site.pins.list().length, 1)
  assert.equal(site.pins.isProtected(IMAGE.manifest.digest), true)
})

test('what is not in the store cannot be pinned: no tag, no manifest, no file, not of this place', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  const byTag = (where: typeof APP, name: string) =>
    site.pins.pin({ place: where, reference: { kind: 'tag', tag: tag(name) } })
  const byDigest = (where: typeof APP, one: typeof digest) =>
    site.pins.pin({ place: where, reference: { kind: 'digest', digest: one } })
  await assert.rejects(byTag(APP, 'v2'), (error) => {
    assert.ok(error instanceof NotHereError)
    assert.equal(error.message, 'ghcr.io/acme/app:v2 is not in the store; pull or preload it first')
    return true
  })
  await assert.rejects(byTag(place('acme/else'), 'v1'), NotHereError)
  await assert.rejects(byDigest(APP, digestOf(Buffer.from('nothing'))), NotHereError)
  await assert.rejects(byDigest(place('acme/else'), digest), NotHereError)
  await site.blobs.delete(digest)
  await assert.rejects(byTag(APP, 'v1'), NotHereError)
  assert.deepEqual(await pinFilesIn(dir.path), [])
  assert.equal(site.pins.isProtected(digest), false)
})

test('owners, patterns, expiries and selectors that cannot be are refused', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  await pull(site, APP, V1, IMAGE)
  const request = { place: APP, reference: { kind: 'tag', tag: V1 } } as const
  for (const owner of ['', 'a\nb', 'pattern:1', 'x'.repeat(129)]) {
    await assert.rejects(site.pins.pin({ ...request, owner }), InvalidPinError)
  }
  await assert.rejects(site.pins.pin({ pattern: '' }), InvalidPinError)
  await assert.rejects(site.pins.pin({ pattern: '*'.repeat(513) }), InvalidPinError)
  await assert.rejects(site.pins.pin({ ...request, expiresAt: 1_000_000 }), InvalidPinError)
  await assert.rejects(site.pins.unpin({}), InvalidPinError)
  assert.deepEqual(await pinFilesIn(dir.path), [])
})

test('a pin that expires protects nothing any more, and its file goes', async () => {
  await using dir = await makeTempDir()
  const clock = new Clock()
  await using site = await openSite(dir.path, clock)
  const digest = await pull(site, APP, V1, IMAGE)
  const kept = await pull(site, place('acme/other'), V1, OTHER)
  const expiresAt = clock.at + 60_000
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 }, expiresAt })
  await site.pins.pin({ pattern: 'ghcr.io/acme/other:*', expiresAt: expiresAt + 1 })
  clock.at = expiresAt - 1
  assert.equal(await site.pins.expire(), 0)
  assert.equal(site.pins.isProtected(digest), true)
  clock.at = expiresAt
  assert.equal(site.pins.isProtected(digest), false)
  assert.equal(site.pins.list().length, 1)
  assert.equal(await site.pins.expire(), 1)
  assert.equal(site.pins.isProtected(kept), true)
  clock.at++
  assert.equal(site.pins.isProtected(kept), false)
  assert.equal(await site.pins.expire(), 1)
  assert.deepEqual(await pinFilesIn(dir.path), [])
})

test('a pin keeps its digest when the tag moves, or follows it if that was asked', async () => {
  await using dir = await makeTempDir()
  const stays = tag('stays')
  const follows = tag('follows')
  {
    await using site = await openSite(dir.path)
    for (const name of [stays, follows]) await pull(site, APP, name, IMAGE)
    await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: follows }, follows: true })
    await pull(site, APP, follows, OTHER)
    await site.pins.moved(APP, follows, OTHER.manifest.digest)
    assert.equal(site.pins.isProtected(IMAGE.manifest.digest), false)
    assert.equal(site.pins.isProtected(OTHER.manifest.digest), true)
    await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: stays } })
    await pull(site, APP, stays, OTHER)
    await site.pins.moved(APP, stays, OTHER.manifest.digest)
    assert.equal(site.pins.isProtected(IMAGE.manifest.digest), true)
  }
  await using site = await openSite(dir.path)
  const digests = site.pins.list().map((pin) => pin.kind === 'tag' && [pin.reference, pin.digest])
  assert.deepEqual(digests.sort(), [
    [follows, OTHER.manifest.digest],
    [stays, IMAGE.manifest.digest],
  ])
})

test('a pin follows its tag only to what is in the store', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 }, follows: true })
  await site.catalog.putTag(APP, V1, { digest: OTHER.manifest.digest, checkedAt: 2 })
  await site.pins.moved(APP, V1, OTHER.manifest.digest)
  assert.equal(site.pins.isProtected(digest), true)
})

test('a move that was missed is made up for at the next start', async () => {
  await using dir = await makeTempDir()
  {
    await using site = await openSite(dir.path)
    await pull(site, APP, V1, IMAGE)
    await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 }, follows: true })
    await pull(site, APP, V1, OTHER)
  }
  await using site = await openSite(dir.path)
  await site.pins.settled
  assert.equal(site.pins.isProtected(OTHER.manifest.digest), true)
  assert.equal(site.pins.isProtected(IMAGE.manifest.digest), false)
})

test('a pattern protects every tag that matches it, now and later, and no other', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const early = await pull(site, APP, V1, IMAGE)
  const { pins } = site
  const pin = await pins.pin({ pattern: 'ghcr.io/acme/*:v*' })
  assert.equal(pins.isProtected(early), true)
  const late = await pull(site, place('acme/other'), tag('v2'), OTHER)
  assert.equal(pins.isProtected(late), true)
  for (const [where, name] of [
    [place('acme/app'), 'edge'],
    [place('acme/team/app'), 'v1'],
    [place('acme/app', 'quay.io'), 'v1'],
  ] as const) {
    const strange = buildImage({ seed: `${where.upstream}${where.repository}${name}` })
    await pull(site, where, tag(name), strange)
    assert.equal(pins.isProtected(strange.manifest.digest), false)
  }
  assert.deepEqual(pins.list(), [pin])
  await pins.unpin({ reference: 'ghcr.io/acme/*:v*' })
  assert.equal(pins.isProtected(early), false)
  assert.equal(pins.isProtected(late), false)
  assert.deepEqual(await pinFilesIn(dir.path), [])
})

test('what a pattern matched stays when the tag goes, and moves when the tag moves', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  await site.pins.pin({ pattern: 'ghcr.io/**' })
  await site.catalog.deleteTag(APP, V1)
  assert.equal(site.pins.isProtected(digest), true)
  await pull(site, APP, V1, OTHER)
  await site.pins.moved(APP, V1, OTHER.manifest.digest)
  assert.equal(site.pins.isProtected(OTHER.manifest.digest), true)
  assert.equal(site.pins.isProtected(digest), false)
})

test('a signature of what is pinned is protected, through indexes and other signatures', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const index = buildIndex([IMAGE, OTHER])
  const artifactType = 'application/vnd.example.signature'
  const ofIndex = buildArtifact({ artifactType, seed: 'a', subject: index.descriptor })
  const ofChild = buildArtifact({ artifactType, seed: 'b', subject: IMAGE.descriptor })
  const ofSignature = buildArtifact({ artifactType, seed: 'c', subject: ofChild.descriptor })
  const stranger = buildImage({ seed: 'stranger' })
  const ofStranger = buildArtifact({ artifactType, seed: 'd', subject: stranger.descriptor })
  await pull(site, APP, V1, index)
  for (const one of [ofIndex, ofChild, ofSignature, stranger, ofStranger]) {
    await pull(site, APP, undefined, one)
  }
  const areProtected = () =>
    [ofIndex, ofChild, ofSignature, stranger, ofStranger].map(({ manifest }) =>
      site.pins.isProtected(manifest.digest),
    )
  assert.deepEqual(areProtected(), [false, false, false, false, false])
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  assert.deepEqual(areProtected(), [true, true, true, false, false])
  await site.pins.unpin({ reference: V1 })
  await site.pins.pin({ pattern: '**' })
  assert.deepEqual(areProtected(), [true, true, true, false, false])
})

test('a child that is pinned is protected though its index is not', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const index = buildIndex([IMAGE, OTHER])
  await pull(site, APP, V1, index)
  const { digest } = IMAGE.manifest
  await site.pins.pin({ place: APP, reference: { kind: 'digest', digest } })
  const kept = [IMAGE, OTHER, index].map((one) => site.pins.isProtected(one.manifest.digest))
  assert.deepEqual(kept, [true, false, false])
})

test('what is about to be pinned is protected before anyone looks whether it is there', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  const { blobs, pins } = site
  const seen: boolean[] = []
  const stat = blobs.stat.bind(blobs)
  blobs.stat = async (one) => {
    seen.push(pins.isProtected(digest))
    return stat(one)
  }
  await pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  assert.deepEqual(seen, [true])
})

test('what is just being deleted is not pinned as if it were here', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  const { blobs, pins, unlinking } = site
  const going = Promise.withResolvers<void>()
  unlinking.add(digest, going.promise)
  const looked: Digest[] = []
  const stat = blobs.stat.bind(blobs)
  blobs.stat = (one) => {
    looked.push(one)
    return stat(one)
  }
  const pinned = pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  const refused = assert.rejects(pinned, NotHereError)
  await setImmediate()
  assert.deepEqual(looked, [])
  // Its row stays for now: the database may refuse to delete it.
  await blobs.delete(digest)
  going.resolve()
  await refused
  assert.equal(pins.isProtected(digest), false)
})

test('pinned bytes count each content once, and tell what is missing', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const shared = buildImage({
    seed: 1,
    layers: [1024],
    platform: { os: 'linux', architecture: 'arm' },
  })
  const index = buildIndex([IMAGE, shared])
  await pull(site, APP, V1, index)
  await pull(site, APP, tag('amd64'), IMAGE)
  const partial = buildImage({ seed: 'partial', layers: [4000] })
  await pullManifest(site, APP, tag('partial'), partial)
  for (const name of ['v1', 'amd64', 'partial']) {
    await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: tag(name) } })
  }
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 }, owner: 'nightly' })
  const lengthOf = (all: Iterable<Buffer>) => [...all].reduce((sum, { length }) => sum + length, 0)
  const manifests = [index, IMAGE, shared, partial].map(({ manifest }) => manifest.bytes)
  assert.equal(await site.pins.pinnedBytes(), lengthOf([...manifests, ...index.blobs.values()]))
  assert.deepEqual(await site.pins.completeness(), {
    complete: 2,
    incomplete: 1,
    missingBytes: lengthOf(partial.blobs.values()),
  })
})

test('a pin for some platforms is complete without the others, and stays so when its tag moves', async () => {
  await using dir = await makeTempDir()
  const platform = { os: 'linux', architecture: 'arm64' }
  const indexOf = (seed: string) =>
    buildIndex([
      buildImage({ seed: `${seed} amd64`, layers: [1000] }),
      buildImage({ seed: `${seed} arm64`, layers: [2000], platform }),
    ])
  const [before, after] = [indexOf('before'), indexOf('after')]
  const platforms = [{ os: 'linux', architecture: 'amd64' }]
  const whole = { complete: 1, incomplete: 0, missingBytes: 0 }
  const bytesOf = (content: Content) =>
    [content.manifest.bytes, ...content.blobs.values()].reduce((sum, { length }) => sum + length, 0)
  const pullAmd = async (site: PinSite, index: Content) => {
    await pullManifest(site, APP, V1, index)
    const [amd] = index.children
    if (amd !== undefined) await pull(site, APP, undefined, amd)
  }
  {
    await using site = await openSite(dir.path)
    await pullAmd(site, before)
    const request = { place: APP, reference: { kind: 'tag', tag: V1 }, follows: true } as const
    await site.pins.pin({ ...request, platforms })
    assert.deepEqual(await site.pins.completeness(), whole)
    await site.pins.pin({ ...request, owner: 'everything' })
    assert.equal((await site.pins.completeness()).incomplete, 1)
    await site.pins.unpin({ owner: 'everything' })
    const others = [{ os: 'linux', architecture: 's390x' }]
    await site.pins.pin({ ...request, owner: 'others', platforms: others })
    assert.equal((await site.pins.completeness()).incomplete, 1)
    await site.pins.unpin({ owner: 'others' })
    await pullAmd(site, after)
    await site.pins.moved(APP, V1, after.manifest.digest)
  }
  await using site = await openSite(dir.path)
  assert.deepEqual(await site.pins.completeness(), whole)
  const [amd, arm] = after.children
  assert.ok(amd && arm)
  assert.equal(await site.pins.pinnedBytes(), after.manifest.bytes.length + bytesOf(amd))
  // What nobody asked for is kept with it where it is here.
  await pullManifest(site, APP, undefined, arm)
  const kept = after.manifest.bytes.length + bytesOf(amd) + arm.manifest.bytes.length
  assert.equal(await site.pins.pinnedBytes(), kept)
  assert.deepEqual(await site.pins.completeness(), whole)
})

test('a survey for metrics is a minute old at most, and nobody waits for the next', async () => {
  await using dir = await makeTempDir()
  const clock = new Clock()
  await using site = await openSite(dir.path, clock)
  await pull(site, APP, V1, IMAGE)
  assert.equal((await site.pins.readings()).complete, 0)
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  clock.at += 60_000
  assert.equal((await site.pins.readings()).complete, 0)
  clock.at++
  assert.equal((await site.pins.readings()).complete, 0)
  await site.pins.completeness()
  assert.equal((await site.pins.readings()).complete, 1)
})

test('for content that is to go, the pins of references go, those of patterns too', async () => {
  await using dir = await makeTempDir()
  await using site = await openSite(dir.path)
  const digest = await pull(site, APP, V1, IMAGE)
  const pattern = await site.pins.pin({ pattern: '**' })
  await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: V1 } })
  assert.equal((await site.pins.unpin({ ...APP, reference: V1 })).length, 1)
  await site.catalog.deleteTag(APP, V1)
  assert.equal(site.pins.isProtected(digest), true)
  await site.pins.release((pin) => pin.digest === digest)
  assert.equal(site.pins.isProtected(digest), false)
  assert.deepEqual(site.pins.list(), [pattern])
})
