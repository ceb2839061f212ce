import assert from 'node:assert/strict'
import { existsSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { Ballast } from '../../src/store/ballast.ts'
import type { Disk } from '../../src/store/quota.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const MIB = 1024 * 1024
/** One percent of it is 2 MiB. */
const DISK: Disk = { size: 200 * MIB, free: 100 * MIB }

test('it is made of real blocks, and its space is given up at once', async () => {
  await using site = await openSite()
  const ballast = await site.open()
  assert.equal(ballast.isLaid, false)
  assert.equal(await ballast.lay(), true)
  assert.equal(statSync(site.file).size, 2 * MIB)
  assert.ok(statSync(site.file).blocks * 512 >= 2 * MIB)
  ballast.release()
  assert.equal(existsSync(site.file), false)
  assert.equal(ballast.isLaid, false)
  assert.equal(await ballast.lay(), true, 'it can be laid again')
})

test('it is not laid where it would be what fills the disk', async () => {
  await using site = await openSite()
  const ballast = await site.open()
  site.disk.value = { ...DISK, free: 4 * MIB - 1 }
  assert.equal(await ballast.lay(), false)
  assert.equal(existsSync(site.file), false)
  assert.equal(await ballast.neededBytes(), 4 * MIB)
})

test('where nobody knows how large the disk is, there is none', async () => {
  await using site = await openSite()
  const ballast = await site.open()
  site.disk.value = { size: 0, free: 0 }
  assert.equal(await ballast.lay(), true, 'nothing is missing')
  assert.equal(existsSync(site.file), false)
})

test('its size follows the disk, and has an end', async () => {
  await using site = await openSite()
  const ballast = await site.open()
  const sizes = { 8: 0.5, 64: 1, 1000: 10, 6400: 64, 1000000: 64 }
  for (const [size, expected] of Object.entries(sizes)) {
    site.disk.value = { size: Number(size) * MIB, free: Number(size) * MIB }
    assert.equal(await ballast.neededBytes(), 2 * expected * MIB, size)
  }
})

test('what an earlier run has laid is taken over, and what is not whole is removed', async () => {
  await using site = await openSite()
  await (await site.open()).lay()
  assert.equal((await site.open()).isLaid, true)
  truncateSync(site.file, 2 * MIB - 1)
  assert.equal((await site.open()).isLaid, false)
  assert.equal(existsSync(site.file), false)
  writeFileSync(site.file, '')
  truncateSync(site.file, 2 * MIB)
  assert.equal((await site.open()).isLaid, false, 'a hole holds no space')
  assert.equal(existsSync(site.file), false)
})

test('a disk that refuses it keeps nothing of it', async () => {
  await using site = await openSite()
  const ballast = await site.open()
  {
    using _ = await interceptFiles((operation) => {
      if (operation === 'sync') throw systemError('ENOSPC')
    })
    await assert.rejects(ballast.lay(), /ENOSPC/)
  }
  assert.equal(existsSync(site.file), false)
  assert.equal(ballast.isLaid, false)
})

test('released while it is being laid, it is not there afterwards', async () => {
  await using site = await openSite()
  const ballast = await site.open()
  let isLaid: Promise<boolean>
  {
    let writes = 0
    using _ = await interceptFiles((operation) => {
      if (operation === 'writev' && ++writes === 2) ballast.release()
    })
    isLaid = ballast.lay()
    assert.equal(await isLaid, false)
  }
  assert.equal(existsSync(site.file), false)
})

async function openSite() {
  const dir = await makeTempDir()
  const disk: { value: Disk } = { value: DISK }
  return {
    disk,
    file: join(dir.path, 'ballast'),
    open: () => Ballast.open({ path: dir.path, measure: async () => disk.value }),
    [Symbol.asyncDispose]: () => dir.remove(),
  }
}
