import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { stall } from '../support/faults.ts'
import { seededBytes } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { type Pulled, pull, stallOn } from './clients.ts'
import { descriptorsOf, residentBytes } from './process.ts'

const MIB = 1024 * 1024
const READERS = 500
const HEALTHY = 10
/** Of one download that all follow. */
const MAX_SHARED_BYTES = 300 * MIB
/** Where each reads elsewhere, nothing is shared but the bound. */
const MAX_UNSHARED_BYTES = 400 * MIB
const FULL_CACHE_BYTES = 48 * MIB
/** What readers and downloads share besides, however many there are: `Loans`, `Window`. */
const MAX_LENT_BYTES = 64 * MIB
/** A piece of 64 KiB, a connection, and what the allocator does not give back. */
const MAX_READER_BYTES = 256 * 1024
const BIG = seededBytes('big', 64 * MIB)
const SMALL = seededBytes('small', 4 * MIB)
/** A machine that is busy otherwise must not fail a test; a server that is held up must. */
const SPARE_MS = 5_000

interface Site extends AsyncDisposable {
  readonly registry: FaultRegistry
  readonly larder: RunningLarder
  readonly big: string
  readonly small: string
}

async function startSite(chunkCache: string): Promise<Site> {
  const registry = await new FaultRegistry().start()
  const path = (bytes: Buffer) =>
    `/v2/library/app/blobs/${registry.content.putBlob('library/app', bytes)}`
  const upstream = { name: 'docker.io', url: registry.origin, access: 'public', default: true }
  const larder = await startLarder({ upstreams: [upstream], memory: { chunkCache } })
  return {
    registry,
    larder,
    big: path(BIG),
    small: path(SMALL),
    async [Symbol.asyncDispose]() {
      await larder.close()
      await registry.close()
    },
  }
}

/** All at once, of what is in memory. */
async function healthy({ larder, small }: Site): Promise<readonly Pulled[]> {
  const all = await Promise.all(Array.from({ length: HEALTHY }, () => pull(larder.url, small)))
  for (const { complete, bytes } of all) assert.ok(complete && bytes === SMALL.length)
  return all
}

function slowest(all: readonly Pulled[], what: 'firstByteMs' | 'ms'): number {
  return Math.max(...all.map((one) => one[what]))
}

async function assertUnaffected(site: Site, before: readonly Pulled[]): Promise<void> {
  const during = await healthy(site)
  for (const what of ['firstByteMs', 'ms'] as const) {
    const limit = 2 * slowest(before, what) + SPARE_MS
    assert.ok(slowest(during, what) < limit, `${what}: ${slowest(during, what)} of ${limit}`)
  }
}

function assertBounded({ larder }: Site, limit: number): void {
  const bytes = residentBytes(larder.pid)
  assert.ok(bytes < limit, `${Math.round(bytes / MIB)} MiB are resident`)
}

/** Sockets and files go when their clients go. */
async function assertGivenBack({ larder }: Site, before: number): Promise<void> {
  await larder.logged('request', READERS)
  const endsAt = performance.now() + 10_000
  while (descriptorsOf(larder.pid).all > before + 8 && performance.now() < endsAt) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(descriptorsOf(larder.pid).all <= before + 8)
}

test('500 stalled readers of one download take little memory and hold up nobody', async () => {
  await using site = await startSite('16MiB')
  const { registry, larder, big, small } = site
  const open = descriptorsOf(larder.pid).all
  await pull(larder.url, small)
  const before = await healthy(site)
  const begun = new Barrier()
  registry.script({ path: big }, stall(MIB, begun), { times: 1 })
  const asked = Array.from({ length: READERS }, () => stallOn(larder.port, big))
  await begun.arrived()
  const readers = await Promise.all(asked)
  begun.release()
  try {
    const other = await pull(larder.url, big)
    assert.ok(other.complete && other.bytes === BIG.length)
    await assertUnaffected(site, before)
    assertBounded(site, MAX_SHARED_BYTES)
    assert.equal(registry.count({ method: 'GET', path: big }), 1)
  } finally {
    // Or the server would wait for them.
    for (const reader of readers) reader.leave()
  }
  await assertGivenBack(site, open)
})

test('memory is that of an idle process, the cache of chunks, and a little for each reader', async () => {
  await using site = await startSite(`${FULL_CACHE_BYTES / MIB}MiB`)
  const { registry, larder, big } = site
  const fill = registry.content.putBlob('library/app', seededBytes('fill', FULL_CACHE_BYTES))
  const idle = residentBytes(larder.pid)
  // Downloaded, then read, so that all of it is in the cache.
  for (let i = 0; i < 2; i++) await pull(larder.url, `/v2/library/app/blobs/${fill}`)
  const readers = await Promise.all(
    Array.from({ length: READERS }, () => stallOn(larder.port, big)),
  )
  try {
    const other = await pull(larder.url, big)
    assert.ok(other.complete && other.bytes === BIG.length)
    assertBounded(site, idle + FULL_CACHE_BYTES + MAX_LENT_BYTES + READERS * MAX_READER_BYTES)
  } finally {
    // Or the server would wait for them.
    for (const reader of readers) reader.leave()
  }
})

test('500 stalled readers at as many places of a blob larger than the cache share a bound', async () => {
  await using site = await startSite('16MiB')
  const { larder, big, small } = site
  const open = descriptorsOf(larder.pid).all
  await pull(larder.url, small)
  await pull(larder.url, big)
  const before = await healthy(site)
  const step = Math.floor((BIG.length - 16 * MIB) / READERS)
  const readers = await Promise.all(
    Array.from({ length: READERS }, (_, i) => stallOn(larder.port, big, i * step)),
  )
  try {
    const other = await pull(larder.url, big)
    assert.ok(other.complete && other.bytes === BIG.length)
    await assertUnaffected(site, before)
    assertBounded(site, MAX_UNSHARED_BYTES)
  } finally {
    // Or the server would wait for them.
    for (const reader of readers) reader.leave()
  }
  await assertGivenBack(site, open)
})

test('2 000 idle connections cost little, and the next client is served as if they were not', async () => {
  await using site = await startSite('16MiB')
  const { larder, small } = site
  await pull(larder.url, small)
  const before = await healthy(site)
  const resident = residentBytes(larder.pid)
  const idle = []
  for (let i = 0; i < 2_000; i += 100) {
    const some = Array.from({ length: 100 }, () => stallOn(larder.port, '/v2/'))
    idle.push(...(await Promise.all(some)))
  }
  assert.ok(descriptorsOf(larder.pid).sockets >= 2_000)
  await assertUnaffected(site, before)
  const grown = residentBytes(larder.pid) - resident
  assert.ok(grown < 100 * MIB, `${Math.round(grown / MIB)} MiB for 2 000 connections`)
  for (const one of idle) one.leave()
})
