import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRepository } from '../../src/oci/reference.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import type { Place } from '../../src/store/ports.ts'
import { timed } from '../../src/store/query-times.ts'
import { recalling } from '../../src/store/recall.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const OWN: Place = { upstream: 'r.test', repository: parseRepository('acme/own') }
const OTHER: Place = { upstream: 'r.test', repository: parseRepository('acme/other') }
const digest = digestOf(Buffer.from('layer'))
const child = { digest, size: 5, kind: 'blob' } as const

/** A catalog in which the blob is known and proven, and how often the database was read. */
async function open() {
  const dir = await makeTempDir()
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  const plain = new SqliteCatalog(database)
  let reads = 0
  const catalog = recalling(
    timed(plain, (kind) => {
      if (kind === 'read') reads++
    }),
  )
  await catalog.putBlob(digest, 5, 1, OWN)
  const ask = async (place = OWN) => ({
    member: await catalog.getMember(place, digest, 'blob'),
    blob: await catalog.getBlob(digest),
  })
  return {
    catalog,
    plain,
    ask,
    reads: () => reads,
    async [Symbol.asyncDispose]() {
      await catalog.close()
      await dir.remove()
    },
  }
}

test('the database is asked once for what every hit wants to know', async () => {
  await using site = await open()
  const first = await site.ask()
  assert.equal(site.reads(), 2)
  for (let i = 0; i < 10; i++) assert.deepEqual(await site.ask(), first)
  assert.equal(site.reads(), 2)
  assert.equal(first.member?.isProven, true)
  assert.equal(first.blob?.size, 5)
})

test('what is not proven, or not here, is asked for each time', async () => {
  await using site = await open()
  await site.plain.putManifest(OTHER, manifestOf(digest), [child])
  for (let i = 0; i < 3; i++) assert.equal((await site.ask(OTHER)).member?.isProven, false)
  assert.equal(await site.catalog.getBlob(digestOf(Buffer.from('nothing'))), undefined)
  await site.plain.putMember(OTHER, child)
  assert.equal((await site.ask(OTHER)).member?.isProven, true)
})

type Site = Awaited<ReturnType<typeof open>>

/** Whoever writes, and past whatever. */
const CHANGES: readonly (readonly [string, (site: Site) => unknown])[] = [
  [
    'a delete that went through to the registry',
    ({ plain }) => plain.deleteMember(OWN, digest, 'blob'),
  ],
  ['a purge', ({ plain }) => plain.selection.deleteMember(1, digest)],
  ['an eviction', ({ plain }) => plain.retention.remove(digest)],
  ['a lost file', ({ plain }) => plain.deleteBlob(digest)],
  ['a check', ({ plain }) => plain.putChecks(new Map([[digest, 99]]))],
  ['another size', ({ plain }) => plain.putBlob(digest, 6, 2, OWN)],
]
for (const [what, change] of CHANGES) {
  test(`${what} is seen by the next that asks`, async () => {
    await using site = await open()
    await site.ask()
    await change(site)
    const [recalled, true_] = [await site.ask(), await asked(site.plain, OWN)]
    assert.deepEqual(recalled, true_)
  })
}

test('what was proven by a public place is not once that is public no more', async () => {
  await using site = await open()
  await site.plain.putPublicAt(OWN, 1)
  await site.plain.putManifest(OTHER, manifestOf(digest), [child])
  assert.equal((await site.ask(OTHER)).member?.isProven, true)
  await site.plain.putPublicAt(OWN, undefined)
  assert.equal((await site.ask(OTHER)).member?.isProven, false)
})

test('what changes while the database is asked is not remembered', async () => {
  await using site = await open()
  const asking = site.ask()
  await site.plain.deleteMember(OWN, digest, 'blob')
  await asking
  assert.equal((await site.ask()).member, undefined)
})

test('uses that are written down do not make it forget', async () => {
  await using site = await open()
  await site.ask()
  await site.plain.touch(new Map([[digest, 1_000]]))
  await site.ask()
  assert.equal(site.reads(), 2)
})

async function asked(catalog: SqliteCatalog, place: Place) {
  const member = await catalog.getMember(place, digest, 'blob')
  return { member, blob: await catalog.getBlob(digest) }
}

function manifestOf(layer: Digest) {
  const digest = digestOf(Buffer.from(`manifest of ${layer}`))
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  return {
    digest,
    mediaType,
    size: 1,
    subject: undefined,
    artifactType: undefined,
    annotations: {},
  }
}
