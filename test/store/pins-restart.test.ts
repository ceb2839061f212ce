import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Failpoint } from '../../src/store/failpoints.ts'
import type { ReferencePin } from '../../src/store/pin.ts'
import { formatPin } from '../../src/store/pin-document.ts'
import { PinFiles } from '../../src/store/pin-files.ts'
import type { Place } from '../../src/store/ports.ts'
import { buildArtifact, buildImage, buildIndex, type Content } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import {
  Clock,
  loseDatabase,
  openSite,
  PIN_FAILPOINTS,
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
const INDEX = buildIndex([IMAGE, OTHER])
const BY_TAG = { place: APP, reference: { kind: 'tag', tag: V1 } } as const

/** All that `pull` asks of the catalog and the files to serve the content without a network. */
async function assertServable(site: PinSite, where: Place, content: Content): Promise<void> {
  const { digest, mediaType } = content.manifest
  assert.equal((await site.catalog.getMember(where, digest, 'manifest'))?.isProven, true)
  assert.equal((await site.catalog.findManifest(digest))?.mediaType, mediaType)
  assert.ok(await site.blobs.stat(digest))
  for (const [blob, bytes] of content.blobs) {
    const member = await site.catalog.getMember(where, blob, 'blob')
    assert.deepEqual(member, { size: bytes.length, isProven: true })
    assert.equal(await site.blobs.stat(blob), bytes.length)
  }
  for (const child of content.children) await assertServable(site, where, child)
}

const LOSSES: Record<string, (path: string) => Promise<void>> = {
  deleted: loseDatabase,
  'cut in half': async (path) => {
    const file = join(path, 'larder.db')
    await truncate(file, (await readFile(file)).length / 2)
  },
  'cut to nothing': (path) => truncate(join(path, 'larder.db'), 0),
}

for (const [loss, lose] of Object.entries(LOSSES)) {
  test(`with a database that is ${loss}, what is pinned can be served from files alone`, async () => {
    await using dir = await makeTempDir()
    const signature = buildArtifact({ artifactType: 'a/b', subject: IMAGE.descriptor })
    const edge = buildImage({ seed: 'edge' })
    const elsewhere = place('acme/elsewhere')
    {
      await using site = await openSite(dir.path)
      await pull(site, APP, V1, INDEX)
      await pull(site, APP, undefined, signature)
      await pull(site, elsewhere, tag('edge'), edge)
      await site.catalog.putPublicAt(APP, 55)
      await site.pins.pin(BY_TAG)
      await site.pins.pin({ pattern: 'ghcr.io/acme/else*:edge' })
    }
    await lose(dir.path)
    await using site = await openSite(dir.path)
    await Promise.all([site.pins.settled, site.rebuilt])
    assert.deepEqual(await site.catalog.getTag(APP, V1), {
      digest: INDEX.manifest.digest,
      checkedAt: 77,
    })
    assert.equal(await site.catalog.getPublicAt(APP), 55)
    assert.equal(await site.catalog.getPublicAt(elsewhere), undefined)
    for (const content of [INDEX, signature]) await assertServable(site, APP, content)
    assert.deepEqual(
      (await site.catalog.listReferrers(APP, IMAGE.manifest.digest)).map(({ digest }) => digest),
      [signature.manifest.digest],
    )
    const tagged = await site.catalog.getTag(elsewhere, tag('edge'))
    assert.equal(tagged?.digest, edge.manifest.digest)
    await assertServable(site, elsewhere, edge)
    assert.equal(site.pins.list().length, 2)
    for (const { manifest } of [INDEX, signature, edge]) {
      assert.equal(site.pins.isProtected(manifest.digest), true)
    }
    const { complete, incomplete } = await site.pins.completeness()
    assert.deepEqual({ complete, incomplete }, { complete: 2, incomplete: 0 })
    assert.ok(site.lines.some(({ message }) => message === 'pins restored from their files'))
  })
}

test('what is pinned is protected at once, before anything is restored', async () => {
  await using dir = await makeTempDir()
  {
    await using site = await openSite(dir.path)
    await pull(site, APP, V1, INDEX)
    await site.pins.pin(BY_TAG)
  }
  await loseDatabase(dir.path)
  await using site = await openSite(dir.path)
  assert.equal(site.pins.isProtected(INDEX.manifest.digest), true)
})

test('of a pin that has expired nothing is restored', async () => {
  await using dir = await makeTempDir()
  const clock = new Clock()
  const expiresAt = clock.at + 60_000
  {
    await using site = await openSite(dir.path, clock)
    await pull(site, APP, V1, INDEX)
    await site.pins.pin({ ...BY_TAG, expiresAt })
  }
  await loseDatabase(dir.path)
  clock.at = expiresAt
  await using site = await openSite(dir.path, clock)
  await site.pins.settled
  assert.equal(await site.catalog.getTag(APP, V1), undefined)
  assert.equal(await site.pins.expire(), 1)
  assert.deepEqual(await pinFilesIn(dir.path), [])
})

test("a lost database does not make somebody else's bytes those of the pinned place", async () => {
  await using dir = await makeTempDir()
  const secret = buildImage({ seed: 'secret', layers: [333] })
  const theirs = place('private/app')
  {
    await using site = await openSite(dir.path)
    await pull(site, theirs, V1, secret)
    // It lists layers that its own registry was never asked for.
    await pullManifest(site, APP, V1, secret)
    await site.pins.pin(BY_TAG)
  }
  await loseDatabase(dir.path)
  await using site = await openSite(dir.path)
  await Promise.all([site.pins.settled, site.rebuilt])
  for (const digest of secret.blobs.keys()) {
    assert.equal((await site.catalog.getMember(APP, digest, 'blob'))?.isProven, false)
  }
  const member = await site.catalog.getMember(APP, secret.manifest.digest, 'manifest')
  assert.equal(member?.isProven, true)
})

test('what was learned of a pin since is written down: layers, signatures, public or not', async () => {
  await using dir = await makeTempDir()
  const signature = buildArtifact({ artifactType: 'a/b', subject: IMAGE.descriptor })
  {
    await using site = await openSite(dir.path)
    await pull(site, place('acme/base'), V1, IMAGE)
    await pullManifest(site, APP, V1, IMAGE)
    await site.pins.pin(BY_TAG)
    assert.equal(await site.pins.renew(), 0)
    await pull(site, APP, V1, IMAGE)
    await pull(site, APP, undefined, signature)
    await site.catalog.putPublicAt(APP, 55)
    assert.equal(await site.pins.renew(), 1)
    await site.catalog.putPublicAt(APP, 66)
    assert.equal(await site.pins.renew(), 0)
  }
  await loseDatabase(dir.path)
  {
    await using site = await openSite(dir.path)
    await site.pins.settled
    await assertServable(site, APP, IMAGE)
    await assertServable(site, APP, signature)
    assert.equal(await site.catalog.getPublicAt(APP), 55)
    await site.catalog.putPublicAt(APP, undefined)
    assert.equal(await site.pins.renew(), 1)
  }
  await loseDatabase(dir.path)
  await using site = await openSite(dir.path)
  await site.pins.settled
  assert.equal(await site.catalog.getPublicAt(APP), undefined)
})

test('what the registry said since stays: a restoration writes only what is not there', async () => {
  await using dir = await makeTempDir()
  {
    await using site = await openSite(dir.path)
    await pull(site, APP, V1, IMAGE)
    await site.pins.pin(BY_TAG)
  }
  await loseDatabase(dir.path)
  {
    // As if a pull had come before it.
    await using site = await openSite(dir.path)
    await site.pins.settled
    await pull(site, APP, V1, OTHER)
    site.catalog.pins.delete({ ...APP, reference: V1, owner: 'manual' } as never)
  }
  await using site = await openSite(dir.path)
  await site.pins.settled
  assert.equal((await site.catalog.getTag(APP, V1))?.digest, OTHER.manifest.digest)
  assert.equal(site.pins.isProtected(IMAGE.manifest.digest), true)
})

/** The row of the database, and what the files say: they have to agree after a start. */
async function assertAgrees(path: string, site: PinSite): Promise<void> {
  await site.pins.settled
  const rows = site.catalog.pins.page(0, 100)
  const pins = site.pins.list() as readonly ReferencePin[]
  assert.deepEqual(
    rows.map(({ reference, digest }) => `${reference} ${digest}`).sort(),
    pins.map(({ reference, digest }) => `${reference} ${digest}`).sort(),
  )
  assert.equal((await pinFilesIn(path)).length, pins.length)
  assert.deepEqual(await readdir(join(path, 'pins/.new')), [])
}

test('every failpoint of pins is reached below', () => {
  assert.deepEqual(PIN_FAILPOINTS, [...Object.keys(PINNED_AT), 'unpin.afterUnlink'])
})

/** Whether a pin that ended at the point is there after the next start. */
const PINNED_AT: Partial<Record<Failpoint, boolean>> = {
  'pin.beforeRename': false,
  'pin.afterRename': true,
  'pin.afterRow': true,
}

for (const [point, isPinned] of Object.entries(PINNED_AT)) {
  test(`a pin that ends at ${point} leaves ${isPinned ? 'a pin' : 'nothing'} behind`, async () => {
    await using dir = await makeTempDir()
    {
      await using site = await openSite(dir.path)
      await pull(site, APP, V1, IMAGE)
      site.failAt(point as Failpoint)
      await assert.rejects(site.pins.pin(BY_TAG), { message: `failed at ${point}` })
    }
    await using site = await openSite(dir.path)
    await assertAgrees(dir.path, site)
    assert.equal(site.pins.isProtected(IMAGE.manifest.digest), isPinned)
  })

  test(`a pin that follows and ends at ${point} is at its old digest or its new one`, async () => {
    await using dir = await makeTempDir()
    const moved = { digest: OTHER.manifest.digest, checkedAt: 99 }
    {
      await using site = await openSite(dir.path)
      await pull(site, APP, V1, IMAGE)
      await site.pins.pin({ ...BY_TAG, follows: true })
      await pull(site, APP, V1, OTHER)
      site.failAt(point as Failpoint)
      await assert.rejects(site.pins.moved(APP, V1, moved.digest))
      // Otherwise the next start makes up for the move.
      await site.catalog.putTag(APP, V1, { ...moved, digest: IMAGE.manifest.digest })
    }
    await using site = await openSite(dir.path)
    const isMoved = site.pins.isProtected(moved.digest)
    assert.equal(isMoved, isPinned)
    assert.equal(site.pins.isProtected(IMAGE.manifest.digest), !isPinned)
    const [row] = site.catalog.pins.page(0, 1)
    assert.equal(row?.digest, isMoved ? moved.digest : IMAGE.manifest.digest)
    await site.pins.settled
    await assertAgrees(dir.path, site)
  })
}

test('an unpin that ends after the file is gone has unpinned', async () => {
  await using dir = await makeTempDir()
  {
    await using site = await openSite(dir.path)
    await pull(site, APP, V1, IMAGE)
    await site.pins.pin(BY_TAG)
    site.failAt('unpin.afterUnlink')
    await assert.rejects(site.pins.unpin({ reference: V1 }))
  }
  await using site = await openSite(dir.path)
  await assertAgrees(dir.path, site)
  assert.deepEqual(site.pins.list(), [])
})

test('left-overs of a run that was killed go at the next start', async () => {
  await using dir = await makeTempDir()
  await (await openSite(dir.path)).close()
  await writeFile(join(dir.path, 'pins/.new/left'), '{"version":1')
  await using site = await openSite(dir.path)
  await assertAgrees(dir.path, site)
  assert.deepEqual(site.lines, [])
})

const DAMAGES: Record<string, string> = {
  empty: '',
  'cut off': '{"version": 1, "upstream": "ghcr.io", "repos',
  'other JSON': '[]',
  'of a later version': '{"version": 2}',
  'of another place': formatPin(pinOf(place('acme/else'), 'v1', IMAGE.manifest.digest)),
  'a way out of the folder': JSON.stringify({
    ...pinOf(APP, 'v1', IMAGE.manifest.digest),
    version: 1,
    repository: '../../../etc',
  }),
}

for (const [damage, bytes] of Object.entries(DAMAGES)) {
  test(`a pin file that is ${damage} costs only itself, and not even that with its row`, async () => {
    await using dir = await makeTempDir()
    const file = join(dir.path, 'pins/ghcr.io/acme/app/v1@manual.json')
    {
      await using site = await openSite(dir.path)
      await pull(site, APP, V1, IMAGE)
      await pull(site, APP, tag('v2'), OTHER)
      await site.pins.pin(BY_TAG)
      await site.pins.pin({ place: APP, reference: { kind: 'tag', tag: tag('v2') } })
    }
    await writeFile(file, bytes)
    {
      await using site = await openSite(dir.path)
      const [first, second, ...rest] = site.lines
      assert.equal(first?.message, 'a pin file is damaged: put aside')
      assert.equal(first.fields['file'], file)
      assert.equal(await readFile(String(first.fields['kept']), 'utf8'), bytes)
      assert.equal(second?.message, 'the pin file was written anew from the database')
      assert.deepEqual(rest, [])
      await assertAgrees(dir.path, site)
      assert.equal(site.pins.list().length, 2)
      assert.equal(site.pins.isProtected(IMAGE.manifest.digest), true)
    }
    await writeFile(file, bytes)
    await loseDatabase(dir.path)
    await using site = await openSite(dir.path)
    await assertAgrees(dir.path, site)
    assert.equal(site.pins.isProtected(IMAGE.manifest.digest), false)
    assert.equal(site.pins.isProtected(OTHER.manifest.digest), true)
  })
}

test('names that look like one another or like a path have files of their own', async () => {
  await using dir = await makeTempDir()
  const logger = { warn: () => {} } as never
  const { digest } = IMAGE.manifest
  const pins = [
    pinOf(place('a'), 'v1', digest),
    pinOf(place('a'), 'v1', digest, 'manual.json'),
    pinOf(place('a'), 'v1.json', digest),
    pinOf(place('a/v1.json'), 'v1', digest),
    pinOf(place('a/v1'), 'manual.json', digest),
    pinOf(place('a'), 'v1', digest, '../../x'),
    pinOf(place('a'), 'v1', digest, '..'),
    pinOf(place('a'), 'v1', digest, 'Ω'.repeat(100)),
    pinOf(place('a'), 'v1', digest, `${'Ω'.repeat(99)}x`),
    pinOf(place('a'), 'v1', digest, '~'),
    pinOf(place('a'), digest.replace(':', '-'), digest),
    { ...pinOf(place('a'), 'v1', digest), kind: 'digest', reference: digest } as const,
    pinOf(place('a', '..'), 'v1', digest),
    pinOf(place('a', '_patterns'), 'v1', digest),
    pinOf(place('a', '.new'), 'v1', digest),
    pinOf(place('a', 'localhost:5000'), 'v1', digest),
    pinOf(place('a', 'localhost_5000'), 'v1', digest),
    pinOf(place('a', 'x'.repeat(60)), 'x'.repeat(128), digest, 'y'.repeat(128)),
    { kind: 'pattern', pattern: '../**', owner: 'x', createdAt: 1, expiresAt: undefined } as const,
  ]
  const options = { path: dir.path, logger, now: () => 1 }
  const files = await PinFiles.open(options)
  for (const pin of pins) await files.write(pin)
  for (const pin of pins) assert.match(files.pathOf(pin), new RegExp(`^${dir.path}/pins/(?!\\.)`))
  const loaded = await (await PinFiles.open(options)).load()
  assert.deepEqual(loaded.damaged, [])
  const sorted = (all: readonly unknown[]) => all.map((pin) => JSON.stringify(pin)).sort()
  assert.deepEqual(sorted(loaded.pins), sorted(pins))
  await files.remove(pins)
  assert.deepEqual((await readdir(join(dir.path, 'pins'))).sort(), ['.new', '_patterns'])
})

test('a file that was copied to another name is not taken for a pin', async () => {
  await using dir = await makeTempDir()
  {
    await using site = await openSite(dir.path)
    await pull(site, APP, V1, IMAGE)
    await site.pins.pin(BY_TAG)
  }
  const folder = join(dir.path, 'pins/ghcr.io/acme/app')
  await rename(join(folder, 'v1@manual.json'), join(folder, 'v2@manual.json'))
  await using site = await openSite(dir.path)
  assert.deepEqual(site.pins.list(), [])
  assert.match(String(site.lines[0]?.fields['reason']), /not at the place that it names/)
})

test('a data directory without the folder, or with strange files in it, opens', async () => {
  await using dir = await makeTempDir()
  await mkdir(join(dir.path, 'pins/lost+found'), { recursive: true })
  await writeFile(join(dir.path, 'pins/README.json'), 'x')
  await writeFile(join(dir.path, 'pins/lost+found/notes.txt'), 'x')
  await using site = await openSite(dir.path)
  assert.deepEqual(site.lines, [])
})

test('with 20 000 pins a start takes less than a second, and a question a tenth of a ms', async () => {
  await using dir = await makeTempDir()
  const clock = new Clock()
  const digests: Digest[] = []
  {
    await using site = await openSite(dir.path, clock)
    const logger = { warn: () => {} } as never
    const files = await PinFiles.open({ path: dir.path, logger, now: clock.now })
    const pins: ReferencePin[] = []
    for (let index = 0; index < 20_000; index++) {
      const digest = digestOf(Buffer.from(String(index)))
      digests.push(digest)
      const pin = pinOf(place(`acme/app-${index % 500}`), `v${index}`, digest)
      const path = files.pathOf(pin)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, formatPin(pin))
      pins.push(pin)
    }
    await site.catalog.putPins(pins)
    await site.pins.pin({ pattern: 'quay.io/acme/*:v*' })
  }
  // Of the processor: others may use it too.
  const began = process.cpuUsage()
  await using site = await openSite(dir.path, clock)
  const { user, system } = process.cpuUsage(began)
  const startMs = (user + system) / 1000
  assert.equal(site.pins.list().length, 20_001)
  const asked = process.cpuUsage()
  let count = 0
  for (const digest of digests) {
    if (site.pins.isProtected(digest)) count++
    if (site.pins.isProtected(`${digest.slice(0, -1)}x` as Digest)) count++
  }
  const used = process.cpuUsage(asked)
  const eachMs = (used.user + used.system) / 1000 / 40_000
  assert.equal(count, 20_000)
  assert.ok(startMs < 1000, `${startMs} ms`)
  assert.ok(eachMs < 0.1, `${eachMs} ms`)
})

function pinOf(where: Place, name: string, digest: Digest, owner = 'manual'): ReferencePin {
  return {
    kind: 'tag',
    ...where,
    reference: tag(name),
    owner,
    createdAt: 1,
    expiresAt: undefined,
    digest,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    follows: false,
    checkedAt: 1,
    publicAt: undefined,
    unproven: [],
    referrers: [],
  }
}
