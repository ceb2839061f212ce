import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { digestOf } from '../../../src/oci/digest.ts'
import type { TestApp } from '../../support/app.ts'
import { buildImage, seededBytes } from '../../support/images.ts'
import {
  bundleOf,
  dockerSave,
  type Entry,
  entryOf,
  fullName,
  indexEntry,
  LAYOUT,
  layoutOf,
  REGISTRY,
  tarOf,
} from './archives.ts'
import { bring, endOf, imagesOf, pull, startOffline, storedIn } from './import-site.ts'

const NAME = `${REGISTRY}/team/app:v1`
const IMAGE = buildImage({ seed: 'good', layers: [5000, 70_000] })
const GOOD = layoutOf([{ image: IMAGE, annotations: fullName(NAME) }])
const HEX = 'a'.repeat(64)
const MIB = 1024 * 1024
/** What Larder may grow by while it reads what is made to exhaust it. */
const MAX_GROWTH = 160 * MIB

let app: TestApp
before(async () => {
  app = await startOffline()
})
after(() => app.close())

const layer = GOOD.at(-1) ?? LAYOUT
const index = indexEntry([{ image: IMAGE, annotations: fullName(NAME) }])
const longName = (type: string, name: string): Buffer =>
  Buffer.concat([entryOf({ name: '././@LongLink', type, content: `${name}\0` })])
const pax = (key: string, value: string): Buffer => {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (`${length}${rest}`.length !== length) length++
  return entryOf({ name: 'pax', type: 'x', content: `${length}${rest}` })
}
const withBefore = (head: Buffer, entry: Entry): Buffer =>
  Buffer.concat([tarOf(GOOD).subarray(0, -1024), head, tarOf([entry])])

const ARCHIVES: Readonly<Record<string, Buffer | (() => Buffer)>> = {
  'an absolute path': tarOf([...GOOD, { name: '/etc/passwd', content: 'x' }]),
  'a path that leads out': tarOf([...GOOD, { name: 'blobs/../../x', content: 'x' }]),
  'a symbolic link': tarOf([...GOOD, { name: 'x', type: '2', target: 'index.json' }]),
  'a hard link': tarOf([...GOOD, { name: 'x', type: '1', target: 'index.json' }]),
  'a blob that is a link': tarOf([
    ...GOOD,
    { name: `blobs/sha256/${HEX}`, type: '2', target: '/etc/passwd' },
  ]),
  'a layer that links out of it': tarOf([
    ...dockerSave([NAME]).entries,
    { name: 'x/layer.tar', type: '2', target: '../../etc/layer.tar' },
  ]),
  'a layer that links to an absolute path': tarOf([
    ...dockerSave([NAME]).entries,
    { name: 'x/layer.tar', type: '2', target: '/var/lib/layer.tar' },
  ]),
  'a character device': tarOf([...GOOD, { name: 'null', type: '3' }]),
  'a block device': tarOf([...GOOD, { name: 'sda', type: '4' }]),
  'a fifo': tarOf([...GOOD, { name: 'pipe', type: '6' }]),
  'a sparse file of GNU tar': tarOf([...GOOD, { name: 'x', type: 'S', content: 'x' }]),
  'a sparse file of pax': withBefore(pax('GNU.sparse.major', '1'), { name: 'x', content: 'x' }),
  'a kind nobody knows': tarOf([...GOOD, { name: 'x', type: 'Z' }]),
  'the same blob twice': tarOf([...GOOD, layer]),
  'the same index twice': tarOf([...GOOD, index]),
  'the same name written otherwise': tarOf([...GOOD, { ...layer, name: `./${layer.name}` }]),
  'a content that is not what its name says': tarOf([
    LAYOUT,
    index,
    { name: `blobs/sha256/${HEX}`, content: 'something else' },
    ...GOOD.slice(2),
  ]),
  'a size that is more than what comes': tarOf([
    ...GOOD,
    { name: 'x', content: 'x', size: 10_000 },
  ]),
  'a size that is less than what comes': tarOf([
    ...GOOD,
    { name: 'x', content: seededBytes(1, 2000), size: 100 },
  ]),
  'a size below nothing': tarOf([...GOOD, { name: 'x', size: -1 }]),
  'a size of pax that is no number': withBefore(pax('size', 'many'), { name: 'x', content: 'x' }),
  'a checksum that is wrong': tarOf([...GOOD, { name: 'x', hasWrongChecksum: true }]),
  'no tar': Buffer.from('Once upon a time there was no archive at all. '.repeat(50)),
  nothing: Buffer.alloc(0),
  'blocks of zeros alone': Buffer.alloc(10_240),
  'no end': tarOf(GOOD).subarray(0, -1024),
  'an end in the middle of a blob': tarOf(GOOD).subarray(0, -4000),
  'an end between two entries': tarOf(GOOD.slice(0, 3)).subarray(0, -1024),
  'a very long name of GNU tar': withBefore(longName('L', 'x/'.repeat(4000)), { name: 'x' }),
  'an endless name of GNU tar': withBefore(
    entryOf({ name: '././@LongLink', type: 'L', content: 'x', size: 2 ** 31 }),
    { name: 'x' },
  ),
  'a name of pax that leads out': withBefore(pax('path', '../../etc/passwd'), { name: 'x' }),
  'an index.json that is too large': tarOf([
    LAYOUT,
    { name: 'index.json', content: '', size: 21 * MIB },
  ]),
  'an index.json that is no JSON': tarOf([LAYOUT, { name: 'index.json', content: '{' }]),
  'an index.json that is nested too deep': tarOf([
    LAYOUT,
    { name: 'index.json', content: '['.repeat(100_000) },
  ]),
  'a layout without an index': tarOf([LAYOUT, ...GOOD.slice(2)]),
  'a layout of another version': tarOf([
    { ...LAYOUT, content: '{"imageLayoutVersion":"9"}' },
    ...GOOD.slice(1),
  ]),
  'an index of 100 000 descriptors': () => {
    const descriptor = { mediaType: 'x', digest: `sha256:${HEX}`, size: 1 }
    const manifests = Array.from({ length: 100_000 }, () => descriptor)
    return tarOf([
      LAYOUT,
      { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests }) },
      ...GOOD.slice(2),
    ])
  },
  'an index that contains itself': () => {
    const self = { mediaType: 'application/vnd.oci.image.index.v1+json', size: 300 }
    const inner = { schemaVersion: 2, manifests: [{ ...self, digest: `sha256:${HEX}` }] }
    const outer = { ...self, digest: `sha256:${HEX}`, annotations: fullName(NAME) }
    return tarOf([
      LAYOUT,
      { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests: [outer] }) },
      { name: `blobs/sha256/${HEX}`, content: JSON.stringify(inner) },
    ])
  },
  'indexes that list the same index again and again': () => {
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    const blobs: Entry[] = []
    let child: object = IMAGE.descriptor
    for (let depth = 0; depth < 3; depth++) {
      const manifests = Array.from({ length: 3000 }, () => child)
      const content = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }))
      const digest = digestOf(content)
      blobs.push({ name: `blobs/sha256/${digest.slice(7)}`, content })
      child = { mediaType, digest, size: content.length, annotations: fullName(NAME) }
    }
    const top = JSON.stringify({ schemaVersion: 2, manifests: [child] })
    return tarOf([LAYOUT, { name: 'index.json', content: top }, ...blobs, ...GOOD.slice(2)])
  },
  'an index.json that says another size than its manifest has': () => {
    const { image, ...rest } = { image: IMAGE, annotations: fullName(NAME) }
    const manifests = [{ ...image.descriptor, ...rest, size: 7 }]
    const entry = { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests }) }
    return tarOf([LAYOUT, entry, ...GOOD.slice(2)])
  },
  'a manifest that says another size than its layer has': () => {
    const document = JSON.parse(IMAGE.manifest.bytes.toString())
    document.layers[0].size = 3
    const bytes = Buffer.from(JSON.stringify(document))
    const digest = digestOf(bytes)
    const { mediaType } = IMAGE.manifest
    const root = { mediaType, digest, size: bytes.length, annotations: fullName(NAME) }
    return tarOf([
      LAYOUT,
      { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests: [root] }) },
      { name: `blobs/sha256/${digest.slice(7)}`, content: bytes },
      ...GOOD.slice(2),
    ])
  },
  'a bundle that is no JSON': tarOf([{ name: 'larder-bundle.json', content: '{' }, ...GOOD]),
  'a bundle of a later release': tarOf([
    { name: 'larder-bundle.json', content: '{"version":2}' },
    ...GOOD,
  ]),
  'a manifest.json that is none': tarOf([{ name: 'manifest.json', content: '{}' }]),
  'no images': tarOf([LAYOUT, indexEntry([])]),
  'more than 200 000 entries': () => {
    const count = 200_001
    const all = Buffer.alloc(count * 512)
    const first = entryOf({ name: 'x000000' })
    const sum = Number.parseInt(first.toString('latin1', 148, 154), 8)
    for (let at = 0; at < count; at++) {
      const digits = String(at).padStart(6, '0')
      const more = [...digits].reduce((total, digit) => total + Number(digit), 0)
      first.copy(all, at * 512)
      all.write(digits, at * 512 + 1)
      all.write((sum + more).toString(8).padStart(6, '0'), at * 512 + 148)
    }
    return all
  },
  'an archive of little but headers': () => {
    const head = entryOf({ name: 'pax', type: 'x', content: Buffer.alloc(3 * MIB, '9 a=b c\n') })
    return Buffer.concat([...Array.from({ length: 30 }, () => head), tarOf(GOOD)])
  },
}

for (const [what, archive] of Object.entries(ARCHIVES)) {
  test(`${what}: refused with one sentence, and nothing is added`, async () => {
    const bytes = typeof archive === 'function' ? archive() : archive
    const stored = await storedIn(app)
    const start = process.memoryUsage().rss
    const end = endOf(await bring(app, bytes))
    const grown = process.memoryUsage().rss - start
    assert.equal(end.error?.code, 'ARCHIVE_REFUSED', JSON.stringify(end))
    const message = end.error?.message ?? ''
    assert.ok(message.length < 400 && !/[\n\r]|\p{Cc}/u.test(message), message)
    assert.deepEqual(await storedIn(app), stored)
    assert.ok(grown < MAX_GROWTH + bytes.length, `${grown} bytes of memory`)
    assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 504)
  })
}

test('what is not listed is not kept, and does not harm', async () => {
  await using site = await startOffline()
  const stray = Buffer.from('stray')
  const entries: readonly Entry[] = [
    ...bundleOf([{ image: IMAGE, tag: 'v1' }]),
    { name: `blobs/sha256/${digestOf(stray).slice(7)}`, content: stray },
    { name: 'README.md', content: 'hello' },
    { name: 'blobs/md5/abc', content: 'x' },
  ]
  const { files: before } = await storedIn(site)
  assert.deepEqual(imagesOf(await bring(site, entries)), [`${NAME} published`])
  await bring(site, [...GOOD, ...entries.slice(-3)])
  const { files } = await storedIn(site)
  assert.equal(files.length - before.length, IMAGE.blobs.size + 1)
  await pull(site, IMAGE, 'v1')
})

test('a file beside the data directory is never written or read', async () => {
  const { entries } = dockerSave([NAME])
  const document = [{ Config: '../../../../etc/passwd', RepoTags: [NAME], Layers: ['/etc/passwd'] }]
  const others = entries.filter(({ name }) => name !== 'manifest.json')
  const manifest: Entry = { name: 'manifest.json', content: JSON.stringify(document) }
  const lines = await bring(app, [...others, manifest])
  assert.deepEqual(imagesOf(lines), [`${NAME} refused`])
})
