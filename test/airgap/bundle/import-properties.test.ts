import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { decompress } from '../../../src/airgap/bundle/decompression.ts'
import { ArchiveError } from '../../../src/airgap/bundle/errors.ts'
import { readEntries } from '../../../src/airgap/bundle/tar-entries.ts'
import { misnamed, readFiles } from '../../crash/disk.ts'
import { send } from '../../support/http-client.ts'
import { buildImage, buildIndex } from '../../support/images.ts'
import { bundleOf, dockerSave, fullName, layoutOf, REGISTRY, tarOf } from './archives.ts'
import { bring, endOf, pull, startOffline, storedIn } from './import-site.ts'

const NAME = `${REGISTRY}/team/app:v1`
const IMAGE = buildIndex([
  buildImage({ seed: 1, layers: [700] }),
  buildImage({ seed: 2, layers: [900], platform: { architecture: 'arm64', os: 'linux' } }),
])
const GOOD = [
  tarOf(bundleOf([{ image: IMAGE, tag: 'v1' }])),
  tarOf(layoutOf([{ image: IMAGE, annotations: fullName(NAME) }])),
]
const SAVED = tarOf(dockerSave([NAME]).entries)

interface Damage {
  readonly archive: Buffer
  readonly flips: readonly (readonly [number, number])[]
  readonly length: number
}

const damage: fc.Arbitrary<Damage> = fc.constantFrom(...GOOD).chain((archive) =>
  fc.record({
    archive: fc.constant(archive),
    flips: fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(7)), { maxLength: 3 }),
    length: fc.oneof(fc.constant(archive.length), fc.nat(archive.length)),
  }),
)

function damaged({ archive, flips, length }: Damage): Buffer {
  const bytes = Buffer.from(archive)
  for (const [at, bit] of flips) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)
  return bytes.subarray(0, length)
}

test('of an archive that was cut or flipped nothing wrong is ever stored or published', async () => {
  await using app = await startOffline()
  const empty = await storedIn(app)
  await fc.assert(
    fc.asyncProperty(damage, async (one) => {
      const end = endOf(await bring(app, damaged(one)))
      assert.deepEqual(misnamed(await readFiles(app.dataDir, 'blobs')), [])
      assert.notEqual(end.error?.code, 'INTERNAL')
      // What was published under the name is the image, or another one that was said to be it.
      const root = await app.get('/v2/team/app/manifests/v1')
      if (root.status === 200 && root.body.equals(IMAGE.manifest.bytes))
        await pull(app, IMAGE, 'v1')
      const hasPublished = (end.images?.published ?? 0) + (end.images?.unchanged ?? 0) > 0
      const stored = await storedIn(app)
      if (!hasPublished && empty.tags === stored.tags) assert.deepEqual(stored, empty)
      assert.deepEqual(stored.ingest, [])
      if (stored.tags > empty.tags) await purge(app.adminUrl)
    }),
    { numRuns: 60 },
  )
})

test('reading entries ends with entries or with one kind of error, however it is cut in pieces', async () => {
  const pieces = fc.tuple(damage, fc.integer({ min: 1, max: 3000 }))
  await fc.assert(
    fc.asyncProperty(pieces, async ([one, size]) => {
      const bytes = damaged({ ...one, archive: one.flips.length > 1 ? SAVED : one.archive })
      const whole = await readAll(bytes, bytes.length || 1)
      assert.deepEqual(await readAll(bytes, size), whole)
    }),
    { numRuns: 100 },
  )
})

async function readAll(bytes: Buffer, size: number): Promise<readonly string[]> {
  const found: string[] = []
  async function* body() {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
  }
  try {
    for await (const { name, content } of readEntries(decompress(body()))) {
      const parts: Buffer[] = []
      for await (const part of content) parts.push(part)
      found.push(`${name} ${Buffer.concat(parts).toString('base64')}`)
    }
    return found
  } catch (error) {
    assert.ok(error instanceof ArchiveError, String(error))
    // How far it had come when it met the fault is a matter of how it came.
    return ['refused']
  }
}

async function purge(origin: string): Promise<void> {
  const body = JSON.stringify({ pattern: '**', force: true })
  const headers = { 'Content-Type': 'application/json' }
  const { status } = await send(origin, '/api/v1/purge', { method: 'POST', headers, body })
  assert.equal(status, 200)
  await send(origin, '/api/v1/gc', { method: 'POST', headers, body: '{"olderThan":"1ms"}' })
}
