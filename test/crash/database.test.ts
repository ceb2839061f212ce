/** A database that is damaged or lost, as a process that starts on it takes it. */
import assert from 'node:assert/strict'
import { cp, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import Database from 'better-sqlite3'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { MIGRATIONS } from '../../src/store/migrations.ts'
import { Random } from '../soak/random.ts'
import { send } from '../support/http-client.ts'
import type { Image } from '../support/images.ts'
import { type LogLine, type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { blobPath, namesIn, readFiles } from './disk.ts'
import { nameOf } from './promises.ts'
import { REPOSITORY, UPSTREAM, World } from './world.ts'

const SEED = 7
/** Seeded damages, each on a directory of its own. */
const RUNS = 16
/** So many that a process is ready, and asked, long before it has seen them all. */
const MANY_FILES = 8_000
const MOVED = /^the database is (?:damaged|missing): building a new one from the blobs$/

/** How what was killed has left it, or as it is after a checkpoint, without a WAL. */
type State = 'killed' | 'checkpointed'

let dir: TempDir
let world: World
let pinned: readonly Image[]
let unpinned: Image
let copies = 0

before(async () => {
  dir = await makeTempDir('larder-database-')
  world = new World(SEED, new Random(SEED))
  await world.registry.start()
  const meant = world.imageOf(world.hasMeant('v0').at(-1) ?? '')
  const [other, rest] = world.small.filter((image) => image !== meant)
  assert.ok(other && rest)
  pinned = [meant, other]
  unpinned = rest
  await fill(join(dir.path, 'killed'))
  const copy = join(dir.path, 'checkpointed')
  await cp(join(dir.path, 'killed'), copy, { recursive: true })
  const database = new Database(join(copy, 'larder.db'))
  database.pragma('wal_checkpoint(truncate)')
  database.close()
  assert.ok(!(await namesIn(copy)).includes('larder.db-wal'))
})

after(async () => {
  await world.registry.close()
  await dir.remove()
})

function start(dataDir: string): Promise<RunningLarder> {
  return startLarder({
    upstreams: [{ name: UPSTREAM, url: world.registry.origin, access: 'public', default: true }],
    storage: { minFree: '0%' },
    log: { level: 'info' },
    env: { NODE_COMPILE_CACHE: join(dir.path, 'compiled') },
    dataDir,
  })
}

/** Three images, two of them pinned, and a process that was killed. */
async function fill(dataDir: string): Promise<void> {
  // What is closed writes the cache of compiled code, which makes the other starts quicker.
  await (await start(dataDir)).close()
  const larder = await start(dataDir)
  const [first, second] = pinned
  assert.ok(first && second)
  await pullWhole(larder, first, 'v0')
  await pullWhole(larder, second)
  await pullWhole(larder, unpinned)
  for (const reference of ['v0', second.manifest.digest]) {
    assert.deepEqual((await pin(larder.adminUrl, reference)).unknown, [])
  }
  await untilStored(larder)
  await larder.kill()
  assert.ok((await namesIn(dataDir)).includes('larder.db-wal'))
}

async function untilStored({ adminUrl, dataDir }: RunningLarder): Promise<void> {
  const wanted = [...pinned, unpinned].flatMap(({ blobs }) => [...blobs.keys()])
  for (;;) {
    const { body } = await send(adminUrl, '/metrics')
    const [, rows = '0'] = /^larder_store_blobs (\d+)/m.exec(body.toString()) ?? []
    const files = await readFiles(dataDir, 'blobs')
    if (wanted.every((digest) => files.has(blobPath(digest))) && Number(rows) === files.size) return
  }
}

async function pullWhole({ url }: RunningLarder, image: Image, reference?: string): Promise<void> {
  const { digest, bytes } = image.manifest
  const manifest = await send(url, `/v2/${REPOSITORY}/manifests/${reference ?? digest}`)
  assert.equal(manifest.status, 200, manifest.body.toString())
  assert.ok(manifest.body.equals(bytes), `other bytes for ${digest}`)
  for (const [one, content] of image.blobs) {
    const got = await send(url, `/v2/${REPOSITORY}/blobs/${one}`)
    assert.equal(got.status, 200, got.body.toString())
    assert.ok(got.body.equals(content), `other bytes for ${one}`)
  }
}

async function pin(adminUrl: string, reference: string): Promise<{ unknown: string[] }> {
  const body = JSON.stringify({ references: [nameOf(reference)] })
  const headers = { 'Content-Type': 'application/json' }
  const got = await send(adminUrl, '/api/v1/pins', { method: 'POST', headers, body })
  assert.equal(got.status, 200, got.body.toString())
  return JSON.parse(got.body.toString()) as { unknown: string[] }
}

/** A data directory of its own, in that state. */
async function copyOf(state: State): Promise<string> {
  const path = join(dir.path, String(copies++))
  await cp(join(dir.path, state), path, { recursive: true })
  return path
}

/**
 * Starts on it: pins are alive, and of what is here nothing is wrong and nothing is fetched again.
 *
 * @returns the line that says that a database was moved aside, if one says so
 */
async function assertAlive(dataDir: string): Promise<LogLine | undefined> {
  const larder = await start(dataDir)
  try {
    const { body } = await send(larder.adminUrl, '/api/v1/pins')
    const { pins } = JSON.parse(body.toString()) as { pins: { name: string; digest: string }[] }
    const names = new Map(pins.map(({ name, digest }) => [name, digest]))
    const [first, second] = pinned.map(({ manifest }) => manifest.digest)
    const expected: [string, string | undefined][] = [
      [nameOf('v0'), first],
      [nameOf(second ?? ''), second],
    ]
    assert.deepEqual([...names].sort(), expected.sort())
    world.switchOff()
    world.registry.forget()
    for (const image of pinned) await pullWhole(larder, image)
    assert.deepEqual(world.registry.requests, [], 'nobody is asked for what is pinned')
    world.behave()
    // Whose it is has to be said again where the database knew it; its bytes are here.
    await pullWhole(larder, unpinned)
    assert.equal(world.registry.countBlobs(), 0)
    const moved = larder.logs().filter(({ msg }) => MOVED.test(String(msg)))
    const isAside = (await namesIn(dataDir)).some((name) => name.includes('.corrupt-'))
    assert.equal(moved.length, isAside ? 1 : 0, JSON.stringify(moved))
    return moved[0]
  } finally {
    world.behave()
    await larder.kill()
  }
}

async function overwrite(file: string, at: number, bytes: Buffer): Promise<void> {
  const content = await readFile(file)
  bytes.copy(content, at)
  await writeFile(file, content)
}

const GARBAGE = Buffer.from('garbage\n'.repeat(64))

/** Whether the database has to be moved aside is said where it is certain. */
const DAMAGES: readonly {
  readonly what: string
  readonly state: State
  readonly isMoved: boolean
  readonly harm: (database: string) => Promise<unknown>
}[] = [
  { what: 'deleted', state: 'checkpointed', isMoved: false, harm: (file) => rm(file) },
  { what: 'deleted from beside its WAL', state: 'killed', isMoved: true, harm: (file) => rm(file) },
  { what: 'empty', state: 'checkpointed', isMoved: false, harm: (file) => truncate(file, 0) },
  { what: 'cut', state: 'checkpointed', isMoved: true, harm: (file) => truncate(file, 5000) },
  {
    what: 'garbage in its header',
    state: 'checkpointed',
    isMoved: true,
    harm: (file) => overwrite(file, 0, GARBAGE),
  },
  {
    what: 'without its WAL',
    state: 'killed',
    isMoved: false,
    harm: (file) => rm(`${file}-wal`),
  },
  {
    what: 'beside a garbage index of its WAL',
    state: 'killed',
    isMoved: false,
    harm: (file) => overwrite(`${file}-shm`, 0, GARBAGE),
  },
  {
    what: 'of the first release',
    state: 'checkpointed',
    isMoved: false,
    harm: async (file) => {
      await rm(file)
      const database = new Database(file)
      database.exec(MIGRATIONS[0] ?? '')
      database.pragma('user_version = 1')
      database.close()
    },
  },
]

for (const { what, state, isMoved, harm } of DAMAGES) {
  test(`a process that starts on a database that is ${what} keeps its pins and serves`, async () => {
    const dataDir = await copyOf(state)
    await harm(join(dataDir, 'larder.db'))
    const line = await assertAlive(dataDir)
    assert.equal(line !== undefined, isMoved, JSON.stringify(line))
    if (line !== undefined) assert.equal(dirname(String(line['kept'])), dataDir)
  })
}

test('whatever is flipped, cut or overwritten where: it starts, keeps its pins, and serves right bytes', {
  timeout: 300_000,
}, async () => {
  const random = new Random(SEED)
  for (let run = 0; run < RUNS; run++) {
    const state = random.pick(['killed', 'checkpointed'] as const)
    const suffixes = state === 'killed' ? ['', '-wal', '-wal', '-shm'] : ['']
    const dataDir = await copyOf(state)
    const name = `larder.db${random.pick(suffixes)}`
    const said = await harmAnywhere(join(dataDir, name), random)
    await assertAlive(dataDir).catch((cause: unknown) => {
      throw new Error(`seed ${SEED}, run ${run}: ${name} of a ${state} one, ${said}`, { cause })
    })
    await rm(dataDir, { recursive: true })
  }
})

/** @returns what was done */
async function harmAnywhere(file: string, random: Random): Promise<string> {
  const bytes = await readFile(file)
  const way = random.below(4)
  if (way === 0) {
    const size = random.below(bytes.length)
    await truncate(file, size)
    return `cut to ${size} of ${bytes.length}`
  }
  // Half of the damage is where SQLite looks first.
  const limit = random.below(2) === 0 ? Math.min(512, bytes.length) : bytes.length
  const flips = way === 1 ? 1 : 64
  const at: number[] = []
  for (let i = 0; i < flips; i++) {
    const one = random.below(limit)
    // There the number of the schema is: another one is what a later release would have written.
    if (one >= 60 && one < 64) continue
    bytes.writeUInt8(bytes.readUInt8(one) ^ (1 << random.below(8)), one)
    at.push(one)
  }
  if (way === 3) bytes.fill(random.below(256), random.below(bytes.length)).subarray(0)
  await writeFile(file, bytes)
  return `flipped at ${at.join(', ')}${way === 3 ? ' and overwritten to its end' : ''}`
}

test('digests are served while the database is built anew from many files', async () => {
  const dataDir = await copyOf('checkpointed')
  await fillWithFiles(dataDir, MANY_FILES)
  await rm(join(dataDir, 'larder.db'))
  const larder = await start(dataDir)
  try {
    const ready = await send(larder.adminUrl, '/readyz')
    assert.equal(ready.status, 200)
    world.switchOff()
    for (const image of pinned) await pullWhole(larder, image)
    world.behave()
    const built = 'database built from the blobs'
    const isBuilt = larder.logs().some(({ msg }) => msg === built)
    assert.ok(!isBuilt, 'all was built before anything was asked: it needs more files')
    const [line] = await larder.logged(built)
    const { size } = await readFiles(dataDir, 'blobs')
    assert.ok(Number(line?.['adopted']) > MANY_FILES && Number(line?.['adopted']) <= size)
  } finally {
    await larder.kill()
  }
})

async function fillWithFiles(dataDir: string, count: number): Promise<void> {
  const folders = new Set<string>()
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.from(`content ${i}`)
    const digest: Digest = digestOf(bytes)
    const path = join(dataDir, blobPath(digest))
    if (!folders.has(dirname(path))) await mkdir(dirname(path), { recursive: true })
    folders.add(dirname(path))
    await writeFile(path, bytes, { mode: 0o444 })
  }
}

test('a database of a later release is one clear line and exit 1, and nothing is touched', async () => {
  const dataDir = await copyOf('checkpointed')
  const database = new Database(join(dataDir, 'larder.db'))
  database.pragma('user_version = 99')
  database.close()
  const before = await readFiles(dataDir, '.')
  const end = start(dataDir).then((larder) => larder.kill())
  await assert.rejects(end, /ended with 1 before it listened\n.*larder\.db.*99[^\n]*$/)
  const after = await readFiles(dataDir, '.')
  for (const [path, bytes] of before) assert.ok(after.get(path)?.equals(bytes), path)
  // The file of the lock is all that comes with a start, and it was here before.
  assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort())
})
