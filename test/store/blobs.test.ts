import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { digestOf, encodedOf } from '../../src/oci/digest.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { DataDirectoryError } from '../../src/store/errors.ts'
import { testBlobStore } from '../support/blob-store-contract.ts'
import { makeTempDir } from '../support/temp-dir.ts'

testBlobStore('files', async () => {
  const dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  return { blobs, [Symbol.asyncDispose]: dir.remove }
})

const BYTES = randomBytes(100)
const DIGEST = digestOf(BYTES)
const HEX = encodedOf(DIGEST)

test('a blob lies where an operator expects it, read-only', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: join(dir.path, 'new', 'data') })
  await blobs.put(DIGEST, BYTES)
  const path = join(dir.path, 'new/data/blobs/sha256', HEX.slice(0, 2), HEX)
  assert.equal((await stat(path)).mode & 0o777, 0o444)
  assert.equal((await stat(join(path, '..'))).mode & 0o777, 0o700)
  assert.deepEqual(await readdir(join(dir.path, 'new/data/ingest')), [])
})

test('a committed download is read-only too', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  const ingest = await blobs.ingest(DIGEST)
  const part = join(dir.path, 'ingest', `${HEX}.part`)
  assert.equal((await stat(part)).mode & 0o777, 0o600)
  await ingest.append([BYTES])
  await ingest.commit()
  await ingest.close()
  const path = join(dir.path, 'blobs/sha256', HEX.slice(0, 2), HEX)
  assert.equal((await stat(path)).mode & 0o777, 0o444)
})

test('a thousand buffers are appended in order', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  const pieces = Array.from({ length: 3000 }, (_, index) => randomBytes(index % 7))
  const whole = Buffer.concat(pieces)
  const ingest = await blobs.ingest(digestOf(whole))
  await ingest.append(pieces)
  assert.deepEqual(await ingest.read(0, whole.length), whole)
  await ingest.discard()
})

test('a start removes unfinished puts and what is strange, and keeps parts', async () => {
  await using dir = await makeTempDir()
  const wide = encodedOf(digestOf(BYTES, 'sha512'))
  await mkdir(join(dir.path, 'ingest'), { recursive: true })
  const kept = [`${HEX}.part`, `${wide}.part`]
  const removed = [`${HEX}.0.tmp`, `${HEX.slice(1)}.part`, `${HEX.toUpperCase()}.part`, 'core']
  for (const name of [...kept, ...removed]) await writeFile(join(dir.path, 'ingest', name), BYTES)
  const blobs = await FileBlobs.open({ path: dir.path })
  assert.deepEqual((await readdir(join(dir.path, 'ingest'))).sort(), kept.toSorted())
  const parts = await blobs.listParts()
  assert.deepEqual(
    new Set(parts.map(({ digest, size }) => [digest, size].join())),
    new Set([`${DIGEST},100`, `${digestOf(BYTES, 'sha512')},100`]),
  )
  for (const part of parts) assert.ok(Math.abs(part.modifiedAt - Date.now()) < 60_000)
})

test('a scan passes over what is no blob', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  await blobs.put(DIGEST, BYTES)
  const root = join(dir.path, 'blobs', 'sha256')
  const wrong = HEX.startsWith('00') ? '11' : '00'
  await mkdir(join(root, wrong))
  await writeFile(join(root, wrong, HEX), BYTES)
  await writeFile(join(root, 'README'), 'text')
  await writeFile(join(root, HEX.slice(0, 2), 'notes'), 'text')
  const other = encodedOf(digestOf(randomBytes(8))).slice(2)
  await symlink('/etc/passwd', join(root, HEX.slice(0, 2), HEX.slice(0, 2) + other))
  const found = []
  for await (const { digest } of blobs.scan()) found.push(digest)
  assert.deepEqual(found, [DIGEST])
})

test('quarantined bytes are kept for an operator', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  await blobs.put(DIGEST, BYTES)
  await blobs.quarantine(DIGEST)
  const [name = ''] = await readdir(join(dir.path, 'quarantine'))
  assert.match(name, new RegExp(`^${HEX}\\.\\d+$`))
})

for (const [what, path] of [
  ['a path through a file', 'file/data'],
  ['a file', 'file'],
] as const) {
  test(`${what} is no data directory, and the error says so`, async () => {
    await using dir = await makeTempDir()
    await writeFile(join(dir.path, 'file'), '')
    await assert.rejects(FileBlobs.open({ path: join(dir.path, path) }), (error) => {
      assert.ok(error instanceof DataDirectoryError)
      assert.match(error.message, /^cannot use the data directory \/.*file/)
      return true
    })
  })
}
