import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { readPieces } from '../../src/cli/file-pieces.ts'
import { seededBytes } from '../support/images.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'

const MIB = 1024 * 1024
const CONTENT = seededBytes('file pieces', 7 * MIB + 12_345)

let dir: TempDir
before(async () => {
  dir = await makeTempDir('larder-file-pieces-')
})
after(() => dir.remove())

/** Copies each piece when the two after it have come: until then it has to be as it was. */
async function gather(pieces: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const copies: Buffer[] = []
  const lent: Buffer[] = []
  for await (const piece of pieces) {
    lent.push(piece)
    if (lent.length > 2) copies.push(Buffer.from(lent.shift() ?? assert.fail()))
  }
  return [...copies, ...lent]
}

test('a piece stays as it is while the two after it are asked for', async () => {
  const path = join(dir.path, 'file')
  await writeFile(path, CONTENT)
  const pieces = await gather(readPieces(path))
  assert.ok(Buffer.concat(pieces).equals(CONTENT))
  assert.equal(pieces.length, 8)
})

test('no more is read than was asked for, and of an empty file nothing', async () => {
  const path = join(dir.path, 'grown')
  await writeFile(path, CONTENT)
  for (const limit of [0, 1, MIB, MIB + 1, CONTENT.length, CONTENT.length + 1]) {
    const bytes = Buffer.concat(await gather(readPieces(path, limit)))
    assert.ok(bytes.equals(CONTENT.subarray(0, limit)), `${limit}`)
  }
  await writeFile(path, '')
  assert.deepEqual(await gather(readPieces(path)), [])
})

test('what a pipe gives in small pieces is put together', async () => {
  const path = join(dir.path, 'pipe')
  execFileSync('mkfifo', [path])
  const write = async () => {
    const pipe = await open(path, 'w')
    for (let at = 0; at < CONTENT.length; at += 3_000) {
      await pipe.write(CONTENT.subarray(at, at + 3_000))
    }
    await pipe.close()
  }
  const [pieces] = await Promise.all([gather(readPieces(path)), write()])
  assert.ok(Buffer.concat(pieces).equals(CONTENT))
  assert.equal(pieces.length, 8)
})
