/** What an operator does to a store by hand, and what the store does by itself. */
import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

import { formatBytes } from '../../src/cli/format.ts'
import { metric, until } from '../e2e/metrics.ts'
import { send } from '../support/http-client.ts'
import { buildImage, type Image, seededBytes } from '../support/images.ts'
import { startLarder } from '../support/larder.ts'
import {
  addImage,
  bytesOnDisk,
  CAP,
  fileOf,
  MIB,
  misses,
  NAME,
  ownLayer,
  pull,
  pullBlob,
  run,
  SHARED,
  type Site,
  SMALL,
  sizeOf,
  spawn,
  startSite,
  storage,
  store,
  untilNothingLands,
} from './housekeeping-site.ts'

test('the store keeps to its cap: what was used last stays, what was not used for longest goes', async () => {
  await using site = await startSite()
  const { larder, registry } = site
  const tags = ['v1', 'v2', 'v3', 'v4', 'v5'] as const
  const images = new Map(tags.map((tag) => [tag, addImage(site, tag)]))
  const imageOf = (tag: (typeof tags)[number]) => images.get(tag) as Image
  // v1 is the oldest, and is used again before there is too little room.
  for (const tag of ['v1', 'v2', 'v3', 'v1', 'v4', 'v5'] as const) {
    await store(site, imageOf(tag), tag)
    const bytes = await metric(larder, 'larder_store_bytes')
    assert.ok(bytes <= CAP, `${bytes} bytes after ${tag}`)
    assert.ok((await bytesOnDisk(site)) <= CAP)
  }
  assert.ok((await metric(larder, 'larder_evictions_total', { reason: 'lru' })) >= 3)
  assert.ok((await metric(larder, 'larder_evicted_bytes_total', { reason: 'lru' })) >= 2 * MIB)

  for (const tag of ['v1', 'v4', 'v5'] as const) {
    assert.equal(await misses(site, imageOf(tag), tag), 0, `${tag} is no hit`)
  }
  // Its manifest, its configuration and its layer: the shared one stayed with the others.
  assert.equal(await misses(site, imageOf('v2'), 'v2'), 3)
  assert.equal(registry.countBlobs(imageOf('v2').layers[0]?.digest), 1)
  assert.ok((await metric(larder, 'larder_store_bytes')) <= CAP)

  const large = seededBytes('large', CAP + 1)
  const image = buildImage({ seed: 'large', layers: [large] })
  registry.add('team/app', image, 'large')
  const evicted = await metric(larder, 'larder_evictions_total')
  for (const times of [1, 2]) {
    await pullBlob(larder, ownLayer(image), large)
    await untilNothingLands(site)
    assert.equal(registry.countBlobs(ownLayer(image)), times)
  }
  assert.equal(await metric(larder, 'larder_evictions_total'), evicted)
  assert.equal(await misses(site, imageOf('v5'), 'v5'), 0)
})

test('what is pinned stays while everything else goes, and goes once it is unpinned', async () => {
  await using site = await startSite()
  const { larder } = site
  const pinned = addImage(site, 'pinned')
  await store(site, pinned, 'pinned')
  const { code, stdout } = await spawn(site, 'pin', `${NAME}:pinned`)
  assert.equal(code, 0)
  assert.match(stdout, /^reg\.test\/team\/app:pinned +sha256:/m)
  for (const tag of ['v1', 'v2', 'v3', 'v4', 'v5']) await store(site, addImage(site, tag), tag)
  const list = await run(site, 'pin', '--list')
  assert.equal(list.code, 0)
  assert.match(list.stdout, /^reg\.test\/team\/app:pinned +sha256:\w+ +no +manual +never$/m)
  assert.equal(await misses(site, pinned, 'pinned'), 0)
  assert.ok((await metric(larder, 'larder_store_bytes')) <= CAP)

  const refused = await run(site, 'purge', `${NAME}:pinned`, '--yes')
  assert.equal(refused.code, 3)
  assert.match(refused.stderr, /pinned/)
  assert.equal(await misses(site, pinned, 'pinned'), 0)

  const unpinned = await spawn(site, 'unpin', `${NAME}:pinned`)
  assert.deepEqual(unpinned, { code: 0, stdout: 'took 1 pin away\n', stderr: '' })
  assert.equal((await run(site, 'unpin', `${NAME}:pinned`)).code, 6)
  for (const tag of ['v6', 'v7', 'v8', 'v9']) await store(site, addImage(site, tag), tag)
  assert.equal(await misses(site, pinned, 'pinned'), 3)
})

test('a pin outlives the database: its tag and its content are served offline', async () => {
  await using site = await startSite()
  const { registry, larder, options } = site
  const image = addImage(site, 'v1')
  await store(site, image, 'v1')
  await store(site, addImage(site, 'other'), 'other')
  assert.equal((await run(site, 'pin', `${NAME}:v1`)).code, 0)
  assert.equal(await larder.close(), 0)
  const { dataDir } = larder
  const databases = (await readdir(dataDir)).filter((name) => name.startsWith('larder.db'))
  assert.ok(databases.length > 0)
  for (const name of databases) await rm(join(dataDir, name))
  registry.requests.length = 0

  await using again = await startLarder({ ...options, offline: true })
  await until(again, 'larder_store_tags', 1)
  await pull({ larder: again }, image, 'v1')
  const list = await run({ larder: again }, 'pin', '--list')
  assert.match(list.stdout, /^reg\.test\/team\/app:v1 /m)
  const other = await send(again.url, '/v2/team/app/manifests/other')
  assert.notEqual(other.status, 200)
  assert.equal(registry.requests.length, 0)
})

describe('what an operator starts', () => {
  let site: Site

  before(async () => {
    site = await startSite()
  })

  after(() => site[Symbol.asyncDispose]())

  test('the storage report says what is here, what is pinned and what would go first', async () => {
    const { larder } = site
    const empty = await storage(larder)
    assert.deepEqual(
      { ...empty, availableBytes: 0 },
      {
        usedBytes: 0,
        quotaBytes: CAP,
        availableBytes: 0,
        pinnedBytes: 0,
        blobs: 0,
        manifests: 0,
        tags: 0,
        parts: { count: 0, bytes: 0 },
        next: [],
      },
    )
    const start = Date.now()
    const first = addImage(site, 'r1', SMALL)
    const second = addImage(site, 'r2', SMALL)
    await store(site, first, 'r1')
    await store(site, second, 'r2')
    const report = await storage(larder)
    assert.equal(report.usedBytes, sizeOf(first) + sizeOf(second) - SHARED.length)
    assert.equal(report.usedBytes, await bytesOnDisk(site))
    assert.ok(report.availableBytes > 0)
    assert.deepEqual([report.manifests, report.tags], [2, 2])
    assert.equal(report.next[0]?.name, `${NAME}:r1`)
    for (const { lastUsedAt } of report.next) {
      assert.ok(lastUsedAt >= start - 1000 && lastUsedAt <= Date.now() + 1000)
    }

    assert.equal((await run(site, 'pin', `${NAME}:r1`)).code, 0)
    const pinned = await storage(larder)
    assert.equal(pinned.pinnedBytes, sizeOf(first))
    assert.equal(pinned.next[0]?.name, `${NAME}:r2`)
    assert.equal((await run(site, 'unpin', `${NAME}:r1`)).code, 0)
    assert.equal((await storage(larder)).pinnedBytes, 0)
  })

  test('purge shows what would go, removes it, and says what is not here', async () => {
    const image = addImage(site, 'v1', SMALL)
    const other = addImage(site, 'v2', SMALL)
    await store(site, image, 'v1')
    await store(site, other, 'v2')
    const before = await storage(site.larder)

    const dry = await run(site, 'purge', `${NAME}:v1`, '--dry-run')
    assert.equal(dry.code, 0, dry.stderr)
    assert.match(dry.stdout, /reg\.test\/team\/app:v1/)
    const gone = `${formatBytes(sizeOf(image) - SHARED.length)}: 1 tag, 1 manifest, 2 blobs`
    assert.ok(dry.stdout.endsWith(`\nwould free ${gone}\n`), dry.stdout)
    assert.deepEqual(
      { ...(await storage(site.larder)), availableBytes: 0 },
      { ...before, availableBytes: 0 },
    )
    assert.equal(await misses(site, image, 'v1'), 0)

    const unsure = await run(site, 'purge', `${NAME}:v1`)
    assert.equal(unsure.code, 2)
    assert.equal(await misses(site, image, 'v1'), 0)

    const done = await spawn(site, 'purge', `${NAME}:v1`, '--yes')
    assert.equal(done.code, 0, done.stderr)
    assert.equal(done.stdout, `freed ${gone}\n`)
    const after = await storage(site.larder)
    assert.equal(after.usedBytes, before.usedBytes - sizeOf(image) + SHARED.length)
    await assert.rejects(stat(fileOf(site, ownLayer(image))), { code: 'ENOENT' })
    assert.equal(await misses(site, other, 'v2'), 0)
    assert.equal(await misses(site, image, 'v1'), 3)

    assert.equal((await run(site, 'pin', `${NAME}:v1`)).code, 0)
    const forced = await run(site, 'purge', '--down-to', '1B', '--yes', '--force')
    assert.equal(forced.code, 2)
    assert.match(forced.stderr, /force: goes with references, pattern or upstream only/)
    assert.equal(await misses(site, image, 'v1'), 0)
    assert.equal((await run(site, 'purge', `${NAME}:v1`, '--yes', '--force')).code, 0)
    assert.equal((await run(site, 'pin', '--list')).stdout, '')
    assert.equal(await misses(site, image, 'v1'), 3)

    const absent = await run(site, 'purge', `${NAME}:none`, '--yes')
    assert.equal(absent.code, 6)
    assert.match(absent.stderr, /^reg\.test\/team\/app:none: not here$/m)
  })

  test('gc removes what nothing names, and nothing else', async () => {
    const image = addImage(site, 'v3', SMALL)
    await store(site, image, 'v3')
    const orphan = addImage(site, 'orphan', SMALL)
    const digest = ownLayer(orphan)
    const bytes = orphan.blobs.get(digest)
    assert.ok(bytes)
    await pullBlob(site.larder, digest, bytes)
    await untilNothingLands(site)

    const young = await run(site, 'gc')
    assert.deepEqual(young, {
      code: 0,
      stdout: 'freed 0 B: 0 tags, 0 manifests, 0 blobs\n',
      stderr: '',
    })
    const dry = await run(site, 'gc', '--older-than', '1ms', '--dry-run')
    assert.equal(dry.code, 0, dry.stderr)
    assert.match(dry.stdout, /^would free 64 KiB: 0 tags, 0 manifests, 1 blob$/m)
    assert.ok((await stat(fileOf(site, digest))).isFile())
    const done = await spawn(site, 'gc', '--older-than', '1ms')
    assert.equal(done.stdout, 'freed 64 KiB: 0 tags, 0 manifests, 1 blob\n')
    await assert.rejects(stat(fileOf(site, digest)), { code: 'ENOENT' })
    assert.equal(await misses(site, image, 'v3'), 0)
  })

  test('verify finds a byte that changed on disk, and --repair fetches it again', async () => {
    const image = addImage(site, 'v4', SMALL)
    await store(site, image, 'v4')
    const digest = ownLayer(image)
    const file = fileOf(site, digest)
    const all = (await storage(site.larder)).blobs
    const whole = await run(site, 'verify')
    assert.equal(whole.code, 0, whole.stderr)
    assert.equal(whole.stdout, `${all} checked: ${all} ok, 0 damaged, 0 missing, 0 repaired\n`)

    const flip = async () => {
      const bytes = await readFile(file)
      bytes.writeUInt8(bytes.readUInt8(SMALL / 2) ^ 1, SMALL / 2)
      await chmod(file, 0o644)
      await writeFile(file, bytes)
    }
    await flip()
    const damaged = await spawn(site, 'verify')
    assert.equal(damaged.code, 4)
    assert.equal(
      damaged.stdout,
      `damaged  ${digest}\n${all} checked: ${all - 1} ok, 1 damaged, 0 missing, 0 repaired\n` +
        `${digest} is of ${NAME}\n`,
    )
    await assert.rejects(stat(file), { code: 'ENOENT' })

    const repaired = await run(site, 'verify', '--repair')
    assert.equal(repaired.code, 0, repaired.stderr)
    const first = `${all} checked: ${all - 1} ok, 0 damaged, 1 missing, 1 repaired\n`
    assert.ok(repaired.stdout.endsWith(`\n${first}`), repaired.stdout)
    await flip()
    const atOnce = await run(site, 'verify', '--repair')
    assert.equal(atOnce.code, 0, atOnce.stderr)
    const second = `${all} checked: ${all - 1} ok, 1 damaged, 0 missing, 1 repaired\n`
    assert.ok(atOnce.stdout.endsWith(`\n${second}`), atOnce.stdout)
    assert.deepEqual(await readFile(file), image.blobs.get(digest))
    assert.equal(await misses(site, image, 'v4'), 0)
  })

  test('reload takes a changed file, and refuses a broken one with the place of what is wrong', async () => {
    const { larder, options } = site
    const larger = { ...options, storage: { ...options.storage, maxSize: '20MiB' } }
    await larder.writeConfig(larger)
    const taken = await run(site, 'reload')
    assert.equal(taken.code, 0, taken.stderr)
    assert.equal(taken.stdout, 'reloaded\n')
    assert.equal((await storage(larder)).quotaBytes, 20 * MIB)

    await larder.writeConfig('version: 1\nstorage:\n  maxSize: much\n')
    const refused = await spawn(site, 'reload')
    assert.equal(refused.code, 2)
    assert.equal(refused.stdout, '')
    const { configFile } = larder
    assert.match(refused.stderr, /^the configuration of before stays in use:$/m)
    assert.ok(refused.stderr.includes(`\n${configFile}:3:12: storage.maxSize: `), refused.stderr)
    assert.equal((await storage(larder)).quotaBytes, 20 * MIB)
  })
})
