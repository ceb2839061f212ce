import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { NoRoomError } from '../../src/store/errors.ts'
import { Barrier } from '../support/barrier.ts'
import {
  DAY,
  HOUR,
  HUB,
  isHere,
  layerOf,
  openCappedSite,
  present,
  pullBlob,
  pullImage,
  pullManifest,
} from './capped-site.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('what was not used for the longest time makes room, as a whole image', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const a = await pullImage(site, 'a', { a1: 2 * MIB, a2: MIB })
  const b = await pullImage(site, 'b', { b1: 3 * MIB })
  const c = await pullImage(site, 'c', { c1: 3 * MIB })
  site.time.now += HOUR
  await site.catalog.touch(new Map([[a.manifest, site.time.now]]))
  const d = await pullImage(site, 'd', { d1: 3 * MIB })
  await site.admission.idle()
  const named = { a: a.manifest, a1: a.layers[0], a2: a.layers[1], c: c.manifest, d: d.manifest }
  // The pull of a tag counts for all its layers. Below the low water mark only two of three fit.
  assert.deepEqual(await present(site, { ...named, b: b.manifest, b1: b.layers[0] }), [
    'a',
    'a1',
    'a2',
    'd',
  ])
  assert.ok(site.quota.usedBytes <= 9 * MIB)
  assert.equal(site.quota.usedBytes, (await site.catalog.totals()).blobBytes)
  assert.deepEqual(new Set(site.evictions.map(({ reason }) => reason)), new Set(['lru']))
})

test('how far back the cache reaches says neither what is pinned nor a layer of what is pulled', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const { time, pins, catalog, eviction } = site
  assert.equal(await eviction.reachesBackTo(), undefined)
  const pinned = await pullImage(site, 'pinned', { p: MIB })
  pins.add(pinned.manifest)
  assert.equal(await eviction.reachesBackTo(), undefined, 'nothing may leave')
  const pulled = await pullImage(site, 'pulled', { l: MIB })
  const other = await pullImage(site, 'other', { o: MIB })
  const otherAt = time.now
  time.now += DAY
  await catalog.touch(new Map([[pulled.manifest, time.now]]))
  assert.equal(await eviction.reachesBackTo(), otherAt)
  await eviction.gain(1)
  assert.deepEqual(await present(site, { other: other.manifest }), [])
  assert.equal(await eviction.reachesBackTo(), time.now)
  pins.delete(pinned.manifest)
  eviction.lookAgain()
  assert.ok(((await eviction.reachesBackTo()) ?? 0) < otherAt)
})

test('a layer stays while anything that is kept lists it', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const old = await pullImage(site, 'old', { base: 2 * MIB, old: 3 * MIB })
  const newer = await pullImage(site, 'newer', { base: 2 * MIB, newer: 3 * MIB })
  await site.eviction.gain(MIB)
  const [base, oldLayer] = old.layers
  assert.deepEqual(await present(site, { base, oldLayer, newer: newer.manifest }), [
    'base',
    'newer',
  ])
  await site.eviction.gain(MIB)
  assert.deepEqual(await present(site, { base, newer: newer.manifest }), [])
  assert.deepEqual(await site.catalog.totals(), { blobs: 0, blobBytes: 0, manifests: 0, tags: 0 })
})

test('an index leaves with its manifests, and what nobody pulled of it is forgotten', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const amd = await pullImage(site, 'amd', { amd: MIB })
  const arm = digestOf(Buffer.from('an image that was not pulled'))
  const index = await pullManifest(site, {
    children: [
      { digest: amd.manifest, size: 1, kind: 'manifest' },
      { digest: arm, size: 2, kind: 'manifest' },
    ],
    tag: 'index',
  })
  assert.ok(await site.catalog.getMember(HUB, arm, 'manifest'))
  await site.eviction.gain(1)
  assert.deepEqual(await present(site, { index, manifest: amd.manifest, layer: amd.layers[0] }), [])
  assert.equal(await site.catalog.getMember(HUB, arm, 'manifest'), undefined)
  assert.deepEqual(new Set(site.removed), new Set([index, amd.manifest, ...amd.layers]))
  const history = await site.catalog.listTagHistory(HUB, 'index' as never)
  assert.deepEqual(
    history.map(({ digest }) => digest),
    [index],
  )
})

test('a manifest that was pulled long after its index stays without it, until its own time', async () => {
  await using site = await openCappedSite({ cap: 20 * MIB })
  const child = await pullImage(site, 'child', { child: MIB })
  const children = [{ digest: child.manifest, size: 1, kind: 'manifest' }] as const
  const index = await pullManifest(site, { children })
  const later = await pullImage(site, 'later', { later: MIB })
  site.time.now += DAY
  await site.catalog.touch(new Map([[child.manifest, site.time.now]]))
  await site.eviction.gain(1)
  assert.deepEqual(await present(site, { index, child: child.manifest, layer: child.layers[0] }), [
    'child',
    'layer',
  ])
  await site.eviction.gain(MIB)
  assert.deepEqual(await present(site, { later: later.manifest, child: child.manifest }), ['child'])
  await site.eviction.gain(MIB)
  assert.equal(site.quota.usedBytes, 0)
})

test('what is pinned stays, with all that it lists', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const pinned = await pullImage(site, 'pinned', { p: 3 * MIB, shared: MIB })
  const children = [{ digest: pinned.manifest, size: 1, kind: 'manifest' }] as const
  const index = await pullManifest(site, { children })
  const free = await pullImage(site, 'free', { f: 3 * MIB, shared: MIB })
  site.pins.add(pinned.manifest)
  assert.equal(await site.eviction.gain(4 * MIB), undefined, 'so much cannot be gained')
  assert.ok(await isHere(site, free.manifest), 'so nothing was removed')
  await site.eviction.reduce(100 * MIB)
  const named = { pinned: pinned.manifest, p: pinned.layers[0], shared: pinned.layers[1], index }
  assert.deepEqual(await present(site, named), ['pinned', 'p', 'shared'])
  site.pins.clear()
  await site.eviction.reduce(100 * MIB)
  assert.equal(site.quota.usedBytes, 0)
})

test('an image of which a layer is being read stays, and what is not goes instead', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const read = await pullImage(site, 'read', { r1: MIB, r2: MIB })
  const idle = await pullImage(site, 'idle', { idle: MIB })
  const release = await site.leases.hold(read.layers[1] ?? read.manifest)
  await site.eviction.gain(MIB)
  assert.deepEqual(await present(site, { read: read.manifest, idle: idle.manifest }), ['read'])
  release()
  await site.eviction.gain(MIB)
  assert.equal(site.quota.usedBytes, 0)
})

test('what becomes used, pinned or listed between the plan and the deed stays', async () => {
  let onChosen = () => {}
  await using site = await openCappedSite({
    cap: 10 * MIB,
    failAt: (point) => {
      if (point === 'evict.chosen') onChosen()
    },
  })
  const image = await pullImage(site, 'a', { one: MIB, two: MIB, three: MIB })
  const [one, two, three] = image.layers as [Digest, Digest, Digest]
  const newer = digestOf(Buffer.from('newer'))
  let listing: Promise<unknown> = Promise.resolve()
  onChosen = () => {
    site.leases.holdOn(one)
    site.pins.add(two)
    const record = { digest: newer, mediaType: OCI_MANIFEST, size: 1, subject: undefined }
    const child = { digest: three, size: MIB, kind: 'blob' } as const
    const manifest = { ...record, artifactType: undefined, annotations: {} }
    listing = Promise.all([
      site.catalog.putManifest(HUB, manifest, [child]),
      site.catalog.putBlob(newer, 1, site.time.now),
    ])
  }
  await site.eviction.gain(MIB)
  await listing
  assert.deepEqual(await present(site, { one, two, three, image: image.manifest }), [
    'one',
    'two',
    'three',
  ])
})

test('a blob that is larger than the cache evicts nothing and is refused', async () => {
  await using site = await openCappedSite({ cap: 4 * MIB })
  const image = await pullImage(site, 'a', { a: 3 * MIB })
  await assert.rejects(pullBlob(site, layerOf('huge', 5 * MIB)), NoRoomError)
  assert.ok(await isHere(site, image.manifest))
  assert.deepEqual(await site.files.listParts(), [])
  assert.equal(site.quota.partialBytes, 0)
  assert.equal(site.quota.usedBytes, (await site.catalog.totals()).blobBytes)
})

test('a download of unknown size asks as it grows, and may not push everything out', async () => {
  await using site = await openCappedSite({ cap: 8 * MIB })
  const image = await pullImage(site, 'a', { a: 3 * MIB })
  const bytes = layerOf('unknown', 6 * MIB)
  const ingest = await site.blobs.ingest(digestOf(bytes))
  await ingest.append([bytes.subarray(0, 4 * MIB)])
  assert.equal(site.quota.partialBytes, 4 * MIB)
  await assert.rejects(ingest.append([bytes.subarray(4 * MIB)]), NoRoomError)
  await ingest.discard()
  assert.equal(site.quota.partialBytes, 0)
  assert.ok(await isHere(site, image.manifest))
})

test('an image is not evicted to make room for a layer of its own', async () => {
  await using site = await openCappedSite({ cap: 5 * MIB })
  const other = await pullImage(site, 'other', { other: MIB })
  await assert.rejects(
    pullImage(site, 'wide', { w1: 2 * MIB, w2: 2 * MIB, w3: 2 * MIB }),
    NoRoomError,
  )
  const [w1, w2, w3] = ['w1', 'w2', 'w3'].map((name) => digestOf(layerOf(name, 2 * MIB)))
  assert.deepEqual(await present(site, { w1, w2, w3, other: other.manifest }), ['w1', 'w2'])
})

test('no room is made for what is being stored out of what is being stored', async () => {
  await using site = await openCappedSite({ cap: 4 * MIB })
  const one = layerOf('one', 3 * MIB)
  const two = layerOf('two', 3 * MIB)
  const first = await site.blobs.ingest(digestOf(one))
  first.expect(one.length)
  await first.append([one.subarray(0, KIB)])
  await assert.rejects(pullBlob(site, two), NoRoomError, 'the other was promised the room')
  await first.append([one.subarray(KIB)])
  await first.commit()
  await first.close()
  assert.equal(site.quota.usedBytes, one.length, 'landed, and not yet in the catalog')
  await site.catalog.putBlob(digestOf(one), one.length, site.time.now)
  assert.equal(site.quota.usedBytes, one.length)
  site.time.elapsed += 60_000
  site.time.now += DAY
  await pullBlob(site, two)
  assert.equal(await isHere(site, digestOf(one)), false)
})

test('a part from an earlier run counts, and goes when nobody has gone on with it for a day', async () => {
  await using first = await openCappedSite({ cap: 10 * MIB })
  const bytes = layerOf('part', 2 * MIB)
  const ingest = await first.blobs.ingest(digestOf(bytes))
  await ingest.append([bytes.subarray(0, MIB)])
  await ingest.close()
  assert.equal(first.quota.usedBytes, MIB)
  await first.close()
  await using site = await openCappedSite({ cap: 10 * MIB, path: first.path })
  assert.equal(site.quota.partialBytes, MIB)
  site.time.now = Date.now() + DAY / 2
  await site.upkeep.run()
  assert.equal(site.quota.partialBytes, MIB)
  site.time.now = Date.now() + 2 * DAY
  const resumed = await site.blobs.ingest(digestOf(bytes))
  await site.upkeep.run()
  assert.equal((await site.files.listParts()).length, 1, 'somebody goes on with it')
  await resumed.close()
  await site.upkeep.run()
  assert.deepEqual(await site.files.listParts(), [])
  assert.equal(site.quota.usedBytes, 0)
})

test('a part of what has come by another way goes at once', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  site.time.now = Date.now()
  const [brought, begun] = [layerOf('brought', MIB), layerOf('begun', MIB)]
  for (const bytes of [brought, begun]) {
    const ingest = await site.blobs.ingest(digestOf(bytes))
    await ingest.append([bytes.subarray(0, MIB / 2)])
    await ingest.close()
  }
  const staged = await site.blobs.stage(MIB)
  await staged.append([brought])
  await staged.commit(digestOf(brought))
  await site.catalog.putBlob(digestOf(brought), MIB, site.time.now, HUB)
  await site.upkeep.run()
  const parts = await site.files.listParts()
  assert.deepEqual(
    parts.map(({ digest }) => digest),
    [digestOf(begun)],
  )
})

test('a disk that others fill gives way, unless that would not help', async () => {
  await using site = await openCappedSite({ cap: 100 * MIB })
  const old = await pullImage(site, 'old', { old: 4 * MIB })
  const young = await pullImage(site, 'young', { young: 3 * MIB })
  site.settings.value = { ...site.settings.value, minFree: { bytes: 10 * MIB } }
  site.disk.value = { size: 1000 * MIB, free: 10 * MIB }
  site.time.elapsed += 5_000
  const bytes = layerOf('new', 2 * MIB)
  await site.admission.reserve(digestOf(bytes), bytes.length)
  await site.admission.idle()
  assert.deepEqual(await present(site, { old: old.manifest, young: young.manifest }), ['young'])
  site.quota.release(digestOf(bytes))
  site.disk.value = { size: 1000 * MIB, free: 0 }
  site.time.elapsed += 5_000
  await assert.rejects(site.admission.reserve(digestOf(bytes), bytes.length), NoRoomError)
  await site.admission.relieve()
  assert.deepEqual(await present(site, { young: young.manifest }), ['young'])
})

test('a smaller cap counts at the next look, and a share is one of the file system', async () => {
  await using site = await openCappedSite({ cap: 100 * MIB })
  const old = await pullImage(site, 'old', { old: 3 * MIB })
  const young = await pullImage(site, 'young', { young: 3 * MIB })
  site.disk.value = { size: 50 * MIB, free: 40 * MIB }
  site.settings.value = { ...site.settings.value, maxSize: { percent: 10 } }
  site.time.elapsed += 5_000
  await site.admission.relieve()
  assert.deepEqual(await present(site, { old: old.manifest, young: young.manifest }), ['young'])
  assert.equal(site.quota.maxBytes, 5 * MIB)
})

test('what was not used for too long leaves, and nothing else', async () => {
  await using site = await openCappedSite({ cap: 100 * MIB })
  const old = await pullImage(site, 'old', { shared: MIB, old: MIB })
  site.time.now += 20 * DAY
  const young = await pullImage(site, 'young', { shared: MIB, young: MIB })
  site.settings.value = { ...site.settings.value, unusedForMs: 30 * DAY }
  site.time.now += 15 * DAY
  await site.upkeep.run()
  const named = { old: old.manifest, shared: old.layers[0], oldLayer: old.layers[1] }
  assert.deepEqual(await present(site, { ...named, young: young.manifest }), ['shared', 'young'])
  assert.deepEqual(
    site.evictions.map(({ reason, contents }) => ({ reason, contents })),
    [{ reason: 'unused', contents: 2 }],
  )
})

test('in the first moments what is to be stored waits until it is known what is here', async () => {
  const known = new Barrier()
  await using site = await openCappedSite({ cap: 4 * MIB, ready: known.wait() })
  let isStored = false
  const storing = pullBlob(site, layerOf('a', MIB)).then(() => {
    isStored = true
  })
  await site.quota.refresh(true)
  assert.equal(isStored, false)
  known.release()
  await storing
})

test('what would wait for too long for that passes through: a cap that is not counted holds too', async () => {
  const known = new Barrier()
  await using site = await openCappedSite({ cap: 4 * MIB, ready: known.wait() })
  await assert.rejects(pullBlob(site, layerOf('a', MIB)), NoRoomError)
  known.release()
  await known.wait()
  await pullBlob(site, layerOf('a', MIB))
})

test('when no room can be made that is found out once, not for each that asks', async () => {
  await using site = await openCappedSite({ cap: 4 * MIB })
  const { manifest } = await pullImage(site, 'a', { a: 3 * MIB })
  site.pins.add(manifest)
  const pages: number[] = []
  const { retention } = site.catalog
  const original = retention.pageByUse.bind(retention)
  retention.pageByUse = (after, limit) => {
    pages.push(limit)
    return original(after, limit)
  }
  const wanted = digestOf(Buffer.from('wanted'))
  for (let i = 0; i < 5; i++) {
    await assert.rejects(site.admission.reserve(wanted, 2 * MIB), NoRoomError)
  }
  const once = pages.length
  assert.ok(once > 0 && once <= 3)
  site.pins.clear()
  site.time.elapsed += 11_000
  await site.admission.reserve(wanted, 2 * MIB)
})

test('a database that refuses does not keep files from going, and its rows go later', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const { manifest, layers } = await pullImage(site, 'a', { a: 3 * MIB, b: MIB })
  const young = await pullImage(site, 'young', { young: MIB })
  site.database.pragma('query_only = on')
  await site.eviction.gain(4 * MIB)
  for (const digest of [manifest, ...layers]) assert.equal(await site.files.stat(digest), undefined)
  assert.ok(await site.catalog.getBlob(manifest), 'its row is still there')
  assert.ok(site.quota.usedBytes < 2 * MIB, 'and counts no longer')
  assert.deepEqual(new Set(site.failures), new Set(['evict']))
  site.database.pragma('query_only = off')
  // One of them is fetched again before its row could be deleted.
  await site.blobs.put(digestOf(layerOf('b', MIB)), layerOf('b', MIB))
  await site.eviction.reduce(1)
  assert.equal(await site.catalog.getBlob(manifest), undefined)
  assert.deepEqual(await present(site, { b: layers[1], a: layers[0] }), [])
  assert.equal(await isHere(site, young.manifest), true)
})

test('what is being deleted takes its room until it is gone', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  await pullImage(site, 'old', { old: 3 * MIB })
  const before = site.quota.usedBytes
  const seen: number[] = []
  const original = site.files.delete.bind(site.files)
  site.files.delete = async (digest) => {
    // What else goes has begun to by then.
    await Promise.resolve()
    seen.push(site.quota.usedBytes)
    await original(digest)
  }
  await site.eviction.gain(1)
  assert.deepEqual(seen, [before, before])
  assert.equal(site.quota.usedBytes, 0)
})

test('a content that is stored again while its old file goes is not lost', async () => {
  await using site = await openCappedSite({ cap: 10 * MIB })
  const bytes = layerOf('again', MIB)
  const digest = await pullBlob(site, bytes)
  const gone = new Barrier()
  const original = site.files.delete.bind(site.files)
  site.files.delete = async (one) => {
    await gone.wait()
    await original(one)
  }
  const evicting = site.eviction.gain(1)
  await gone.arrived()
  const pulling = pullBlob(site, bytes)
  gone.release()
  await Promise.all([evicting, pulling])
  assert.ok(await isHere(site, digest))
})

test('damaged content that was put aside has its bounds, oldest out first', async () => {
  await using site = await openCappedSite({ cap: 100 * MIB })
  const names = ['one', 'two', 'three'].map((name) => encodedOf(digestOf(Buffer.from(name))))
  for (const [age, name] of names.entries()) {
    const at = site.time.now - (3 - age) * DAY
    await writeFile(join(site.path, 'quarantine', `${name}.${at}`), Buffer.alloc(2 * MIB))
  }
  await site.upkeep.run()
  const left = await site.files.listQuarantined()
  assert.deepEqual(
    left.map(({ name }) => name.split('.')[0]),
    names.slice(1),
    '5 % of the cap',
  )
  site.time.now += 29 * DAY
  await site.upkeep.run()
  assert.equal((await site.files.listQuarantined()).length, 1, 'a month')
})
