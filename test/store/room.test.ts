import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { NoRoomError, type NoRoomReason } from '../../src/store/errors.ts'
import type { Disk } from '../../src/store/quota.ts'
import { Barrier } from '../support/barrier.ts'
import { type CappedSite, layerOf, openCappedSite, pullBlob } from './capped-site.ts'

const MIB = 1024 * 1024
const PLENTY: Disk = { size: 1000 * MIB, free: 900 * MIB }

test('inodes that are gone are made up for, one image after the other and no more', async () => {
  await using site = await openSite(20)
  site.disk.value = freeing(site, 10)
  await pullBlob(site, layerOf('new', MIB))
  assert.equal(site.removed.length, 6, 'sixteen are kept free')
})

test('where there are too few contents to make up for them, none is removed', async () => {
  await using site = await openSite(15)
  site.disk.value = freeing(site, 0)
  const digest = digestOf(layerOf('new', MIB))
  await assertRefused('no_inodes', () => site.admission.reserve(digest, MIB))
  assert.equal(await site.admission.makeRoom(0), false)
  assert.deepEqual(site.removed, [])
})

test('of few inodes altogether few are kept free', async () => {
  await using site = await openSite(5)
  site.disk.value = { ...PLENTY, inodes: { total: 100, free: 5 } }
  await pullBlob(site, layerOf('new', MIB))
  assert.deepEqual(site.removed, [])
  site.disk.value = freeing(site, 4, 100)
  site.time.elapsed += 1_000
  await pullBlob(site, layerOf('newer', MIB))
  assert.equal(site.removed.length, 1)
})

test('a file system without a number of inodes lacks none', async () => {
  await using site = await openSite(1)
  site.disk.value = PLENTY
  await pullBlob(site, layerOf('new', MIB))
  assert.deepEqual(site.removed, [])
})

test('room for nobody in particular is made only if there can be so much', async () => {
  await using site = await openSite(10)
  site.disk.value = { size: 1000 * MIB, free: 2 * MIB }
  assert.equal(await site.admission.mayFit(13 * MIB), false)
  assert.equal(await site.admission.makeRoom(13 * MIB), false)
  assert.deepEqual(site.removed, [], 'nothing is removed in vain')
  assert.equal(await site.admission.mayFit(5 * MIB), true)
  assert.deepEqual(site.removed, [], 'to ask removes nothing')
  const free = () => (2 + site.removed.length) * MIB
  site.disk.value = {
    size: 1000 * MIB,
    get free() {
      return free()
    },
  }
  assert.equal(await site.admission.makeRoom(5 * MIB), true)
  assert.equal(site.removed.length, 3)
})

test('before it is known what is here there is room or there is none: nothing goes for it', async () => {
  const known = new Barrier()
  await using site = await openCappedSite({ cap: 1000 * MIB, ready: known.wait() })
  for (const name of ['a', 'b', 'c', 'd']) {
    const bytes = layerOf(name, MIB)
    await site.files.put(digestOf(bytes), bytes)
    await site.catalog.putBlob(digestOf(bytes), bytes.length, site.time.now)
  }
  site.disk.value = {
    size: 1000 * MIB,
    get free() {
      return (2 + site.removed.length) * MIB
    },
  }
  assert.equal(await site.admission.makeRoom(MIB), true)
  assert.equal(await site.admission.makeRoom(4 * MIB), false)
  assert.deepEqual(site.removed, [])
  known.release()
  await known.wait()
  assert.equal(await site.admission.makeRoom(4 * MIB), true)
  assert.equal(site.removed.length, 2)
})

test('what is larger than the disk is no reason to remove anything', async () => {
  await using site = await openSite(3)
  site.disk.value = { size: 10 * MIB, free: 5 * MIB }
  site.settings.value = { ...site.settings.value, minFree: { bytes: MIB } }
  site.time.elapsed += 1_000
  const digest = digestOf(layerOf('huge', MIB))
  await assertRefused('too_large', () => site.admission.reserve(digest, 9 * MIB + 1))
  assert.deepEqual(site.removed, [])
})

/** With so many contents of 1 MiB, and a cap that is never reached. */
async function openSite(contents: number): Promise<CappedSite> {
  const site = await openCappedSite({ cap: 2000 * MIB })
  for (let at = 0; at < contents; at++) {
    site.time.now += 60_000
    await pullBlob(site, layerOf(`layer ${at}`, MIB))
  }
  site.time.now += 60_000
  site.time.elapsed += 1_000
  return site
}

/** A disk with `free` inodes, and one more for each content that has left the site. */
function freeing(site: CappedSite, free: number, total = 10_000): Disk {
  return {
    ...PLENTY,
    get inodes() {
      return { total, free: free + site.removed.length }
    },
  }
}

async function assertRefused(why: NoRoomReason, ask: () => Promise<void>): Promise<void> {
  await assert.rejects(ask(), (error) => error instanceof NoRoomError && error.why === why)
}
