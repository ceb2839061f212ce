import assert from 'node:assert/strict'
import { readdir, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import { cutFile, flipByte, pathOf } from '../store/integrity-site.ts'
import { open, readResponse, send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'
import { seededBytes } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'

const MIB = 1024 * 1024
const WEEK_AND_MORE = 8 * 24 * 3_600_000
const BYTES = seededBytes('integrity', 4 * MIB + 10)
const CHECKS = 'larder_integrity_checks_total'

/** A blob of several chunks that was pulled, and is only on disk. */
async function startCached() {
  const clock = new SkippingClock()
  const hub = await startHub({ app: { clock } })
  const { app, registry } = hub
  const digest = registry.content.putBlob('library/app', BYTES)
  const path = `${APP}/blobs/${digest}`
  const pull = async () => app.get(path)
  assert.ok((await pull()).body.equals(BYTES))
  await hub.app.until('larder_store_blobs', 1)
  await app.restart()
  const fetched = () =>
    registry.requests.filter(({ method, url }) => method === 'GET' && url.includes(digest)).length
  return {
    hub,
    app,
    clock,
    digest,
    path,
    pull,
    fetched,
    [Symbol.asyncDispose]: () => hub[Symbol.asyncDispose](),
  }
}

async function verify(adminUrl: string, repair: boolean) {
  const headers = { 'Content-Type': 'application/json' }
  const body = JSON.stringify({ repair })
  const answer = await send(adminUrl, '/api/v1/verify', { method: 'POST', headers, body })
  assert.equal(answer.status, 200, answer.body.toString())
  const lines = answer.body.toString().trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function quarantined(dataDir: string): Promise<number> {
  return (await readdir(join(dataDir, 'quarantine'))).length
}

for (const [where, at] of [
  ['second', MIB],
  ['last', BYTES.length - 1],
] as const) {
  test(`a blob that rots in its ${where} chunk is cut before its end, and fetched anew by the next pull`, async () => {
    await using cached = await startCached()
    const { app, clock, digest, pull, fetched } = cached
    clock.skip(WEEK_AND_MORE)
    await flipByte(app.dataDir, digest, at)
    const first = await pull()
    assert.equal(first.status, 200)
    assert.equal(first.complete, false)
    assert.ok(first.body.length < BYTES.length)
    assert.equal(fetched(), 1)
    const second = await pull()
    assert.ok(second.complete && second.body.equals(BYTES))
    assert.equal(fetched(), 2)
    assert.equal(await app.metric(CHECKS, { result: 'digest' }), 1)
    assert.equal(await quarantined(app.dataDir), 1)
    assert.ok((await pull()).body.equals(BYTES))
    assert.equal(fetched(), 2, 'from the cache again')
  })
}

test('a blob that was checked a moment ago is not hashed again, and one that is due only once', async () => {
  await using cached = await startCached()
  const { app, clock, pull } = cached
  await pull()
  assert.equal(await app.metric(CHECKS), 0)
  clock.skip(WEEK_AND_MORE)
  for (let pulls = 0; pulls < 3; pulls++) assert.ok((await pull()).body.equals(BYTES))
  assert.equal(await app.metric(CHECKS, { result: 'ok' }), 1)
  await app.restart()
  await pull()
  assert.equal(await app.metric(CHECKS), 0, 'a restart keeps when it was checked')
})

test('a range of a blob is not hashed', async () => {
  await using cached = await startCached()
  const { app, clock, path } = cached
  clock.skip(WEEK_AND_MORE)
  const part = await app.get(path, { range: 'bytes=10-19' })
  assert.ok(part.body.equals(BYTES.subarray(10, 20)))
  assert.equal(await app.metric(CHECKS), 0)
})

test('a small blob that is damaged is fetched anew for the very pull that finds it', async () => {
  const clock = new SkippingClock()
  await using hub = await startHub({ app: { clock } })
  const { app, blob } = hub
  const pull = () => app.get(`${APP}/blobs/${blob.digest}`)
  await pull()
  await app.until('larder_store_blobs', 1)
  await app.restart()
  clock.skip(WEEK_AND_MORE)
  await flipByte(app.dataDir, blob.digest, 5)
  const answer = await pull()
  assert.equal(answer.status, 200)
  assert.ok(answer.complete && answer.body.equals(blob.bytes))
  assert.equal(await app.metric(CHECKS, { result: 'digest' }), 1)
})

test('a file that is cut short, or gone, is fetched anew by the next pull', async () => {
  await using cached = await startCached()
  const { app, digest, pull, fetched } = cached
  await cutFile(app.dataDir, digest, MIB)
  assert.ok((await pull()).body.equals(BYTES))
  assert.equal(fetched(), 2)
  await app.until('larder_store_blobs', 1)
  await unlink(pathOf(app.dataDir, digest))
  await app.restart()
  assert.ok((await pull()).body.equals(BYTES))
  assert.equal(fetched(), 3)
})

for (const [what, harm] of [
  ['deleted', (path: string) => unlink(path)],
  ['replaced by another', (path: string) => rename(`${path}.other`, path)],
] as const) {
  test(`a file that is ${what} while it is sent is sent to its end`, async () => {
    await using hub = await startHub({ app: { chunkCacheBytes: 0 } })
    const { app, registry } = hub
    const bytes = seededBytes('sent', 48 * MIB)
    const digest = registry.content.putBlob('library/app', bytes)
    const path = `${APP}/blobs/${digest}`
    await app.get(path)
    await app.until('larder_store_blobs', 1)
    const file = pathOf(app.dataDir, digest)
    await writeFile(`${file}.other`, 'other bytes')
    const sending = await open(app.url, path)
    await harm(file)
    const { body, complete } = await readResponse(sending)
    assert.ok(complete && body.equals(bytes))
    const next = await app.get(path)
    assert.ok(next.complete && next.body.equals(bytes))
  })
}

test('damage that a pull finds is counted once, and said with its digest', async () => {
  await using cached = await startCached()
  const { hub, app, digest, pull } = cached
  const manifest = hub.image.manifest.digest
  await app.get(`${APP}/manifests/${manifest}`)
  await app.restart()
  await flipByte(app.dataDir, manifest, 5)
  await cutFile(app.dataDir, digest, MIB)
  const answers = [app.get(`${APP}/manifests/${manifest}`), pull(), pull()]
  for (const { status } of await Promise.all(answers)) assert.equal(status, 200)
  const said = app.logs.filter(({ msg }) => String(msg).startsWith('damaged'))
  assert.equal(said.length, 2)
  assert.deepEqual(new Set(said.map((line) => line['digest'])), new Set([manifest, digest]))
  assert.equal(await app.metric(CHECKS, { result: 'digest' }), 1)
  assert.equal(await app.metric(CHECKS, { result: 'size' }), 1)
  assert.equal(await quarantined(app.dataDir), 2)
})

test('`verify` finds what is damaged and missing, puts it aside, and says where it belongs', async () => {
  await using cached = await startCached()
  const { hub, app, digest, pull } = cached
  await app.get(`${APP}/blobs/${hub.blob.digest}`)
  await app.until('larder_store_blobs', 2)
  await flipByte(app.dataDir, digest, 2 * MIB)
  await unlink(pathOf(app.dataDir, hub.blob.digest))
  const lines = await verify(app.adminUrl, false)
  const faults = lines.filter(({ event }) => event === 'fault')
  assert.deepEqual(
    new Map(faults.map((line) => [line['digest'] as Digest, line['fault']])),
    new Map([
      [digest, 'damaged'],
      [hub.blob.digest, 'missing'],
    ]),
  )
  const done = lines.at(-1)
  assert.equal(done?.['event'], 'done')
  const { checked, ok, damaged, missing, repaired } = done as Record<string, number>
  assert.deepEqual(
    { checked, ok, damaged, missing, repaired },
    {
      checked: 2,
      ok: 0,
      damaged: 1,
      missing: 1,
      repaired: 0,
    },
  )
  const unrepaired = done?.['unrepaired'] as { readonly places: readonly string[] }[]
  assert.deepEqual(unrepaired[0]?.places, ['docker.io/library/app'])
  assert.equal(await quarantined(app.dataDir), 1)
  assert.ok((await pull()).body.equals(BYTES))
})

for (const when of ['at once', 'after a restart']) {
  test(`\`verify --repair\` (${when}) fetches blobs and manifests again`, async () => {
    await using hub = await startHub()
    const { app, blob, image, registry } = hub
    const layer = registry.content.putBlob('library/app', BYTES)
    await app.get(`${APP}/manifests/${image.manifest.digest}`)
    for (const digest of [blob.digest, layer]) await app.get(`${APP}/blobs/${digest}`)
    await app.until('larder_store_blobs', 3)
    if (when !== 'at once') await app.restart()
    await flipByte(app.dataDir, image.manifest.digest, 3)
    await flipByte(app.dataDir, blob.digest, 3)
    await unlink(pathOf(app.dataDir, layer))
    const done = (await verify(app.adminUrl, true)).at(-1)
    const { event, ...result } = done ?? {}
    assert.equal(event, 'done')
    assert.deepEqual(result, {
      checked: 3,
      ok: 0,
      damaged: 2,
      missing: 1,
      repaired: 3,
      unrepaired: [],
    })
    await registry.close()
    await app.restart()
    assert.equal((await app.get(`${APP}/manifests/${image.manifest.digest}`)).status, 200)
    assert.ok((await app.get(`${APP}/blobs/${layer}`)).body.equals(BYTES))
    const again = (await verify(app.adminUrl, false)).at(-1)
    assert.equal(again?.['ok'], 3)
  })
}

test('`verify --repair` fetches what was lost of a pinned image before the last start', async () => {
  await using hub = await startHub()
  const { app, blob, image, index, registry } = hub
  const lost = [blob.digest, image.manifest.digest]
  const paths = [`manifests/v1`, `manifests/${lost[1]}`, `blobs/${lost[0]}`]
  for (const path of paths) assert.equal((await app.get(`${APP}/${path}`)).status, 200)
  const other = registry.content.putBlob('library/app', BYTES)
  await app.get(`${APP}/blobs/${other}`)
  await app.until('larder_store_blobs', 4)
  const headers = { 'Content-Type': 'application/json' }
  const body = JSON.stringify({ references: ['docker.io/library/app:v1'] })
  await send(app.adminUrl, '/api/v1/pins', { method: 'POST', headers, body })
  const unlinkAll = async (digests: readonly Digest[]) => {
    for (const digest of digests) await unlink(pathOf(app.dataDir, digest))
  }
  // Of what nobody pinned nothing says that it is wanted. Of the other platform nothing ever was here.
  await app.restart({}, () => unlinkAll([...lost, other]))
  const lines = await verify(app.adminUrl, false)
  const faults = lines.filter(({ event }) => event === 'fault')
  assert.deepEqual(faults.map((line) => [line['digest'], line['fault']]).sort(), [
    ...lost.map((digest) => [digest, 'missing']).sort(),
  ])
  const { missing, repaired } = (await verify(app.adminUrl, true)).at(-1) ?? {}
  assert.deepEqual({ missing, repaired }, { missing: 2, repaired: 2 })
  // Its root has nothing above it that would tell of it.
  await app.restart({}, () => unlinkAll([index.descriptor.digest]))
  assert.equal((await verify(app.adminUrl, true)).at(-1)?.['repaired'], 1)
  await registry.close()
  await app.restart()
  for (const path of paths) assert.equal((await app.get(`${APP}/${path}`)).status, 200)
  assert.equal((await verify(app.adminUrl, false)).at(-1)?.['missing'], 0)
})

test('`verify --repair` without its registry says that nothing was repaired', async () => {
  await using cached = await startCached()
  const { hub, app, digest } = cached
  await flipByte(app.dataDir, digest, 0)
  await hub.registry.close()
  const done = (await verify(app.adminUrl, true)).at(-1)
  assert.equal(done?.['damaged'], 1)
  assert.equal(done?.['repaired'], 0)
})

for (const size of [0, 1000]) {
  test(`a file that was cut to ${size} bytes before the database was lost is fetched anew by the very pull`, async () => {
    await using hub = await startHub()
    const { app, blob } = hub
    const pull = () => app.get(`${APP}/blobs/${blob.digest}`)
    await pull()
    await app.until('larder_store_blobs', 1)
    await app.restart({}, async () => {
      await cutFile(app.dataDir, blob.digest, size)
      await rm(join(app.dataDir, 'larder.db'))
    })
    await app.until('larder_store_blobs', 1)
    const answer = await pull()
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-length'], String(blob.bytes.length))
    assert.ok(answer.complete && answer.body.equals(blob.bytes))
    assert.equal(await app.metric(CHECKS, { result: 'digest' }), 1)
  })
}

test('what was read of a file that rots is forgotten once it has been fetched anew', async () => {
  await using hub = await startHub()
  const { app, registry } = hub
  // So large that its first chunks are no longer in memory when its last has come.
  const bytes = seededBytes('larger', 12 * MIB)
  const digest = registry.content.putBlob('library/app', bytes)
  const path = `${APP}/blobs/${digest}`
  await app.get(path)
  await app.until('larder_store_blobs', 1)
  await app.restart()
  await flipByte(app.dataDir, digest, 5)
  const rotten = await app.get(path, { range: 'bytes=0-9' })
  assert.ok(!rotten.body.equals(bytes.subarray(0, 10)), 'it was checked a moment ago')
  await unlink(pathOf(app.dataDir, digest))
  assert.ok((await app.get(path)).body.equals(bytes), 'from the registry')
  while ((await app.metric('larder_inflight_fetches')) > 0);
  assert.ok((await app.get(path)).body.equals(bytes), 'from the cache')
})
