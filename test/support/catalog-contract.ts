import assert from 'node:assert/strict'
import { test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Child } from '../../src/oci/manifest.ts'
import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import type { Catalog, ManifestRecord, Place } from '../../src/store/ports.ts'

/** A catalog of the test's own, gone at the end. */
export interface TestCatalog extends AsyncDisposable {
  readonly catalog: Catalog
}

const HUB: Place = { upstream: 'docker.io', repository: parseRepository('library/alpine') }
const QUAY: Place = { upstream: 'quay.io', repository: parseRepository('library/alpine') }
const OTHER: Place = { upstream: 'docker.io', repository: parseRepository('library/nginx') }
const V1 = 'v1' as Tag

/** What every catalog does, whatever it keeps its rows in. */
export function testCatalog(name: string, createCatalog: () => Promise<TestCatalog>): void {
  const contract = (sentence: string, run: (catalog: Catalog) => Promise<void>) =>
    test(`${name}: ${sentence}`, async () => {
      await using made = await createCatalog()
      await run(made.catalog)
    })

  contract('nothing is known at first', async (catalog) => {
    const digest = digestNamed('x')
    assert.equal(await catalog.getManifest(HUB, digest), undefined)
    assert.equal(await catalog.findManifest(digest), undefined)
    assert.equal(await catalog.getMember(HUB, digest, 'blob'), undefined)
    assert.deepEqual(await catalog.listReferrers(HUB, digest), [])
    assert.equal(await catalog.getTag(HUB, V1), undefined)
    assert.deepEqual(await catalog.listTags(HUB), [])
    assert.equal(await catalog.getList(HUB, 'tags', ''), undefined)
    assert.equal(await catalog.getBlob(digest), undefined)
    assert.deepEqual(await catalog.totals(), { blobs: 0, blobBytes: 0, manifests: 0, tags: 0 })
  })

  contract('to delete what is not there is no error', async (catalog) => {
    await catalog.deleteMember(HUB, digestNamed('x'), 'blob')
    await catalog.deleteTag(HUB, V1)
    await catalog.deleteLists(HUB, 'tags')
    await catalog.deleteBlob(digestNamed('x'))
    await catalog.touch(new Map([[digestNamed('x'), 1]]))
    assert.equal(await catalog.getBlob(digestNamed('x')), undefined)
  })

  contract('a manifest comes back as it was put', async (catalog) => {
    const full: ManifestRecord = {
      ...manifest('full'),
      subject: digestNamed('subject'),
      artifactType: 'application/vnd.example',
      annotations: { 'org.example': 'a "quoted" ü', __proto: 'x' },
    }
    for (const record of [manifest('plain'), full]) {
      await catalog.putManifest(HUB, record, [])
      assert.deepEqual(await catalog.getManifest(HUB, record.digest), record)
      assert.deepEqual(await catalog.findManifest(record.digest), record)
    }
  })

  contract(
    'a place has the manifests put there, and what they list, and no other place',
    async (catalog) => {
      const record = manifest('index')
      const children: Child[] = [
        { digest: digestNamed('child'), size: 5, kind: 'manifest' },
        { digest: digestNamed('layer'), size: 7, kind: 'blob' },
        { digest: digestNamed('layer'), size: 7, kind: 'blob' },
        { digest: digestNamed('old'), size: -1, kind: 'blob' },
      ]
      await catalog.putManifest(HUB, record, children)
      const listed = (size: number) => ({ size, isProven: false })
      assert.deepEqual(await catalog.getMember(HUB, record.digest, 'manifest'), {
        size: record.size,
        isProven: true,
      })
      assert.deepEqual(await catalog.getMember(HUB, digestNamed('child'), 'manifest'), listed(5))
      assert.deepEqual(await catalog.getMember(HUB, digestNamed('layer'), 'blob'), listed(7))
      assert.deepEqual(await catalog.getMember(HUB, digestNamed('old'), 'blob'), listed(-1))
      assert.equal(await catalog.getMember(HUB, digestNamed('layer'), 'manifest'), undefined)
      assert.equal(await catalog.getMember(HUB, digestNamed('child'), 'blob'), undefined)
      for (const place of [QUAY, OTHER]) {
        assert.equal(await catalog.getManifest(place, record.digest), undefined)
        assert.equal(await catalog.getMember(place, digestNamed('layer'), 'blob'), undefined)
      }
      assert.deepEqual(await catalog.findManifest(record.digest), record)
      assert.equal(await catalog.findManifest(digestNamed('child')), undefined, 'listed, not here')
    },
  )

  contract('what is listed is proven by its registry only, and stays proven', async (catalog) => {
    const digest = digestNamed('layer')
    const isProven = async (place: Place) =>
      (await catalog.getMember(place, digest, 'blob'))?.isProven
    const child: Child = { digest, size: 7, kind: 'blob' }
    for (const place of [HUB, QUAY, OTHER]) await catalog.putManifest(place, manifest('m'), [child])
    await catalog.putMember(HUB, { ...child, size: -1 })
    await catalog.putBlob(digest, 7, 1, QUAY)
    await catalog.putManifest(HUB, manifest('again'), [child])
    assert.deepEqual(await catalog.getMember(HUB, digest, 'blob'), { size: 7, isProven: true })
    assert.equal(await isProven(QUAY), true)
    assert.equal(await isProven(OTHER), false, 'another place of the same upstream')
  })

  contract(
    'what a public place was shown to have is proven wherever it is listed',
    async (catalog) => {
      const digest = digestNamed('layer')
      const child: Child = { digest, size: 7, kind: 'blob' }
      const isProven = async () => (await catalog.getMember(QUAY, digest, 'blob'))?.isProven
      await catalog.putManifest(QUAY, manifest('m'), [child])
      await catalog.putPublicAt(HUB, 1)
      await catalog.putManifest(HUB, manifest('m'), [child])
      assert.equal(await isProven(), false, 'the public place merely lists it too')
      await catalog.putBlob(digest, 7, 1, HUB)
      assert.equal(await isProven(), true)
      assert.equal(await catalog.getMember(OTHER, digest, 'blob'), undefined, 'not listed there')
      await catalog.putPublicAt(HUB, undefined)
      assert.equal(await isProven(), false)
    },
  )

  contract('a place is there once anything was learned of it', async (catalog) => {
    assert.equal(await catalog.hasPlace(HUB), false)
    await catalog.getMember(HUB, digestNamed('x'), 'blob')
    assert.equal(await catalog.hasPlace(HUB), false)
    await catalog.putMember(HUB, { digest: digestNamed('x'), size: 1, kind: 'blob' })
    assert.equal(await catalog.hasPlace(HUB), true)
    assert.equal(await catalog.hasPlace(OTHER), false)
  })

  contract('a child that a place lists as a blob is no manifest of it', async (catalog) => {
    const record = manifest('two-faced')
    await catalog.putManifest(QUAY, record, [])
    await catalog.putMember(HUB, { digest: record.digest, size: 3, kind: 'blob' })
    assert.equal(await catalog.getManifest(HUB, record.digest), undefined)
    await catalog.putMember(HUB, { digest: record.digest, size: 3, kind: 'manifest' })
    assert.deepEqual(await catalog.getManifest(HUB, record.digest), record)
  })

  contract('a manifest put again, there or elsewhere, is one manifest', async (catalog) => {
    const record = manifest('m')
    await catalog.putManifest(HUB, record, [{ digest: digestNamed('l'), size: 1, kind: 'blob' }])
    await catalog.putManifest(HUB, record, [{ digest: digestNamed('l'), size: 1, kind: 'blob' }])
    await catalog.putManifest(QUAY, record, [])
    assert.deepEqual(await catalog.getManifest(QUAY, record.digest), record)
    assert.equal((await catalog.totals()).manifests, 1)
  })

  contract('a size that is known is not given up for an unknown one', async (catalog) => {
    const digest = digestNamed('blob')
    const sizeNow = async () => (await catalog.getMember(HUB, digest, 'blob'))?.size
    await catalog.putMember(HUB, { digest, size: -1, kind: 'blob' })
    assert.equal(await sizeNow(), -1)
    await catalog.putMember(HUB, { digest, size: 9, kind: 'blob' })
    assert.equal(await sizeNow(), 9)
    await catalog.putMember(HUB, { digest, size: -1, kind: 'blob' })
    assert.equal(await sizeNow(), 9)
  })

  contract('a member that is deleted is gone from that place and kind only', async (catalog) => {
    const digest = digestNamed('blob')
    await catalog.putMember(HUB, { digest, size: 1, kind: 'blob' })
    await catalog.putMember(HUB, { digest, size: 1, kind: 'manifest' })
    await catalog.putMember(QUAY, { digest, size: 1, kind: 'blob' })
    await catalog.deleteMember(HUB, digest, 'blob')
    assert.equal(await catalog.getMember(HUB, digest, 'blob'), undefined)
    assert.ok(await catalog.getMember(HUB, digest, 'manifest'))
    assert.ok(await catalog.getMember(QUAY, digest, 'blob'))
  })

  contract('referrers are those of the place and the subject', async (catalog) => {
    const subject = digestNamed('subject')
    const one = { ...manifest('one'), subject }
    const two = { ...manifest('two'), subject }
    await catalog.putManifest(HUB, one, [])
    await catalog.putManifest(HUB, two, [])
    await catalog.putManifest(HUB, { ...manifest('three'), subject: digestNamed('elsewhere') }, [])
    await catalog.putManifest(HUB, manifest('four'), [])
    await catalog.putManifest(QUAY, { ...manifest('five'), subject }, [])
    const found = await catalog.listReferrers(HUB, subject)
    assert.deepEqual(new Set(found.map(({ digest }) => digest)), new Set([one.digest, two.digest]))
    assert.deepEqual(
      found.find(({ digest }) => digest === one.digest),
      one,
    )
  })

  contract('a tag put with its manifest is there', async (catalog) => {
    const record = manifest('m')
    await catalog.putManifest(HUB, record, [], { tag: V1, checkedAt: 1000 })
    assert.deepEqual(await catalog.getTag(HUB, V1), { digest: record.digest, checkedAt: 1000 })
    assert.equal(await catalog.getTag(QUAY, V1), undefined)
  })

  contract('a tag moves, and goes', async (catalog) => {
    const first = { digest: digestNamed('1'), checkedAt: 1 }
    const second = { digest: digestNamed('2'), checkedAt: 2 }
    await catalog.putTag(HUB, V1, first)
    await catalog.putTag(QUAY, V1, first)
    await catalog.putTag(HUB, V1, second)
    assert.deepEqual(await catalog.getTag(HUB, V1), second)
    await catalog.deleteTag(HUB, V1)
    assert.equal(await catalog.getTag(HUB, V1), undefined)
    assert.deepEqual(await catalog.getTag(QUAY, V1), first)
  })

  contract(
    'a refused tag keeps what it meant, until its registry says it again',
    async (catalog) => {
      const said = { digest: digestNamed('1'), checkedAt: 1 }
      await catalog.refuseTag(HUB, V1, 2)
      assert.equal(await catalog.getTag(HUB, V1), undefined)
      await catalog.putTag(HUB, V1, said)
      await catalog.putTag(QUAY, V1, said)
      await catalog.refuseTag(HUB, V1, 3)
      assert.deepEqual(await catalog.getTag(HUB, V1), { ...said, refusedAt: 3 })
      assert.deepEqual(await catalog.getTag(QUAY, V1), said)
      await catalog.putTag(HUB, V1, { ...said, checkedAt: 4 })
      assert.deepEqual(await catalog.getTag(HUB, V1), { ...said, checkedAt: 4 })
    },
  )

  contract('tags are listed in byte order', async (catalog) => {
    const tags = ['b', 'B', '_x', '10', '9', 'a.1', 'a-1', 'aa'] as Tag[]
    for (const tag of tags)
      await catalog.putTag(HUB, tag, { digest: digestNamed(tag), checkedAt: 1 })
    await catalog.putTag(OTHER, 'other' as Tag, { digest: digestNamed('o'), checkedAt: 1 })
    assert.deepEqual(await catalog.listTags(HUB), ['10', '9', 'B', '_x', 'a-1', 'a.1', 'aa', 'b'])
  })

  contract('lists are remembered by place, kind and key', async (catalog) => {
    await catalog.putList(HUB, 'tags', '', { body: '["a"]', checkedAt: 1 })
    await catalog.putList(HUB, 'referrers', 'x', { body: '[]', checkedAt: 2 })
    await catalog.putList(HUB, 'referrers', 'y', { body: '[1]', checkedAt: 2 })
    await catalog.putList(HUB, 'referrers', 'x', { body: '[2]', checkedAt: 3 })
    assert.deepEqual(await catalog.getList(HUB, 'tags', ''), { body: '["a"]', checkedAt: 1 })
    assert.deepEqual(await catalog.getList(HUB, 'referrers', 'x'), { body: '[2]', checkedAt: 3 })
    assert.equal(await catalog.getList(QUAY, 'tags', ''), undefined)
    await catalog.deleteLists(HUB, 'referrers')
    assert.equal(await catalog.getList(HUB, 'referrers', 'x'), undefined)
    assert.equal(await catalog.getList(HUB, 'referrers', 'y'), undefined)
    assert.ok(await catalog.getList(HUB, 'tags', ''))
  })

  contract('a blob is there until it is deleted', async (catalog) => {
    const digest = digestNamed('blob')
    await catalog.putBlob(digest, 100, 5)
    assert.deepEqual(await catalog.getBlob(digest), { size: 100, verifiedAt: 5 })
    await catalog.touch(new Map([[digest, 50]]))
    assert.deepEqual(
      await catalog.getBlob(digest),
      { size: 100, verifiedAt: 5 },
      'used, not checked',
    )
    await catalog.deleteBlob(digest)
    assert.equal(await catalog.getBlob(digest), undefined)
  })

  contract('totals follow every change, and count nothing twice', async (catalog) => {
    await catalog.putBlob(digestNamed('1'), 100, 1)
    await catalog.putBlob(digestNamed('2'), 20, 1)
    await catalog.putBlob(digestNamed('1'), 100, 2)
    await catalog.putManifest(HUB, manifest('m'), [], { tag: V1, checkedAt: 1 })
    await catalog.putManifest(QUAY, manifest('m'), [], { tag: V1, checkedAt: 1 })
    await catalog.putTag(HUB, V1, { digest: digestNamed('2'), checkedAt: 2 })
    assert.deepEqual(await catalog.totals(), { blobs: 2, blobBytes: 120, manifests: 1, tags: 2 })
    await catalog.putBlob(digestNamed('2'), 21, 1)
    await catalog.deleteBlob(digestNamed('1'))
    await catalog.deleteBlob(digestNamed('1'))
    await catalog.deleteTag(HUB, V1)
    assert.deepEqual(await catalog.totals(), { blobs: 1, blobBytes: 21, manifests: 1, tags: 1 })
  })

  contract('hostile text is only text', async (catalog) => {
    const tag = "x'); drop table tags; --" as Tag
    const place = { upstream: "a' or '1'='1", repository: parseRepository('a/b') }
    await catalog.putTag(place, tag, { digest: digestNamed('x'), checkedAt: 1 })
    assert.deepEqual(await catalog.listTags(place), [tag])
    assert.deepEqual(await catalog.listTags(HUB), [])
  })

  contract(
    'after close every question is refused, and a second close is no error',
    async (catalog) => {
      await catalog.close()
      await catalog.close()
      await assert.rejects(catalog.totals())
      await assert.rejects(catalog.putBlob(digestNamed('x'), 1, 1))
    },
  )
}

function manifest(name: string): ManifestRecord {
  return {
    digest: digestNamed(`manifest ${name}`),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: 500 + name.length,
    subject: undefined,
    artifactType: undefined,
    annotations: {},
  }
}

function digestNamed(name: string): Digest {
  return digestOf(Buffer.from(name))
}
