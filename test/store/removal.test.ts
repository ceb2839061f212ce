import assert from 'node:assert/strict'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts'
import type { Tag } from '../../src/oci/reference.ts'
import { PinnedError } from '../../src/store/errors.ts'
import type { Selection } from '../../src/store/selection.ts'
import {
  type CappedSite,
  DAY,
  HUB,
  isHere,
  layerOf,
  OTHER,
  openCappedSite,
  present,
  pullBlob,
  pullImage,
  pullManifest,
} from './capped-site.ts'

const KIB = 1024
const NOTHING_KEPT = { pinned: 0, inUse: 0, listed: 0 }

/** Two tags of one repository that share a layer, and one of another with the first one's bytes. */
async function openFilled() {
  const site = await openCappedSite({ cap: 1024 * KIB })
  const v1 = await pullImage(site, 'v1', { base: 10 * KIB, one: 20 * KIB })
  const v2 = await pullImage(site, 'v2', { base: 10 * KIB, two: 30 * KIB })
  const other = await pullImage(site, 'other', { other: 40 * KIB }, OTHER)
  const named = {
    v1: v1.manifest,
    v2: v2.manifest,
    base: v1.layers[0],
    one: v1.layers[1],
    two: v2.layers[1],
    other: other.manifest,
    otherLayer: other.layers[0],
  }
  return { site, named, v1: v1.manifest, v2: v2.manifest, other: other.manifest }
}

function reference(text: string): Selection {
  const reference = text.startsWith('sha256:')
    ? ({ kind: 'digest', digest: text as Digest } as const)
    : ({ kind: 'tag', tag: text as Tag } as const)
  return { kind: 'reference', ...HUB, reference }
}

/** A dry run says what the true one then does, and changes nothing. */
async function purge(site: CappedSite, selection: Selection, force = false) {
  const before = await site.catalog.totals()
  const dry = await site.purge.run(selection, { dryRun: true, force })
  assert.deepEqual(await site.catalog.totals(), before)
  const wet = await site.purge.run(selection, { force })
  assert.deepEqual(wet.items, [])
  assert.deepEqual(dry.removed, wet.removed, 'the dry run promised something else')
  const after = await site.catalog.totals()
  assert.equal(before.blobBytes - after.blobBytes, wet.removed.bytes)
  assert.equal(before.tags - after.tags, wet.removed.tags)
  assert.equal(site.quota.usedBytes, after.blobBytes)
  return { ...wet, items: dry.items }
}

test('a tag that is purged takes along what nothing else lists, and says what it freed', async () => {
  const { site, named, v1 } = await openFilled()
  await using _ = site
  const { removed, items } = await purge(site, reference('v1'))
  assert.deepEqual(await present(site, named), ['v2', 'base', 'two', 'other', 'otherLayer'])
  const { tags, manifests, blobs, kept } = removed
  assert.deepEqual(
    { tags, manifests, blobs, kept },
    { tags: 1, manifests: 1, blobs: 1, kept: NOTHING_KEPT },
  )
  assert.deepEqual(
    items.map(({ name }) => name),
    ['docker.io/library/app:v1', v1, named.one],
  )
  assert.equal(await site.catalog.getTag(HUB, 'v1' as Tag), undefined)
  assert.deepEqual(
    site.evictions.map(({ reason }) => reason),
    ['manual'],
  )
})

test('what another tag or another repository has stays, and only the name goes', async () => {
  const { site, named, v1, other } = await openFilled()
  await using _ = site
  await site.catalog.putTag(HUB, 'latest' as Tag, { digest: v1, checkedAt: 1 })
  await purge(site, reference('v1'))
  assert.ok(await isHere(site, v1))
  await site.catalog.putMember(HUB, { digest: other, size: 1, kind: 'manifest' })
  await purge(site, reference(other))
  assert.ok(await isHere(site, other))
  assert.equal(await site.catalog.getMember(HUB, other, 'manifest'), undefined, 'not there')
  await purge(site, reference(v1))
  assert.deepEqual(await present(site, { v1, one: named.one }), [])
  assert.deepEqual(await site.catalog.listTags(HUB), ['v2'])
})

test('what another tag of the repository means stays its own, without the registry', async () => {
  const { site, v1 } = await openFilled()
  await using _ = site
  await site.catalog.putTag(HUB, 'twin' as Tag, { digest: v1, checkedAt: 0 })
  await purge(site, reference('v1'))
  assert.equal((await site.catalog.getMember(HUB, v1, 'manifest'))?.isProven, true)
  assert.ok(await isHere(site, v1))
  await purge(site, reference('twin'))
  assert.equal(await site.catalog.getMember(HUB, v1, 'manifest'), undefined)
})

test('what an image that stays lists stays the place’s own, and goes with the image', async () => {
  const { site, named, v1 } = await openFilled()
  await using _ = site
  const child = { digest: v1, size: 1, kind: 'manifest' } as const
  const index = await pullManifest(site, { children: [child], tag: 'old' })
  await site.catalog.putTag(HUB, 'new' as Tag, { digest: index, checkedAt: 1 })
  const isOurs = async (digest: Digest) =>
    (await site.catalog.getMember(HUB, digest, 'manifest'))?.isProven === true
  const { removed } = await purge(site, reference(v1))
  assert.deepEqual([removed.kept.listed, removed.tags], [1, 1])
  // Of the tags that are meant the index has another, and so stays with what it lists.
  await site.catalog.putTag(HUB, 'old-arm' as Tag, { digest: v1, checkedAt: 1 })
  await purge(site, { kind: 'pattern', glob: 'docker.io/**:old*' })
  assert.deepEqual([await isOurs(v1), await isOurs(index)], [true, true])
  // Here the index stays for another place alone: nothing of it is the first one's any more.
  await site.catalog.putMember(OTHER, { digest: index, size: 1, kind: 'manifest' })
  const whole = await purge(site, { kind: 'upstream', upstream: 'docker.io' })
  assert.equal(whole.removed.kept.listed, 0)
  assert.deepEqual([await isOurs(v1), await isOurs(index)], [false, false])
  assert.deepEqual(await present(site, { ...named, index }), [
    ...['v1', 'base', 'one', 'other', 'otherLayer', 'index'],
  ])
})

test('a pattern means the tags or the repositories that it matches', async () => {
  const { site, named } = await openFilled()
  await using _ = site
  assert.equal((await purge(site, { kind: 'pattern', glob: 'docker.io/**:x*' })).removed.tags, 0)
  await purge(site, { kind: 'pattern', glob: '*.io/library/*:*2' })
  assert.deepEqual(await present(site, named), ['v1', 'base', 'one', 'other', 'otherLayer'])
  const orphan = await pullBlob(site, layerOf('orphan', 100))
  await purge(site, { kind: 'pattern', glob: 'docker.io/**' })
  assert.deepEqual(await present(site, { ...named, orphan }), ['other', 'otherLayer'])
})

test('a registry is purged whole', async () => {
  const { site, named } = await openFilled()
  await using _ = site
  await purge(site, { kind: 'upstream', upstream: 'ghcr.io' })
  assert.deepEqual(await present(site, named), ['v1', 'v2', 'base', 'one', 'two'])
})

test('pinned content is purged only by force, and of many the others go', async () => {
  const { site, named, v1 } = await openFilled()
  await using _ = site
  site.pins.add(v1)
  await assert.rejects(site.purge.run(reference('v1')), (error) => {
    assert.ok(error instanceof PinnedError)
    assert.match(error.message, /^docker\.io\/library\/app:v1 is pinned: /)
    return true
  })
  const { removed } = await purge(site, { kind: 'upstream', upstream: 'docker.io' })
  assert.ok(removed.kept.pinned > 0)
  assert.deepEqual(await present(site, named), ['v1', 'base', 'one', 'other', 'otherLayer'])
  assert.ok(await site.catalog.getTag(HUB, 'v1' as Tag))
  await purge(site, reference('v1'), true)
  assert.deepEqual(await present(site, named), ['other', 'otherLayer'])
})

test('content in use is not purged, and is counted', async () => {
  const { site, named } = await openFilled()
  await using _ = site
  const release = await site.leases.hold(named.one as Digest)
  const { removed } = await purge(site, reference('v1'))
  assert.deepEqual(removed, {
    tags: 0,
    manifests: 0,
    blobs: 0,
    bytes: 0,
    kept: { pinned: 0, inUse: 1, listed: 0 },
  })
  release()
  assert.equal((await purge(site, reference('v1'))).removed.manifests, 1)
})

test('what is not used for longer than said goes, or as much as a size demands', async () => {
  const { site, named, v2 } = await openFilled()
  await using _ = site
  site.time.now += DAY
  await site.catalog.touch(new Map([[v2, site.time.now]]))
  await purge(site, { kind: 'size', bytes: 90 * KIB })
  assert.deepEqual(await present(site, named), ['v2', 'base', 'two', 'other', 'otherLayer'])
  await purge(site, { kind: 'size', bytes: 90 * KIB })
  await purge(site, { kind: 'unused', forMs: DAY / 2 })
  assert.deepEqual(await present(site, named), ['v2', 'base', 'two'])
})

test('garbage is what a tag once meant, and what nothing lists, once a day has passed', async () => {
  const { site, named, v1, v2 } = await openFilled()
  await using _ = site
  await site.catalog.putTag(HUB, 'v1' as Tag, { digest: v2, checkedAt: site.time.now })
  const orphan = await pullBlob(site, layerOf('orphan', 100))
  const untagged = await pullImage(site, 'by digest', { d: 100 })
  await site.catalog.deleteTag(HUB, 'by digest' as Tag)
  site.database.prepare("delete from tag_history where tag = 'by digest'").run()
  const all = { ...named, orphan, untagged: untagged.manifest }
  const early = await site.garbage.collect()
  assert.equal(early.removed.blobs + early.removed.manifests, 0)
  assert.equal((await present(site, all)).length, Object.keys(all).length)
  site.time.now += 2 * DAY
  const dry = await site.garbage.collect({ dryRun: true })
  assert.deepEqual(new Set(dry.items.map(({ name }) => name)), new Set([v1, named.one, orphan]))
  const { removed } = await site.garbage.collect()
  assert.deepEqual(dry.removed, removed)
  assert.deepEqual(await present(site, all), [
    'v2',
    'base',
    'two',
    'other',
    'otherLayer',
    'untagged',
  ])
})

test('garbage that is pinned or being read stays', async () => {
  const { site, named, v1, v2 } = await openFilled()
  await using _ = site
  await site.catalog.putTag(HUB, 'v1' as Tag, { digest: v2, checkedAt: site.time.now })
  const orphan = await pullBlob(site, layerOf('orphan', 100))
  site.time.now += 2 * DAY
  site.pins.add(v1)
  await site.leases.hold(orphan)
  const { removed } = await site.garbage.collect()
  assert.deepEqual(removed.kept, { pinned: 1, inUse: 1, listed: 0 })
  assert.deepEqual(await present(site, { v1, one: named.one, orphan }), ['v1', 'one', 'orphan'])
})

test('a file that has had no row for a day goes, and a younger one stays', async () => {
  await using site = await openCappedSite({ cap: 1024 * KIB })
  site.time.now = Date.now()
  const [old, young] = [layerOf('old', 1000), layerOf('young', 1000)]
  for (const bytes of [old, young]) await site.files.put(digestOf(bytes), bytes)
  const hex = encodedOf(digestOf(old))
  const longAgo = new Date(site.time.now - 2 * DAY)
  await utimes(join(site.path, 'blobs/sha256', hex.slice(0, 2), hex), longAgo, longAgo)
  const dry = await site.garbage.collect({ dryRun: true })
  assert.deepEqual(dry.files, { count: 1, bytes: 1000 })
  assert.equal(await site.files.stat(digestOf(old)), 1000)
  const { files } = await site.garbage.collect()
  assert.deepEqual(files, { count: 1, bytes: 1000 })
  assert.equal(await site.files.stat(digestOf(old)), undefined)
  assert.equal(await site.files.stat(digestOf(young)), 1000)
})

test('where a tag has pointed that is gone is forgotten with what it meant, after a month', async () => {
  await using site = await openCappedSite({ cap: 1024 * KIB })
  const [gone, here] = ['gone' as Tag, 'here' as Tag]
  await pullImage(site, gone, { own: 10 * KIB })
  await pullImage(site, here, { other: 10 * KIB })
  await site.catalog.deleteTag(HUB, gone)
  site.time.now += 31 * DAY
  await site.upkeep.run()
  assert.equal((await site.catalog.listTagHistory(HUB, gone)).length, 1, 'it is garbage by that')
  await site.garbage.collect()
  await site.upkeep.run()
  assert.deepEqual(await site.catalog.listTagHistory(HUB, gone), [])
  assert.equal((await site.catalog.listTagHistory(HUB, here)).length, 1)
  assert.deepEqual(site.failures, [])
})

test('of registries’ lists the newest ten thousand are remembered, or 64 MiB of them', async () => {
  await using site = await openCappedSite({ cap: 1024 * KIB })
  const { catalog, time } = site
  const put = (key: string, body: string) =>
    catalog.putList(HUB, 'referrers', key, { body, checkedAt: time.now++ })
  const left = async (keys: readonly string[]) => {
    const found = await Promise.all(keys.map((key) => catalog.getList(HUB, 'referrers', key)))
    return keys.filter((_, i) => found[i] !== undefined)
  }
  site.database.exec('begin')
  for (let i = 0; i < 10_300; i++) await put(`${i}`, '[]')
  site.database.exec('commit')
  await site.upkeep.run()
  assert.deepEqual(await left(['0', '299', '300', '10299']), ['300', '10299'])
  await put('0', '[]')
  for (let i = 0; i < 40; i++) await put(`large ${i}`, ' '.repeat(2 * 1024 * KIB))
  await site.upkeep.run()
  assert.deepEqual(await left(['0', '10299', 'large 7', 'large 8', 'large 39']), [
    'large 8',
    'large 39',
  ])
  assert.deepEqual(site.failures, [])
})

test('of a tag the newest hundred moves are remembered', async () => {
  await using site = await openCappedSite({ cap: 1024 * KIB })
  const tag = 'nightly' as Tag
  const digests = Array.from({ length: 130 }, (_, i) => digestOf(Buffer.from(`${i}`)))
  site.database.exec('begin')
  for (const [i, digest] of digests.entries()) {
    site.database
      .prepare('insert or ignore into upstreams (id, name) values (1, ?)')
      .run(HUB.upstream)
    site.database
      .prepare('insert or ignore into repositories (id, upstream_id, name) values (1, 1, ?)')
      .run(HUB.repository)
    site.database
      .prepare('insert into tag_history (repository_id, tag, digest, seen_at) values (1, ?, ?, ?)')
      .run(tag, digest, i)
  }
  site.database
    .prepare('insert into tags (repository_id, tag, digest, checked_at) values (1, ?, ?, 130)')
    .run(tag, digests.at(-1))
  site.database.exec('commit')
  await site.upkeep.run()
  const left = await site.catalog.listTagHistory(HUB, tag)
  assert.deepEqual(
    left.map(({ digest }) => digest),
    digests.slice(30),
  )
  assert.deepEqual(site.failures, [])
})
