import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { damagedFiles } from '../soak/disk.ts'
import type { TestApp } from '../support/app.ts'
import type { FaultRegistry } from '../support/fault-registry.ts'
import { hangUp } from '../support/faults.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'
import { buildImage, seededBytes } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'

const MIB = 1024 * 1024
const TROUBLE = 'larder_store_trouble'
/** So small that every blob is read from its file. */
const NO_MEMORY = { chunkCacheBytes: 1 }

test('three failing fsyncs end the writing, and none is made for a pull until it goes again', async () => {
  const clock = new SkippingClock()
  await using hub = await startHub({ app: { clock } })
  const { app, registry } = hub
  const layers = publish(registry, 'layers', Array<number>(30).fill(1000))
  let isFailing = true
  let syncs = 0
  using _ = await interceptFiles((operation) => {
    if (operation !== 'sync' || !isFailing) return
    syncs++
    throw systemError('EIO')
  })
  for (const digest of layers.slice(0, 3)) await pull(app, digest)
  await app.until(TROUBLE, 1, { reason: 'io' })
  assert.equal(syncs, 3)
  assert.match(await storageStatus(app), /^degraded: io for \d+ s; nothing is cached$/)
  assert.equal(await app.metric('larder_store_writable'), 0)
  const log = join(app.dataDir, 'larder.db-wal')
  const { mtimeMs } = statSync(log)
  for (const digest of layers.slice(3, 23)) await pull(app, digest)
  assert.equal(statSync(log).mtimeMs, mtimeMs, 'the database is left alone too')
  assert.ok(syncs <= 5, `${syncs} fsyncs: a trial or two`)
  assert.equal(await app.metric('larder_store_not_stored_total', { reason: 'resting' }), 20)
  assert.deepEqual(linesOf(app), ['warn failed once', 'warn failed once', 'warn began'])
  // A trial that fails leaves it at that.
  const endsAt = performance.now() + 10_000
  for (const before = syncs; syncs === before; clock.skip(10_000)) {
    assert.ok(performance.now() < endsAt, 'nothing is tried')
    await app.samples()
  }
  assert.equal(await app.metric('larder_store_writable'), 0)
  isFailing = false
  while ((await app.metric(TROUBLE)) > 0) clock.skip(10_000)
  assert.deepEqual(linesOf(app).slice(3), ['info ended'])
  assert.equal(await storageStatus(app), 'ok')
  await assertCached(app, layers[25] as Digest)
  assert.deepEqual(await readdir(join(app.dataDir, 'ingest')), [])
  assert.deepEqual(await damagedFiles(app.dataDir), [])
})

test('a blob that the disk cannot read is put aside and fetched, for the very pull that found it', async () => {
  await using hub = await startHub({ app: NO_MEMORY })
  const { app, registry } = hub
  const [digest] = publish(registry, 'unreadable', [2000]) as [Digest]
  await assertCached(app, digest)
  const before = registry.countBlobs(digest)
  using faults = await failReads()
  faults.next = 1
  await pull(app, digest)
  assert.equal(registry.countBlobs(digest), before + 1)
  await assertCached(app, digest)
  assert.equal(registry.countBlobs(digest), before + 1)
  assert.equal(await app.metric('larder_integrity_checks_total', { result: 'io' }), 1)
  assert.equal((await readdir(join(app.dataDir, 'quarantine'))).length, 1)
})

test('what becomes unreadable in the middle is cut off, and the next pull is right', async () => {
  await using hub = await startHub({ app: NO_MEMORY })
  const { app, registry } = hub
  const [digest] = publish(registry, 'half', [4 * MIB]) as [Digest]
  await assertCached(app, digest)
  using faults = await failReads()
  faults.next = 3
  const cut = await app.get(`${APP}/blobs/${digest}`)
  assert.equal(cut.complete, false)
  assert.ok(cut.body.length < 4 * MIB)
  await pull(app, digest)
  assert.equal(registry.countBlobs(digest), 2)
  await assertCached(app, digest)
})

test('a manifest that the disk refused is stored from memory once it takes it, and its tag with it', async () => {
  const clock = new SkippingClock()
  await using hub = await startHub({ app: { clock } })
  const { app, registry } = hub
  publish(registry, 'refused', [1000])
  const path = `${APP}/manifests/refused`
  {
    using _ = await interceptFiles((operation) => {
      if (operation === 'sync') throw systemError('EIO')
    })
    assert.equal((await app.get(path)).status, 200)
    clock.skip(10_000)
    assert.equal((await app.get(path)).status, 200)
    await app.until('larder_store_errors_total', 2, { operation: 'manifest' })
  }
  assert.equal(await app.metric('larder_store_manifests'), 0)
  assert.equal((await app.get(path)).status, 200)
  assert.equal(await app.metric('larder_store_manifests'), 0, 'it is not tried at each pull')
  clock.skip(10_000)
  assert.equal((await app.get(path)).status, 200)
  await app.until('larder_store_tags', 1)
  assert.equal(registry.countManifests('GET', 'refused'), 1)
  await app.restart()
  registry.script({}, hangUp('rst'))
  assert.equal((await app.get(path)).status, 200)
})

test('a manifest that the disk cannot read is fetched again', async () => {
  await using hub = await startHub({ app: NO_MEMORY })
  const { app, registry, index } = hub
  const path = `${APP}/manifests/${index.descriptor.digest}`
  assert.equal((await app.get(path)).status, 200)
  // It is served from memory otherwise.
  await app.restart()
  using _ = await interceptFiles((operation) => {
    if (operation === 'read') throw systemError('EIO')
  })
  const { status, body } = await app.get(path)
  assert.equal(status, 200)
  assert.equal(digestOf(body), index.descriptor.digest)
  assert.equal(registry.countManifests('GET', index.descriptor.digest), 2)
  assert.equal(await app.metric('larder_store_errors_total', { operation: 'read' }), 2)
})

test('what may not be read is fetched and stored anew, and that is told once', async () => {
  await using hub = await startHub({ app: NO_MEMORY })
  const { app, registry, index } = hub
  const layers = publish(registry, 'denied', [2000, 3000, 4000]) as [Digest, Digest, Digest]
  for (const digest of layers) await assertCached(app, digest)
  const manifest = `${APP}/manifests/${index.descriptor.digest}`
  assert.equal((await app.get(manifest)).status, 200)
  await app.restart()
  const denied = new Set([index.descriptor.digest, ...layers].map((one) => one.split(':')[1]))
  {
    using _ = await interceptFiles((operation, path = '') => {
      const name = path.split('/').at(-1)
      if (operation === 'rename') denied.delete(path.split('/').at(-1)?.replace(/\..*/, ''))
      if (operation === 'open' && denied.has(name)) throw systemError('EACCES')
    })
    assert.equal((await app.get(manifest)).status, 200)
    for (const digest of layers.slice(0, 2)) await pull(app, digest)
    while (denied.size > 1) await app.samples()
    // They are stored again, by somebody who may read them.
    for (const digest of layers.slice(0, 2)) await pull(app, digest)
    assert.equal((await app.get(manifest)).status, 200)
    assert.deepEqual(
      layers.map((digest) => registry.countBlobs(digest)),
      [2, 2, 1],
    )
    assert.equal(await app.metric('larder_store_writable'), 1)
    assert.match(await storageStatus(app), /^degraded: denied for \d+ s; not all is cached$/)
    assert.deepEqual(linesOf(app), ['warn began'])
    registry.script({}, hangUp('rst'))
    assert.equal((await app.get(`${APP}/blobs/${layers[2]}`)).status, 502)
    const { status, body } = await send(app.adminUrl, '/api/v1/verify', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    })
    assert.equal(status, 200)
    assert.match(body.toString(), /"event":"done".*"damaged":0,"missing":1,/)
  }
  // Its owner has put the last one right: it was not put aside meanwhile.
  await pull(app, layers[2])
  assert.deepEqual(await readdir(join(app.dataDir, 'quarantine')), [])
})

function publish(registry: FaultRegistry, seed: string, sizes: readonly number[]): Digest[] {
  const layers = sizes.map((size, at) => seededBytes(`${seed} ${at}`, size))
  const image = buildImage({ seed, layers })
  registry.add('library/app', image, seed)
  return image.layers.map(({ digest }) => digest)
}

async function pull(app: TestApp, digest: Digest): Promise<void> {
  const { status, body, complete } = await app.get(`${APP}/blobs/${digest}`)
  assert.equal(status, 200, body.subarray(0, 300).toString())
  assert.ok(complete)
  assert.equal(digestOf(body), digest)
}

/** Pulls it until it is stored: its client has it before the disk has. */
async function assertCached(app: TestApp, digest: Digest): Promise<void> {
  const hex = digest.slice('sha256:'.length)
  const file = join(app.dataDir, 'blobs/sha256', hex.slice(0, 2), hex)
  const endsAt = performance.now() + 10_000
  while (!existsSync(file)) {
    await pull(app, digest)
    assert.ok(performance.now() < endsAt, 'it is never stored')
  }
  await app.until('larder_store_blobs', 1)
}

async function storageStatus(app: TestApp): Promise<string> {
  const { status, body } = await send(app.adminUrl, '/readyz?verbose')
  assert.equal(status, 200)
  const { checks } = JSON.parse(body.toString()) as { checks: { name: string; status: string }[] }
  return checks.find(({ name }) => name === 'storage')?.status ?? 'not shown'
}

/** What an operator sees of the disk. */
function linesOf(app: TestApp): string[] {
  return app.logs
    .filter((line) => line['trouble'] !== undefined)
    .map(({ level, msg }) => {
      const isOnce = String(msg).startsWith('the disk failed once')
      const isEnd = String(msg).startsWith('the store works again')
      return `${level} ${isOnce ? 'failed once' : isEnd ? 'ended' : 'began'}`
    })
}

/** The `next`-th read of a file from now on fails; 0: none. */
async function failReads(): Promise<Disposable & { next: number }> {
  const faults = { next: 0 }
  const interception = await interceptFiles((operation) => {
    if (operation === 'read' && faults.next > 0 && --faults.next === 0) throw systemError('EIO')
  })
  return Object.assign(faults, { [Symbol.dispose]: () => interception[Symbol.dispose]() })
}
