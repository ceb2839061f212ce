import assert from 'node:assert/strict'
import { test } from 'node:test'

import { readEntries } from '../../../src/airgap/bundle/tar-entries.ts'
import { type TarFile, tarSize, writeTar } from '../../../src/airgap/bundle/tar-writing.ts'

function file(name: string, size: number, ...pieces: readonly Buffer[]): TarFile {
  return {
    name,
    size,
    content: async function* () {
      yield* pieces
    },
  }
}

test('what was written is read again, and is as large as was foretold', async () => {
  const half = Buffer.alloc(300_000, 'x')
  const files = [
    file('empty', 0),
    file('blobs/a', 600_000, half, half),
    file('b', 512, half.subarray(0, 512)),
  ]
  const archive = Buffer.concat(await Array.fromAsync(writeTar(files)))
  assert.equal(archive.length, tarSize(files.map(({ size }) => size)))
  const body = async function* () {
    yield archive
  }
  const found: (readonly [string, number])[] = []
  for await (const { name, content } of readEntries(body())) {
    found.push([name, Buffer.concat(await Array.fromAsync(content)).length])
  }
  assert.deepEqual(found, [
    ['empty', 0],
    ['blobs/a', 600_000],
    ['b', 512],
  ])
})

test('a content that fails, or is not as long as was said, ends the archive', async () => {
  const failing: TarFile = {
    name: 'a',
    size: 10,
    content: async function* () {
      yield Buffer.alloc(1)
      throw new Error('unreadable')
    },
  }
  await assert.rejects(Array.fromAsync(writeTar([failing])), /unreadable/)
  await assert.rejects(Array.fromAsync(writeTar([file('a', 10, Buffer.alloc(9))])), /mismatch/)
})

test('who stops reading ends the reading of contents too, and no more is read than is taken', async () => {
  let read = 0
  let isClosed = false
  const endless: TarFile = {
    name: 'a',
    size: 2 ** 40,
    content: async function* () {
      try {
        for (;;) {
          read++
          yield Buffer.alloc(1024 * 1024)
        }
      } finally {
        isClosed = true
      }
    },
  }
  let taken = 0
  for await (const piece of writeTar([endless])) if (piece.length > 512 && ++taken === 5) break
  assert.ok(isClosed)
  assert.ok(read <= taken + 2, `${read} read for ${taken} taken`)
})
