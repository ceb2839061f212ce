import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { descriptorsOf, residentBytes } from '../load/process.ts'
import { damagedFiles } from '../soak/disk.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { buildImage, seededBytes } from '../support/images.ts'
import { type LogLine, type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { metric, until } from './metrics.ts'
import { type SmallDisk, type SmallDiskOptions, startOnSmallDisk } from './small-disk.ts'

const MIB = 1024 * 1024
const APP = '/v2/library/app'
const TROUBLE = 'larder_store_trouble'
const WRITABLE = 'larder_store_writable'
const WORKS_AGAIN = 'the store works again: pulls are cached'
/** More than the disk has. */
const HUGE = 64 * MIB
const SMALL = 64 * 1024

let registry: FaultRegistry
let huge: Digest
const layers: Digest[] = []

before(async () => {
  registry = await new FaultRegistry().start()
  const sizes = Array<number>(60).fill(SMALL)
  for (const [index, size] of sizes.entries()) layers.push(publish(`layer ${index}`, size))
  huge = publish('huge', HUGE)
})

after(() => registry?.close())

test('a full disk: pulls pass through, it is said once, and the cache goes on when there is room', async () => {
  await using disk = await start({ size: '24m' })
  const { larder } = disk
  const kept = layer(0)
  await assertCached(disk, kept)
  const base = usageOf(larder)
  await disk.fill()
  await pull(larder, huge)
  for (let at = 1; at <= 20; at++) await pull(larder, layer(at))
  await until(larder, TROUBLE, 1, { reason: 'full' })
  assert.equal(await metric(larder, 'larder_store_not_stored_total', { reason: 'too_large' }), 1)
  await assertServedFromDisk(larder, kept)
  assert.match(
    await storageStatus(larder),
    /^degraded: full for \d+ s; (nothing|not all) is cached$/,
  )
  assert.deepEqual(warnings(larder), [['full', 'warn']])
  assert.ok((await metric(larder, 'larder_store_not_stored_total')) >= 20)
  await disk.clear()
  await recovered(larder, 'full')
  await assertCached(disk, layer(21))
  assert.equal(await storageStatus(larder), 'ok')
  assert.deepEqual(warnings(larder), [
    ['full', 'warn'],
    ['full', 'info'],
  ])
  await assertSound(disk, base)
  // It ends as it should on a full disk too.
  await disk.fill()
})

test('without inodes: pulls pass through, what was not used for longest makes room', async () => {
  await using disk = await start({ size: '64m', inodes: 400 })
  const { larder } = disk
  for (let at = 0; at < 10; at++) await pull(larder, layer(at))
  const base = usageOf(larder)
  await disk.fillInodes()
  for (let at = 20; at < 40; at++) await pull(larder, layer(at))
  await until(larder, TROUBLE, 1, { reason: 'inodes' })
  assert.deepEqual(warnings(larder), [['inodes', 'warn']])
  assert.match(await storageStatus(larder), /inodes/)
  await disk.clear()
  await recovered(larder, 'inodes')
  await assertCached(disk, layer(41))
  assert.deepEqual(warnings(larder), [
    ['inodes', 'warn'],
    ['inodes', 'info'],
  ])
  await assertSound(disk, base)
})

test('inodes that others took are made up for by what was not used for longest', async () => {
  await using disk = await start({ size: '64m', inodes: 400 })
  const { larder } = disk
  for (let at = 0; at < 40; at++) await pull(larder, layer(at))
  await disk.fillInodes(4)
  await pullUntil(larder, 'larder_evictions_total', 10)
  await assertCached(disk, layer(50))
  await until(larder, WRITABLE, 1)
  // What is pulled before Larder looks may find none at all.
  assert.ok(warnings(larder).length <= 2)
  await assertSound(disk)
})

test('a disk that becomes read-only: what is here is served, the rest passes through', async () => {
  await using disk = await start({ size: '24m' })
  const { larder } = disk
  const kept = layer(0)
  await assertCached(disk, kept)
  const base = usageOf(larder)
  await disk.makeReadOnly()
  for (let at = 1; at <= 20; at++) await pull(larder, layer(at))
  await assertServedFromDisk(larder, kept)
  await until(larder, TROUBLE, 1, { reason: 'read_only' })
  assert.equal(await metric(larder, WRITABLE), 0)
  assert.match(await storageStatus(larder), /^degraded: read_only for \d+ s; nothing is cached$/)
  assert.deepEqual(warnings(larder), [['read_only', 'warn']])
  await disk.makeWritable()
  await recovered(larder, 'read_only')
  await assertCached(disk, layer(21))
  await assertSound(disk, base)
})

test('a full disk that stops the database: the ballast makes room for eviction', async () => {
  const prepare = 'mkdir data && head -c 1048576 /dev/urandom > data/ballast'
  await using disk = await start({ size: '24m', prepare })
  const { larder } = disk
  const ballast = join(disk.dataDir, 'ballast')
  const { ino } = statSync(ballast)
  for (let at = 0; at < 50; at++) await pull(larder, layer(at))
  const evicted = () => metric(larder, 'larder_evictions_total', { reason: 'lru' })
  assert.equal(await evicted(), 0)
  await disk.fill()
  for (let at = 50; at < 60; at++) await pull(larder, layer(at))
  await until(larder, 'larder_evictions_total', 1, { reason: 'lru' })
  await recovered(larder, 'full')
  assert.notEqual(statSync(ballast).ino, ino, 'it was given up and is laid again')
  await assertCached(disk, publish('after eviction', SMALL))
  assert.deepEqual(warnings(larder), [
    ['full', 'warn'],
    ['full', 'info'],
  ])
  await assertSound(disk)
})

for (const which of ['gives up the ballast, and', 'without a ballast', 'after kill -9'] as const) {
  test(`a start on a full disk ${which} serves what is there`, async () => {
    const hasBallast = which === 'gives up the ballast, and'
    await using dir = await makeTempDir()
    const dataDir = join(dir.path, 'data')
    const earlier = await startLarder({ ...optionsOf(), dataDir })
    await assertCached({ larder: earlier, dataDir }, layer(0))
    await (which === 'after kill -9' ? earlier.kill() : earlier.close())
    const ballast = hasBallast ? 'head -c 1048576 /dev/urandom > data/ballast' : ':'
    const prepare = `cp -a ${dir.path}/data . && ${ballast} && mkdir others &&
      { head -c 100m /dev/zero > others/filler || true; } 2> others/complaint`
    await using disk = await start({ size: '24m', prepare })
    const { larder } = disk
    assert.equal(existsSync(join(disk.dataDir, 'ballast')), false)
    await assertServedFromDisk(larder, layer(0))
    for (let at = 1; at < 20; at++) await pull(larder, layer(at))
    await disk.clear()
    await assertCached(disk, layer(21))
    await assertSound(disk)
  })
}

/** As `sh` takes it: other programs' files take every inode. */
const TAKE_INODES =
  'mkdir others && at=0 && ( while : > others/$at; do at=$((at + 1)); done ) 2> /dev/null || true'

for (const which of ['stopped', 'killed'] as const) {
  test(`a start without a free inode, after it was ${which}, serves what is there`, async () => {
    await using dir = await makeTempDir()
    const dataDir = join(dir.path, 'data')
    const earlier = await startLarder({ ...optionsOf(), dataDir })
    await assertCached({ larder: earlier, dataDir }, layer(0))
    await (which === 'killed' ? earlier.kill() : earlier.close())
    const ballast = 'head -c 1048576 /dev/urandom > data/ballast'
    const prepare = `cp -a ${dir.path}/data . && ${ballast} && ${TAKE_INODES}`
    await using disk = await start({ size: '64m', inodes: 400, prepare })
    const { larder } = disk
    assert.equal(existsSync(join(disk.dataDir, 'ballast')), false)
    await assertServedFromDisk(larder, layer(0))
    for (let at = 1; at < 20; at++) await pull(larder, layer(at))
    await disk.clear()
    await assertCached(disk, layer(21))
    await assertSound(disk)
  })
}

test('a start that finds no inode, and has none to give up, is refused with a sentence', async () => {
  await using dir = await makeTempDir()
  const dataDir = join(dir.path, 'data')
  await (await startLarder({ ...optionsOf(), dataDir })).close()
  const prepare = `cp -a ${dir.path}/data . && ${TAKE_INODES}`
  await assert.rejects(
    start({ size: '64m', inodes: 400, prepare }),
    /cannot use the data directory \S+: its disk has no inode left/,
  )
})

test('a first start on a disk without room is refused with a sentence', async () => {
  await assert.rejects(
    start({ size: '64k' }),
    /cannot use the data directory \S+: its disk has no room for the database/,
  )
})

test('a start on a read-only disk is refused with a sentence', async () => {
  const prepare = 'mkdir data && mount -o remount,bind,ro "$PWD"'
  await assert.rejects(
    start({ size: '24m', prepare }),
    /cannot use the data directory \S+: .*read.?only/i,
  )
})

test("another program's files take the space: the cache gives way to them", async () => {
  await using disk = await start({ size: '48m', storage: { maxSize: '1GiB', minFree: '4MiB' } })
  const { larder } = disk
  await pullMany(larder)
  await disk.fill(4 * MIB)
  await pullUntil(larder, 'larder_evicted_bytes_total', MIB)
  await assertCached(disk, publish('more', MIB))
  assert.ok(disk.freeBytes() >= 3 * MIB, `${disk.freeBytes()} bytes are free`)
  // What is pulled before Larder looks may have filled the disk.
  assert.ok(warnings(larder).length <= 2)
  await assertSound(disk)
})

test('others take everything at once: what minFree asks for leaves, and the cache goes on', async () => {
  await using disk = await start({ size: '48m', storage: { maxSize: '1GiB', minFree: '13MiB' } })
  const { larder } = disk
  // For a ballast besides, more would have to go than there is.
  await pullMany(larder)
  await disk.fill()
  await pullUntil(larder, 'larder_evicted_bytes_total', 13 * MIB)
  await assertCached(disk, publish('after all was taken', SMALL))
  await until(larder, WRITABLE, 1)
  // What is pulled before Larder looks finds no room at all.
  assert.ok(warnings(larder).length <= 2)
  await assertSound(disk)
})

function optionsOf() {
  return {
    upstreams: [{ name: 'docker.io', url: registry.origin, default: true, access: 'public' }],
    memory: { chunkCache: '1MiB' },
    log: { level: 'info' },
    storage: { maxSize: '1GiB', minFree: '0%' },
  }
}

function start(options: Omit<SmallDiskOptions, 'upstreams'>): Promise<SmallDisk> {
  return startOnSmallDisk({ ...optionsOf(), ...options })
}

function publish(seed: string, size: number): Digest {
  const image = buildImage({ seed, layers: [seededBytes(seed, size)] })
  registry.add('library/app', image, seed.replaceAll(' ', '-'))
  const [first] = image.layers
  if (first === undefined) throw new Error('an image without a layer')
  return first.digest
}

function layer(index: number): Digest {
  const digest = layers[index]
  if (digest === undefined) throw new Error(`there is no layer ${index}`)
  return digest
}

async function pull(larder: RunningLarder, digest: Digest): Promise<void> {
  const { status, body, complete } = await send(larder.url, `${APP}/blobs/${digest}`)
  assert.equal(status, 200, body.subarray(0, 300).toString())
  assert.ok(complete)
  assert.equal(digestOf(body), digest)
}

/** 15 MiB, after which the log of the database grows no more. */
async function pullMany(larder: RunningLarder): Promise<void> {
  for (let at = 0; at < 120; at++) await pull(larder, publish(`one of many ${at}`, 2 * SMALL))
}

async function assertServedFromDisk(larder: RunningLarder, digest: Digest): Promise<void> {
  const before = registry.countBlobs(digest)
  await pull(larder, digest)
  assert.equal(registry.countBlobs(digest), before, 'the registry was asked')
}

/** Pulls it until it is stored: its client has it before the disk has. */
async function assertCached(disk: Pick<SmallDisk, 'larder' | 'dataDir'>, digest: Digest) {
  const hex = digest.slice('sha256:'.length)
  const file = join(disk.dataDir, 'blobs/sha256', hex.slice(0, 2), hex)
  const endsAt = performance.now() + 10_000
  while (!existsSync(file)) {
    await pull(disk.larder, digest)
    assert.ok(performance.now() < endsAt, 'it is never stored')
  }
  await until(disk.larder, 'larder_store_blobs', 1)
}

/** Pulls one after the other until Larder has seen how the disk is: it looks once in a second. */
async function pullUntil(larder: RunningLarder, name: string, atLeast: number): Promise<void> {
  const endsAt = performance.now() + 20_000
  for (let at = 0; (await metric(larder, name)) < atLeast; at++) {
    await pull(larder, publish(`${larder.pid} until ${at}`, SMALL))
    assert.ok(performance.now() < endsAt, `${name} does not reach ${atLeast}`)
  }
}

async function storageStatus(larder: RunningLarder): Promise<string> {
  const live = await send(larder.url, '/livez')
  assert.equal(live.status, 200)
  const { status, body } = await send(larder.adminUrl, '/readyz?verbose')
  assert.equal(status, 200)
  const { checks } = JSON.parse(body.toString()) as { checks: { name: string; status: string }[] }
  return checks.find(({ name }) => name === 'storage')?.status ?? 'not shown'
}

async function recovered(larder: RunningLarder, trouble: string): Promise<void> {
  const lines = await larder.logged(WORKS_AGAIN)
  assert.equal(lines.at(-1)?.['trouble'], trouble)
  assert.equal(await metric(larder, WRITABLE), 1)
  assert.equal(await metric(larder, TROUBLE), 0)
}

/** Every line that is about the store. */
function warnings(larder: RunningLarder): unknown[] {
  const isAboutStore = (line: LogLine) => 'trouble' in line || 'operation' in line
  return larder
    .logs()
    .filter(isAboutStore)
    .map((line) => [line['trouble'], line['level']])
}

interface Usage {
  readonly bytes: number
  readonly descriptors: number
}

function usageOf({ pid }: RunningLarder): Usage {
  return { bytes: residentBytes(pid), descriptors: descriptorsOf(pid).all }
}

async function assertSound({ larder, dataDir }: SmallDisk, base?: Usage): Promise<void> {
  assert.deepEqual(await damagedFiles(dataDir), [])
  assert.deepEqual(await readdir(join(dataDir, 'ingest')), [])
  if (base === undefined) return
  const now = usageOf(larder)
  assert.ok(now.descriptors <= base.descriptors + 8, `${now.descriptors} descriptors`)
  assert.ok(now.bytes <= base.bytes + 150 * MIB, `${now.bytes} bytes, ${base.bytes} before`)
}
