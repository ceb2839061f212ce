import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import type { Database } from 'better-sqlite3'

import type { Digest } from '../../src/oci/digest.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { type ImageOrder, Images } from '../../src/store/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const TAGS = 20_000
const PLACES = 200
const LAYERS = 4
const LAYER_BYTES = 1000

/** In the order of their numbers, as SQLite takes those much faster. */
function numbered(kind: string, number: number): Digest {
  return `sha256:${kind}${number.toString(16).padStart(63, '0')}` as Digest
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
  const member = database.prepare(
    "insert into members (repository_id, digest, kind, size, confirmed) values (?, ?, 'manifest', 500, 1)",
  )
  database.exec("begin; insert into upstreams values (1, 'reg.test')")
  for (let i = 0; i < PLACES; i++) place.run(i + 1, `team/app-${i}`)
  for (let i = 0; i < 50; i++) blob.run(numbered('a', i), LAYER_BYTES, 0, 0)
  for (let i = 0; i < TAGS; i++) {
    const digest = numbered('b', i)
    blob.run(digest, 500 + ((i * 7919) % TAGS), i, i)
    manifest.run(digest)
    tag.run((i % PLACES) + 1, `v${i}`, digest)
    member.run((i % PLACES) + 1, digest)
    child.run(digest, numbered('a', i % 50))
    for (let layer = 0; layer < LAYERS; layer++) {
      const own = numbered('c', i * LAYERS + layer)
      blob.run(own, LAYER_BYTES, 0, 0)
      child.run(digest, own)
    }
  }
  database.exec('commit')
}

/** The longest that anything else had to wait for its turn, in milliseconds of this process's time. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  let longest = 0
  for (let last = process.cpuUsage(); !isDone; ) {
    await setImmediate()
    // The wall clock would count other processes, too.
    const { user, system } = process.cpuUsage(last)
    longest = Math.max(longest, (user + system) / 1000)
    last = process.cpuUsage()
  }
  await done
  return longest
}

test('of 20 000 tags the largest are found without holding up everything else', async (t) => {
  await using dir = await makeTempDir('larder-images-')
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  fill(database)
  const catalog = new SqliteCatalog(database)
  const blobs = { read: async () => undefined }
  const images = new Images({ catalog, blobs, isPinned: () => false })
  const none = { search: undefined, usedBefore: undefined, after: undefined, limit: 50 }
  const inOrder = async (order: ImageOrder, search?: string) => {
    const began = process.cpuUsage()
    const listing = images.list({ ...none, order, search })
    const longest = await longestTurn(listing)
    const { user, system } = process.cpuUsage(began)
    const what = `${order}${search === undefined ? '' : ' of nothing'}`
    t.diagnostic(`${what}: ${Math.round((user + system) / 1000)} ms, ${longest.toFixed(1)} at once`)
    assert.ok(longest < 100, `${what}: others waited for ${longest} ms`)
    return (await listing).images
  }
  const largest = await inOrder('size')
  const sizes = largest.map(({ bytes }) => bytes)
  assert.deepEqual(
    sizes,
    Array.from({ length: 50 }, (_, i) => TAGS - 1 - i + 500 + 5 * LAYER_BYTES),
  )
  assert.equal(largest[0]?.sharedBytes, LAYER_BYTES)
  const latest = await inOrder('last-use')
  assert.deepEqual(
    latest.map(({ lastUsedAt }) => lastUsedAt),
    Array.from({ length: 50 }, (_, i) => TAGS - 1 - i),
  )
  assert.equal((await inOrder('name')).length, 50)
  assert.deepEqual(await inOrder('name', 'nothing is called so'), [])
  await catalog.close()
})
