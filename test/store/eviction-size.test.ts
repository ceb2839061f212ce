import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import { encodedOf } from '../../src/oci/digest.ts'
import { spreadOf } from '../size/spread.ts'
import { type CappedSite, DAY, HOUR, openCappedSite } from './capped-site.ts'

const IMAGES = 20_000
const OWN_LAYERS = 4
const BASES = 50
/** Images of which the files are really there: those that are evicted. */
const EVICTED = 2_000
const LAYER_BYTES = 1000
const ROUNDS = 4
const LOOK_MS = 1

function named(name: string): Digest {
  return `sha256:${createHash('sha256').update(name).digest('hex')}` as Digest
}

/** Images of five layers, of which one is shared by many. 20 000 of them are 100 050 blobs. */
function fill({ database, time }: CappedSite, images = IMAGES): void {
  const blob = database.prepare('insert into blobs values (?, ?, ?, ?, null)')
  const manifest = database.prepare("insert into manifests values (?, 'x', 500, null, null, '{}')")
  const child = database.prepare("insert into manifest_children values (?, ?, 'blob', 1000)")
  database.exec('begin')
  for (let i = 0; i < BASES; i++) blob.run(named(`base ${i}`), LAYER_BYTES, 0, 0)
  for (let i = 0; i < images; i++) {
    const digest = named(`image ${i}`)
    const usedAt = time.now - 100 * DAY + i * 1000
    blob.run(digest, 500, usedAt, usedAt)
    manifest.run(digest)
    child.run(digest, named(`base ${i % BASES}`))
    for (let layer = 0; layer < OWN_LAYERS; layer++) {
      const own = named(`layer ${layer} of ${i}`)
      // Layers are as old as their first pull, whereas manifests were used since.
      blob.run(own, LAYER_BYTES, usedAt - HOUR, usedAt - HOUR)
      child.run(digest, own)
    }
  }
  database.exec('commit')
}

async function writeFiles({ path }: CappedSite): Promise<number> {
  const names: string[] = []
  for (let i = 0; i < EVICTED; i++) {
    names.push(`image ${i}`)
    for (let layer = 0; layer < OWN_LAYERS; layer++) names.push(`layer ${layer} of ${i}`)
  }
  const paths = names.map((name) => {
    const hex = encodedOf(named(name))
    return join(path, 'blobs/sha256', hex.slice(0, 2), hex)
  })
  for (const directory of new Set(paths.map(dirname))) await mkdir(directory, { recursive: true })
  for (let at = 0; at < paths.length; at += 256) {
    await Promise.all(paths.slice(at, at + 256).map((file) => writeFile(file, 'x')))
  }
  return paths.length
}

/** How long the event loop computes at a stretch, in CPU time: other processes have no part in it. */
async function watch<T>(work: () => Promise<T>) {
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  }
  const stretches: number[] = []
  let last = cpuMs()
  const timer = setInterval(() => {
    const now = cpuMs()
    stretches.push(now - last)
    last = now
  }, LOOK_MS)
  try {
    return { result: await work(), stretches }
  } finally {
    clearInterval(timer)
  }
}

test('of 100 000 blobs 10 000 are evicted while everything else goes on', async () => {
  await using site = await openCappedSite({ cap: 2 ** 40 })
  fill(site)
  const files = await writeFiles(site)
  assert.equal(files, 10_000)
  const { blobBytes } = await site.catalog.totals()
  const wanted = EVICTED * (500 + OWN_LAYERS * LAYER_BYTES)

  const held: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const { result: removed, stretches } = await watch(() => site.eviction.gain(wanted / ROUNDS))
    held.push(spreadOf(stretches).p99)
    const { manifests, blobs, bytes } = removed ?? {}
    const images = EVICTED / ROUNDS
    assert.deepEqual([manifests, blobs, bytes], [images, images * OWN_LAYERS, wanted / ROUNDS])
  }

  assert.equal((await site.catalog.totals()).blobBytes, blobBytes - wanted)
  assert.equal(await site.catalog.getBlob(named('image 0')), undefined)
  assert.ok(await site.catalog.getBlob(named(`image ${EVICTED}`)), 'only those used before')
  assert.ok(await site.catalog.getBlob(named('base 0')), 'what others list stays')
  for await (const { digest } of site.files.scan()) assert.fail(`${digest} is left`)
  // The best of them: whatever else this process collects or compiles is counted, too.
  assert.ok(Math.min(...held) < 50, `the event loop computed for ${held} ms at a stretch`)
})

test('to look for more to evict does not begin at the beginning each time', async () => {
  await using site = await openCappedSite({ cap: 2 ** 40 })
  fill(site, 2_000)
  let rows = 0
  const { retention } = site.catalog
  const original = retention.pageByUse.bind(retention)
  retention.pageByUse = (after, limit) => {
    const page = original(after, limit)
    rows += page.length
    return page
  }
  await site.eviction.gain(1000)
  const first = rows
  for (let i = 0; i < 20; i++) await site.eviction.gain(1000)
  assert.ok(rows - first < 20 * 200, `${rows - first} rows for 20 images, ${first} for the first`)
})
