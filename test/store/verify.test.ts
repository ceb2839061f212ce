import assert from 'node:assert/strict'
import { unlink } from 'node:fs/promises'
import { test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import type { VerifyEvent } from '../../src/store/verify.ts'
import {
  type CappedSite,
  HUB,
  isHere,
  layerOf,
  OTHER,
  openCappedSite,
  pullBlob,
  pullImage,
} from './capped-site.ts'
import { flipByte, integrityOf, pathOf } from './integrity-site.ts'

const FOREVER = new AbortController().signal

interface Asked {
  readonly repository: string
  readonly kind: string
  readonly digest: Digest
}

/** A site whose registries have `contents`, by digest. */
async function openSite() {
  const site = await openCappedSite({ cap: 2 ** 30 })
  const contents = new Map<Digest, Buffer>()
  const asked: Asked[] = []
  const down = new Set<string>()
  const integrity = integrityOf(site, {
    maxBytes: 0,
    refetch: async ({ upstream, repository, kind }, digest) => {
      asked.push({ repository, kind, digest })
      if (down.has(upstream)) throw new Error(`${upstream} is down`)
      const bytes = contents.get(digest)
      if (bytes === undefined) return false
      await pullBlob(site, bytes, { upstream, repository })
      return true
    },
  })
  const events: VerifyEvent[] = []
  const verify = (repair: boolean, signal = FOREVER) =>
    integrity.verification.verify({ repair, signal }, (event) => void events.push(event))
  const add = async (name: string, place = HUB): Promise<Digest> => {
    const bytes = layerOf(name, 1000 + name.length)
    const digest = await pullBlob(site, bytes, place)
    contents.set(digest, bytes)
    return digest
  }
  const dispose = () => site[Symbol.asyncDispose]()
  return { site, integrity, events, verify, add, asked, down, [Symbol.asyncDispose]: dispose }
}

async function damage(site: CappedSite, digest: Digest): Promise<void> {
  await flipByte(site.path, digest, 100)
}

test('everything is checked, however lately it was, and what is right is written down', async () => {
  await using opened = await openSite()
  const { site, verify, add, events } = opened
  const digests: Digest[] = []
  for (let index = 0; index < 70; index++) digests.push(await add(`blob ${index}`))
  site.time.now += 5000
  const result = await verify(false)
  assert.deepEqual(result, {
    checked: 70,
    ok: 70,
    damaged: 0,
    missing: 0,
    repaired: 0,
    unrepaired: [],
  })
  for (const digest of digests) {
    assert.equal((await site.catalog.getBlob(digest))?.verifiedAt, site.time.now)
  }
  const last = events.at(-1)
  assert.deepEqual(last, {
    kind: 'progress',
    checked: 70,
    total: 70,
    bytes: (await site.catalog.totals()).blobBytes,
  })
})

test('what stays damaged or missing is said with where it belongs', async () => {
  await using opened = await openSite()
  const { site, verify, add, events, asked } = opened
  const rotten = await add('rotten')
  const gone = await add('gone', OTHER)
  await add('fine')
  await damage(site, rotten)
  await unlink(pathOf(site.path, gone))
  const result = await verify(false)
  const { unrepaired, ...numbers } = result
  assert.deepEqual(numbers, { checked: 3, ok: 1, damaged: 1, missing: 1, repaired: 0 })
  assert.deepEqual(
    new Set(unrepaired),
    new Set([
      { digest: rotten, fault: 'damaged', places: ['docker.io/library/app'] },
      { digest: gone, fault: 'missing', places: ['ghcr.io/acme/app'] },
    ]),
  )
  assert.equal(events.filter(({ kind }) => kind === 'fault').length, 2)
  assert.deepEqual(asked, [])
  for (const digest of [rotten, gone]) assert.equal(await isHere(site, digest), false)
})

test('with repair it is fetched again, from the first place that has it', async () => {
  await using opened = await openSite()
  const { site, integrity, verify, add, asked, down } = opened
  const shared = await add('shared')
  await site.catalog.putMember(OTHER, { digest: shared, size: 1006, kind: 'blob' })
  await damage(site, shared)
  down.add('docker.io')
  const result = await verify(true)
  assert.deepEqual(result, {
    checked: 1,
    ok: 0,
    damaged: 1,
    missing: 0,
    repaired: 1,
    unrepaired: [],
  })
  assert.deepEqual(
    asked.map(({ repository }) => repository),
    ['library/app', 'acme/app'],
  )
  assert.match(integrity.failures.join(), /docker.io is down/)
  assert.ok(await isHere(site, shared))
})

test('what was put aside before is missing until it is back, and then is not', async () => {
  await using opened = await openSite()
  const { site, verify, add } = opened
  const rotten = await add('rotten')
  await damage(site, rotten)
  assert.equal((await verify(false)).damaged, 1)
  const again = await verify(false)
  assert.deepEqual([again.checked, again.missing, again.damaged], [1, 1, 0])
  assert.equal((await verify(true)).repaired, 1)
  const last = await verify(false)
  assert.deepEqual([last.checked, last.ok, last.missing], [1, 1, 0])
})

test('what was put aside and purged since is not missed', async () => {
  await using opened = await openSite()
  const { site, verify, add } = opened
  const rotten = await add('rotten')
  await damage(site, rotten)
  await verify(false)
  site.catalog.retention.transact(() => void site.catalog.retention.remove(rotten))
  assert.equal((await verify(true)).checked, 0)
})

test('a manifest is asked for as one', async () => {
  await using opened = await openSite()
  const { site, verify, asked } = opened
  const { manifest } = await pullImage(site, 'v1', {})
  await flipByte(site.path, manifest, 3)
  const result = await verify(true)
  assert.equal(result.repaired, 0)
  assert.deepEqual(asked, [{ repository: 'library/app', kind: 'manifest', digest: manifest }])
})

test('once whoever asked has gone it ends, with what it has found, and repairs no more', async () => {
  await using opened = await openSite()
  const { integrity, verify, add, asked } = opened
  for (let index = 0; index < 5; index++) await add(`blob ${index}`)
  const leaving = new AbortController()
  const { verified } = integrity
  const before = verified.length
  const checking = integrity.verification.verify(
    { repair: true, signal: leaving.signal },
    ({ kind }) => {
      if (kind === 'progress') leaving.abort()
    },
  )
  const result = await checking
  assert.deepEqual([result.checked, result.ok], [1, 1])
  assert.equal(verified.length - before, 1)
  assert.deepEqual(asked, [])
  assert.equal((await verify(false, leaving.signal)).checked, 0)
})
