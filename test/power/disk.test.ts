import assert from 'node:assert/strict'
import { test } from 'node:test'

import { type Change, Disk } from './disk.ts'
import { type DiskState, type Fate, stateAt } from './disk-state.ts'

const NEVER_SYNCED = { kind: 'lost' } as const
const SECTOR = 512

test('a file that is synced has no name until its folder is', () => {
  const disk = new Disk()
  const file = disk.make('new', false, 1)
  disk.write(file, 0, Buffer.from('bytes'), 2)
  disk.sync(file, 3, 4)
  assert.deepEqual(textsOf(stateAt(disk, 4, lose)), {})
  disk.sync(disk.root, 5, 6)
  assert.deepEqual(textsOf(stateAt(disk, 5, lose)), {})
  assert.deepEqual(textsOf(stateAt(disk, 6, lose)), { new: 'bytes' })
})

test('a rename takes place or does not, and keeps the old file until then', () => {
  const disk = new Disk()
  for (const [name, at] of [
    ['old', 1],
    ['new', 3],
  ] as const) {
    const file = disk.make(name, false, at)
    disk.write(file, 0, Buffer.from(name), at)
    disk.sync(file, at + 1, at + 1)
  }
  disk.sync(disk.root, 6, 7)
  disk.rename('new', 'old', 8)
  assert.deepEqual(textsOf(stateAt(disk, 9, lose)), { old: 'old', new: 'new' })
  assert.deepEqual(textsOf(stateAt(disk, 9, keep)), { old: 'new' })
})

test('a sync is good for what was written before it began', () => {
  const disk = new Disk()
  const file = disk.make('file', false, 1)
  disk.sync(disk.root, 2, 2)
  disk.write(file, 0, Buffer.from('before'), 3)
  disk.write(file, 6, Buffer.from(', meanwhile'), 5)
  disk.sync(file, 4, 6)
  assert.deepEqual(textsOf(stateAt(disk, 7, lose)), { file: 'before' })
})

test('a write is lost in sectors, or leaves its length alone', () => {
  const disk = new Disk()
  const file = disk.make('file', false, 1)
  disk.sync(disk.root, 2, 2)
  disk.write(file, 100, Buffer.alloc(2 * SECTOR, 'x'), 3)
  const torn: Fate = { kind: 'torn', sector: SECTOR, isKept: (index) => index === 1 }
  const { file: text = '' } = textsOf(stateAt(disk, 4, () => torn))
  const gap = (length: number) => '\0'.repeat(length)
  assert.equal(text, gap(SECTOR) + 'x'.repeat(SECTOR) + gap(100))
  const { file: empty } = textsOf(stateAt(disk, 4, () => ({ kind: 'zeros' })))
  assert.equal(empty, gap(100 + 2 * SECTOR))
})

test('what is in a folder whose name is lost is lost with it', () => {
  const disk = new Disk()
  const folder = disk.make('folder', true, 1)
  disk.make('folder/file', false, 2)
  disk.sync(folder, 3, 4)
  assert.equal(stateAt(disk, 5, lose).size, 0)
  disk.sync(disk.root, 6, 7)
  assert.deepEqual([...stateAt(disk, 7, lose).keys()], ['folder', 'folder/file'])
})

function lose(_change: Change): Fate {
  return NEVER_SYNCED
}

function keep(_change: Change): Fate {
  return { kind: 'whole' }
}

function textsOf(state: DiskState): Record<string, string | undefined> {
  return Object.fromEntries([...state].map(([name, file]) => [name, file?.bytes.toString()]))
}
