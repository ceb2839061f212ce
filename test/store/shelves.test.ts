import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { Leases } from '../../src/store/leases.ts'
import { Unlinking } from '../../src/store/unlinking.ts'
import { layerOf, openCappedSite } from './capped-site.ts'
import { integrityOf } from './integrity-site.ts'

const BYTES = layerOf('layer', 3 * 1024 * 1024)
const DIGEST = digestOf(BYTES)

async function openShelves() {
  const site = await openCappedSite({ cap: 10 * BYTES.length })
  await site.files.put(DIGEST, BYTES)
  const { leases } = site
  const { shelves } = integrityOf(site, { maxBytes: 0 })
  return { site, leases, shelves }
}

test('stored content is in use from its opening to the end of its reading', async () => {
  const { site, leases, shelves } = await openShelves()
  await using _ = site
  const content = await shelves.open(DIGEST, undefined)
  assert.ok(content !== undefined)
  assert.ok(leases.has(DIGEST), 'opened')
  const received: Buffer[] = []
  for await (const chunk of content.read({ start: 0, end: BYTES.length - 1 })) {
    assert.ok(leases.has(DIGEST))
    received.push(chunk)
  }
  assert.ok(Buffer.concat(received).equals(BYTES))
  assert.equal(leases.has(DIGEST), false)
})

test('a reading that is broken off is over', async () => {
  const { site, leases, shelves } = await openShelves()
  await using _ = site
  const reading = (await shelves.open(DIGEST, undefined))?.read({ start: 0, end: BYTES.length - 1 })
  await reading?.next()
  assert.ok(leases.has(DIGEST))
  await reading?.return()
  assert.equal(leases.has(DIGEST), false)
})

test('what is opened and never read is in use for a moment only', async () => {
  const { site, leases, shelves } = await openShelves()
  await using _ = site
  await shelves.open(DIGEST, undefined)
  site.time.elapsed += 9_000
  assert.ok(leases.has(DIGEST))
  site.time.elapsed += 2_000
  assert.equal(leases.has(DIGEST), false)
})

test('what is not here is not in use', async () => {
  const { site, leases, shelves } = await openShelves()
  await using _ = site
  const absent = digestOf(Buffer.from('absent'))
  assert.equal(await shelves.open(absent, undefined), undefined)
  assert.equal(leases.has(absent), false)
})

test('leases are counted, and each is given back once', async () => {
  const leases = new Leases({ unlinking: new Unlinking() })
  const [one, two] = [await leases.hold(DIGEST), leases.holdOn(DIGEST)]
  one()
  one()
  assert.ok(leases.has(DIGEST))
  two()
  assert.equal(leases.has(DIGEST), false)
})
