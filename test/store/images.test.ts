import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'

import type { Database } from 'better-sqlite3'

import type { Digest } from '../../src/oci/digest.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { IMAGE_ORDERS, Images } from '../../src/store/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const TAGS = 20_000
const PLACES = 200
const LAYERS = 4
/** Other processes hold this one up as well, though not in each of these. */
const ROUNDS = 3
const LAYER_BYTES = 1000

function named(name: string): Digest {
  return `sha256:${createHash('sha256').update(name).digest('hex')}` as Digest
}

/** As many tags, each of an image of its own of five layers, of which one is shared: 100 050 blobs. */
function fill(database: Database): void {
  const blob = database.prepare('insert into blobs values (?, ?, ?, ?, null)')
  const manifest = database.prepare("insert into manifests values (?, 'x', 500, null, null, '{}')")
  const child = database.prepare("insert into manifest_children values (?, ?, 'blob', 1000)")
  const place = database.prepare(
    'insert into repositories (id, upstream_id, name) values (?, 1, ?)',
  )
  const tag = database.prepare('insert into tags values (?, ?, ?, 0, null)')
  const member = database.prepare("insert into members values (?, ?, 'manifest', 500, 1)")
  database.exec("begin; insert into upstreams values (1, 'reg.test')")
  for (let i = 0; i < PLACES; i++) place.run(i + 1, `team/app-${i}`)
  for (let i = 0; i < 50; i++) blob.run(named(`base ${i}`), LAYER_BYTES, 0, 0)
  for (let i = 0; i < TAGS; i++) {
    const digest = named(`image ${i}`)
    blob.run(digest, 500 + ((i * 7919) % TAGS), i, i)
    manifest.run(digest)
    tag.run((i % PLACES) + 1, `v${i}`, digest)
    member.run((i % PLACES) + 1, digest)
    child.run(digest, named(`base ${i % 50}`))
    for (let layer = 0; layer < LAYERS; layer++) {
      const own = named(`layer ${layer} of ${i}`)
      blob.run(own, LAYER_BYTES, 0, 0)
      child.run(digest, own)
    }
  }
  database.exec('commit')
}

test('of 20 000 tags the largest are found without holding up everything else', async (t) => {
  await using dir = await makeTempDir('larder-images-')
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  fill(database)
  const catalog = new SqliteCatalog(database)
  const blobs = { read: async () => undefined }
  const images = new Images({ catalog, blobs, isPinned: () => false })
  const none = { search: undefined, usedBefore: undefined, after: undefined }
  const orders = [
    ...IMAGE_ORDERS.map((order) => ({ ...none, order })),
    { ...none, order: 'name' as const, search: 'nothing is called so' },
  ]
  for (const query of orders) {
    const longest: number[] = []
    let took = 0
    for (let round = 0; round < ROUNDS; round++) {
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      const began = performance.now()
      const { images: found } = await images.list({ ...query, limit: 50 })
      took = performance.now() - began
      delay.disable()
      longest.push(delay.max / 1e6)
      assert.equal(found.length, query.search === undefined ? 50 : 0)
      const values = found.map(({ bytes, lastUsedAt = 0 }) =>
        query.order === 'size' ? bytes : lastUsedAt,
      )
      if (query.order !== 'name') {
        assert.deepEqual(
          values,
          values.toSorted((one, other) => other - one),
        )
      }
      if (query.order === 'size') {
        assert.equal(values[0], TAGS - 1 + 500 + 5 * LAYER_BYTES)
        assert.equal(found[0]?.sharedBytes, LAYER_BYTES)
      }
    }
    const shortest = Math.min(...longest)
    const what = `${query.order}${query.search === undefined ? '' : ' of nothing'}`
    t.diagnostic(`${what}: ${took.toFixed(0)} ms, others wait ${shortest.toFixed(1)} ms`)
    assert.ok(shortest < 50, `${what}: others waited for ${shortest} ms`)
  }
  await catalog.close()
})
