import assert from 'node:assert/strict'
import { test } from 'node:test'

import { send } from '../support/http-client.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { type Filled, fillDataDirectory } from './data-directory.ts'
import { catalogLatency, headLatency } from './lookups.ts'
import { settle } from './measure.ts'
import { Pulls } from './pulls.ts'
import { measureRows } from './rows.ts'
import { Site, SOURCES } from './site.ts'

// The figures that the README states are those of `npm run size` on a machine that does nothing else.
// Here are bounds of processor time and memory: how busy a machine is otherwise does not move them.

const BLOBS = 10_000
const MIB = 2 ** 20
/** Of its own, what so many blobs make it take to start: seconds of CPU. */
const MAX_START_SECONDS = 1
/** What so many blobs make it hold. */
const MAX_GROWN_BYTES = 24 * MIB
const MAX_STRETCH_MS = 50

interface Full extends TempDir {
  readonly filled: Filled
}

async function fullDirectory(): Promise<Full> {
  const dir = await makeTempDir('larder-size-')
  return { ...dir, filled: await fillDataDirectory(dir.path, BLOBS) }
}

async function startCost(dataDir: string) {
  await using site = await Site.start({ dataDir, main: SOURCES })
  await settle(site)
  return { seconds: site.cpuSeconds, bytes: site.residentBytes }
}

test('10 000 blobs cost a start and an idle process little beside an empty store', async () => {
  await using empty = await makeTempDir('larder-size-')
  await using full = await fullDirectory()
  const costs = { empty: await startCost(empty.path), full: await startCost(full.path) }
  const seconds = costs.full.seconds - costs.empty.seconds
  assert.ok(seconds < MAX_START_SECONDS, `${seconds} s of CPU more`)
  const bytes = costs.full.bytes - costs.empty.bytes
  assert.ok(bytes < MAX_GROWN_BYTES, `${Math.round(bytes / MIB)} MiB more`)
})

test('an eviction never keeps the event loop for long while pulls go on', async () => {
  await using full = await fullDirectory()
  await using site = await Site.start({ dataDir: full.path, main: SOURCES, isProbed: true })
  await settle(site)
  await using pulls = new Pulls(site)
  await pulls.start()
  await site.stretches()
  const { result } = await pulls.during(() => site.evict('50d'))
  const { p99 } = await site.stretches()
  // The older half, and the one in the middle, each a manifest, a config and four layers of its own.
  assert.equal(result, (full.filled.images / 2 + 1) * 6)
  assert.ok(p99 < MAX_STRETCH_MS, `it computed for ${p99} ms at a stretch`)
})

test('what is stored is found in the catalog as fast among many as among few', async () => {
  await using full = await fullDirectory()
  await using few = await makeTempDir('larder-size-')
  const { images } = await fillDataDirectory(few.path, 100, { withFiles: false })
  const among = {
    few: await catalogLatency(few.path, images),
    many: await catalogLatency(full.path, full.filled.images),
  }
  const limit = 5 * among.few.p50
  assert.ok(among.many.p50 < limit, `${among.many.p50} ms of ${limit}`)
  await using site = await Site.start({ dataDir: full.path, main: SOURCES })
  for (const what of ['blob', 'digest', 'tag'] as const) {
    await headLatency(site, full.filled.images, what)
  }
  assert.equal(site.registry.count({}), 0)
})

test('a scrape and the overview cost as much among many blobs as among few', async () => {
  await using empty = await makeTempDir('larder-size-')
  await using full = await fullDirectory()
  const cost = async (dataDir: string) => {
    await using site = await Site.start({ dataDir, main: SOURCES })
    await settle(site)
    const before = site.cpuSeconds
    for (let i = 0; i < 200; i++) {
      await site.delay()
      const { status } = await send(site.larder.adminUrl, '/api/v1/overview', { agent: site.agent })
      assert.equal(status, 200)
    }
    return site.cpuSeconds - before
  }
  const among = { few: await cost(empty.path), many: await cost(full.path) }
  assert.ok(among.many < 3 * among.few + 0.5, `${among.many} s of CPU, of none ${among.few} s`)
})

test('to plan an eviction costs as much among many as among few', async () => {
  await using few = await makeTempDir('larder-size-')
  await using many = await makeTempDir('larder-size-')
  const planned = {
    few: await measureRows(few.path, 5_000, 2_000),
    many: await measureRows(many.path, 20_000, 2_000),
  }
  const ratio = planned.many.planMs / planned.few.planMs
  assert.ok(ratio < 4, `${planned.many.planMs} ms, among a quarter ${planned.few.planMs} ms`)
})
