/** Where not everything fits, or it goes again, or the process is killed in the middle. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { stall } from '../support/faults.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { open, send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { type LarderOptions, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { linesOf, PreloadSite, preloadedOf } from './site.ts'

const MIB = 1024 * 1024
const APP = 'reg.test/team/app:v1'
/** In which a preload that looked at once would long have looked. */
const TURNS = 300

function addImages(registry: FaultRegistry, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    registry.add('team/app', buildImage({ seed: index, layers: [2 * MIB] }), `v${index}`)
    return `reg.test/team/app:v${index}`
  })
}

test('what does not fit is said before its bytes are asked for', async () => {
  await using site = await PreloadSite.start({ app: { maxBytes: 4 * MIB } })
  const image = buildImage({ layers: [5 * MIB] })
  site.registry.add('team/app', image, 'v1')
  const { done } = await site.preload([APP])
  const [failed] = done.failed
  assert.equal(failed?.code, 'NO_ROOM')
  assert.match(failed?.message ?? '', /no room for sha256:.* see storage.maxSize/)
  assert.equal(site.registry.countBlobs(image.layers[0]?.digest), 0)
})

test('of images that do not all fit, those that are called done stay to the end of the run', async () => {
  await using site = await PreloadSite.start({ app: { maxBytes: 8 * MIB } })
  const names = addImages(site.registry, 6)
  const { done, images } = await site.preload(names, { parallel: 1 })
  assert.deepEqual(done.images, { done: 3, unchanged: 0, failed: 3 })
  assert.ok(done.failed.every(({ code }) => code === 'NO_ROOM'))
  // None is fetched in the place of another: three layers and all configs.
  assert.equal(site.registry.countBlobs(), 3 + 6)
  const whole = names.filter((name) => images.get(name)?.state === 'done')
  assert.equal((await site.check(whole)).done.incomplete, 0)
})

test('what goes during the run is not called done in the end', async () => {
  await using site = await PreloadSite.start()
  const barrier = new Barrier()
  const [first = '', second = ''] = addImages(site.registry, 2)
  await site.preload([first])
  const late = buildImage({ seed: 1, layers: [2 * MIB] }).layers[0]?.digest
  site.registry.script({ path: new RegExp(`/blobs/${late}`) }, stall(1024, barrier))
  const response = await site.begin('/preload', { images: [first, second] })
  const text: Buffer[] = []
  const unchanged = Promise.withResolvers<void>()
  response.on('data', (piece: Buffer) => {
    text.push(piece)
    if (Buffer.concat(text).includes('"unchanged"')) unchanged.resolve()
  })
  await unchanged.promise
  const gone = buildImage({ seed: 0, layers: [2 * MIB] }).layers[0]
  assert.ok(gone)
  await site.lose(gone.digest)
  barrier.release()
  await once(response, 'end')
  const { done } = preloadedOf(linesOf(Buffer.concat(text).toString()))
  assert.deepEqual(done.images, { done: 1, unchanged: 0, failed: 1 })
  assert.deepEqual(
    done.failed.map(({ image, code }) => [image, code]),
    [[first, 'NO_ROOM']],
  )
})

test('on a disk that takes nothing no image is kept, no pin is made, and both are said', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ layers: [2000] })
  site.registry.add('team/app', image, 'v1')
  using _ = await interceptFiles((operation, path = '') => {
    if (operation === 'open' && /\/(?:ingest|pins)\//.test(path)) throw systemError('ENOSPC')
  })
  // From now on the manifest is in memory alone.
  await site.pull('team/app', image, 'v1')
  const { done } = await site.preload([APP])
  assert.deepEqual(
    done.failed.map(({ image: name, code }) => [name, code]),
    [[APP, 'NO_ROOM']],
  )
  assert.match(done.failed[0]?.message ?? '', /cannot be kept: nothing is stored at present/)
  const pinned = await site.post('/pins', { pattern: 'reg.test/**' })
  assert.equal(pinned.status, 507)
  assert.match(pinned.body.toString(), /"NO_ROOM".*ENOSPC.*make room/)
})

test('what is just being removed is not taken for here, but fetched', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ seed: 'going', layers: [2000, 3000] })
  site.registry.add('team/app', image, 'v1')
  await site.preload([APP])
  const removing = new Barrier()
  using _ = await interceptFiles((operation, path = '') =>
    operation === 'unlink' && path.includes('/blobs/') ? removing.wait() : undefined,
  )
  const purged = site.post('/purge', { pattern: 'reg.test/**' })
  await removing.arrived()
  const preloaded = site.preload([APP])
  for (let turn = 0; turn < TURNS; turn++) await setImmediate()
  removing.release()
  assert.equal((await purged).status, 200)
  const { done } = await preloaded
  assert.deepEqual(done.failed, [])
  await site.pull('team/app', image, 'v1')
})

test('an image is pinned when it is whole, as whose it is said, and not before', async () => {
  await using site = await PreloadSite.start()
  const [first = '', second = ''] = addImages(site.registry, 2)
  const lost = buildImage({ seed: 1, layers: [2 * MIB] }).layers[0]
  assert.ok(lost)
  site.registry.content.deleteBlob('team/app', lost.digest)
  const { done } = await site.preload([first, second], { pin: true, name: 'release' })
  assert.equal(done.images.failed, 1)
  const { body } = await send(site.app.adminUrl, '/api/v1/pins')
  const { pins } = JSON.parse(body.toString()) as { pins: { name: string; owner: string }[] }
  assert.deepEqual(
    pins.map(({ name, owner }) => [name, owner]),
    [[first, 'release']],
  )
})

test('killed in the middle and repeated, it goes on where it was', async () => {
  const registry = await new FaultRegistry().start()
  await using dir = await makeTempDir('larder-preload-')
  try {
    const dataDir = join(dir.path, 'data')
    const options: LarderOptions = {
      upstreams: [{ name: 'reg.test', url: registry.origin, access: 'public' }],
      dataDir,
    }
    const [small = ''] = addImages(registry, 1)
    const big = buildImage({ seed: 'big', layers: [24 * MIB] })
    const bytes = big.layers[0]
    assert.ok(bytes)
    registry.add('team/big', big, 'v1')
    const barrier = new Barrier()
    const blob = { path: new RegExp(`/blobs/${bytes.digest}`) }
    registry.script(blob, stall(16 * MIB, barrier), { times: 1 })
    const body = JSON.stringify({ images: [small, 'reg.test/team/big:v1'], pin: true })
    const request = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }
    const first = await startLarder(options)
    const response = await open(first.adminUrl, '/api/v1/preload', request)
    response.on('error', () => {}).resume()
    await barrier.arrived(1)
    await untilPartHas(dataDir, 8 * MIB)
    await first.kill()
    barrier.release()
    const gets = registry.count({ ...blob, method: 'GET' })
    await using second = await startLarder(options)
    const pins = await send(second.adminUrl, '/api/v1/pins')
    assert.doesNotMatch(pins.body.toString(), /team\/big/)
    const again = await send(second.adminUrl, '/api/v1/preload', request)
    const { done, images } = preloadedOf(linesOf(again.body.toString()))
    assert.deepEqual(done.failed, [])
    assert.equal(images.get('reg.test/team/big:v1')?.state, 'done')
    const asked = registry.requests.filter(({ path }) => path.endsWith(bytes.digest))
    assert.equal(asked.length, gets + 1)
    assert.match(String(asked.at(-1)?.headers.range), /^bytes=\d{7,}-$/)
    const after = await send(second.adminUrl, '/api/v1/pins')
    assert.match(after.body.toString(), /team\/big/)
  } finally {
    await registry.close()
  }
})

async function untilPartHas(dataDir: string, bytes: number): Promise<void> {
  for (const endsAt = performance.now() + 10_000; performance.now() < endsAt; ) {
    const folder = join(dataDir, 'ingest')
    for (const name of await readdir(folder)) {
      // Another part may have got its name since it was listed.
      const part = await stat(join(folder, name)).catch(() => undefined)
      if (part !== undefined && part.size >= bytes) return
    }
  }
  throw new Error('the part did not grow')
}
