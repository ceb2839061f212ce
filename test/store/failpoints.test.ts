import assert from 'node:assert/strict'
import { test } from 'node:test'

import { FAILPOINTS, type Failpoint } from '../../src/store/failpoints.ts'
import { isHere, layerOf, openCappedSite, pullBlob, pullImage } from './capped-site.ts'

const KIB = 1024
/** The steps of pulling and evicting; pins and scrub have tests of their own. */
const STEPS = FAILPOINTS.filter((point) => /^(ingest|commit|put|catalog|evict)\./.test(point))

test('pulling and evicting pass by each of their steps', async () => {
  const passed = new Set<Failpoint>()
  await using site = await openCappedSite({
    cap: 1024 * KIB,
    failAt: (point) => void passed.add(point),
  })
  await pullImage(site, 'a', { a: 100 * KIB })
  await site.eviction.gain(1)
  assert.deepEqual(
    STEPS.filter((point) => !passed.has(point)),
    [],
  )
})

for (const step of STEPS) {
  test(`what fails at ${step} leaves nothing that a new start cannot use`, async () => {
    let failing: Failpoint | undefined
    const failAt = (point: Failpoint) => {
      if (point === failing) throw new Error(`injected: ${point}`)
    }
    await using first = await openCappedSite({ cap: 1024 * KIB, failAt })
    const old = await pullImage(first, 'old', { old: 100 * KIB })
    failing = step
    await pullImage(first, 'new', { new: 100 * KIB }).catch(() => undefined)
    const gained = await first.eviction.gain(1).catch(() => undefined)
    const wasEvicted = gained !== undefined
    failing = undefined
    await first.close()

    await using site = await openCappedSite({ cap: 1024 * KIB, path: first.path })
    const parts = await site.files.listParts()
    const { blobBytes } = await site.catalog.totals()
    const partBytes = parts.reduce((sum, { size }) => sum + size, 0)
    assert.equal(site.quota.usedBytes, blobBytes + partBytes)
    const bytes = layerOf('new', 100 * KIB)
    assert.ok(await isHere(site, await pullBlob(site, bytes)))
    // Between its row and its file a content is a file without a row, which a start takes up.
    if (step === 'evict.rowsDeleted')
      assert.equal(await site.catalog.getBlob(old.manifest), undefined)
    else assert.equal(await isHere(site, old.manifest), step !== 'evict.unlinked' && !wasEvicted)
  })
}
