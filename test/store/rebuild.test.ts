import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import Database from 'better-sqlite3'
import fc from 'fast-check'

import { type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { NewerSchemaError } from '../../src/store/errors.ts'
import type { Place } from '../../src/store/ports.ts'
import {
  type OpenCatalogOptions,
  type OpenedCatalog,
  openCatalog,
} from '../../src/store/rebuild.ts'
import { Barrier } from '../support/barrier.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const PLACE: Place = { upstream: 'docker.io', repository: parseRepository('library/alpine') }
const TAG = 'v1' as Tag

const CONFIG = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}')
const LAYER = Buffer.from('\x1f\x8b{{{{ not JSON')
const SIGNATURE = Buffer.from('{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}')
const MANIFEST = document({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...named(CONFIG) },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...named(LAYER) }],
  annotations: { 'org.example': 'yes' },
})
const INDEX = document({
  schemaVersion: 2,
  manifests: [{ mediaType: OCI_MANIFEST, ...named(MANIFEST) }],
  subject: { mediaType: OCI_MANIFEST, ...named(SIGNATURE) },
})
const ALL = [CONFIG, LAYER, SIGNATURE, MANIFEST, INDEX]
const TOTALS = {
  blobs: 5,
  blobBytes: ALL.reduce((sum, bytes) => sum + bytes.length, 0),
  manifests: 2,
}

function document(value: object): Buffer {
  return Buffer.from(`\n ${JSON.stringify(value, undefined, 2)}`)
}

function named(bytes: Buffer): { readonly digest: Digest; readonly size: number } {
  return { digest: digestOf(bytes), size: bytes.length }
}

interface Line {
  readonly level: 'info' | 'warn'
  readonly fields: Record<string, unknown>
  readonly message: string
}

function openLogged(path: string, blobs: OpenCatalogOptions['blobs']) {
  const lines: Line[] = []
  const log = (level: Line['level']) => (fields: unknown, message: string) =>
    void lines.push({ level, fields: fields as Line['fields'], message })
  const logger = { info: log('info'), warn: log('warn') } as unknown as OpenCatalogOptions['logger']
  return { ...openCatalog({ path, blobs, logger, now: () => 1234 }), lines }
}

/** A data directory in which every blob has its row, and a tag. */
async function fill(path: string): Promise<FileBlobs> {
  const blobs = await FileBlobs.open({ path })
  for (const bytes of ALL) await blobs.put(digestOf(bytes), bytes)
  const { catalog, rebuilt } = openLogged(path, blobs)
  await rebuilt
  await catalog.putTag(PLACE, TAG, { digest: digestOf(INDEX), checkedAt: 1 })
  await catalog.close()
  return blobs
}

async function assertComplete({ catalog, rebuilt }: OpenedCatalog): Promise<void> {
  await rebuilt
  const { tags: _, ...totals } = await catalog.totals()
  assert.deepEqual(totals, TOTALS)
  for (const bytes of ALL) {
    assert.equal((await catalog.getBlob(digestOf(bytes)))?.size, bytes.length)
  }
  assert.deepEqual(await catalog.findManifest(digestOf(MANIFEST)), {
    ...named(MANIFEST),
    mediaType: OCI_MANIFEST,
    subject: undefined,
    artifactType: 'application/vnd.oci.image.config.v1+json',
    annotations: { 'org.example': 'yes' },
  })
  const index = await catalog.findManifest(digestOf(INDEX))
  assert.equal(index?.mediaType, OCI_INDEX)
  assert.equal(index?.subject, digestOf(SIGNATURE))
}

async function asideIn(path: string): Promise<string[]> {
  return (await readdir(path)).filter((name) => name.includes('.corrupt-')).sort()
}

test('a database that is lost is built from the files, manifests with what they list', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  await rm(join(dir.path, 'larder.db'))
  const opened = openLogged(dir.path, blobs)
  await assertComplete(opened)
  assert.deepEqual(
    opened.lines.map(({ level, fields, message }) => [level, fields, message]),
    [['info', { adopted: 5, dropped: 0 }, 'database built from the blobs']],
  )
  await opened.catalog.close()
  const database = new Database(join(dir.path, 'larder.db'))
  const children = database
    .prepare('select parent, child, kind, size from manifest_children order by parent, child')
    .raw()
    .all()
  const expected = [
    [digestOf(INDEX), digestOf(MANIFEST), 'manifest', MANIFEST.length],
    [digestOf(MANIFEST), digestOf(CONFIG), 'blob', CONFIG.length],
    [digestOf(MANIFEST), digestOf(LAYER), 'blob', LAYER.length],
  ]
  assert.deepEqual(
    children,
    expected.toSorted((a, b) => (a.join() < b.join() ? -1 : 1)),
  )
  database.close()
})

for (const code of ['EIO', 'EACCES']) {
  test(`a file that cannot be read (${code}) does not keep the others from being found`, async () => {
    await using dir = await makeTempDir()
    const blobs = await fill(dir.path)
    await rm(join(dir.path, 'larder.db'))
    using _ = await interceptFiles((operation, path) => {
      if (operation === 'open' && path?.endsWith(encodedOf(digestOf(CONFIG)))) {
        throw systemError(code)
      }
    })
    const { catalog, rebuilt, lines } = openLogged(dir.path, blobs)
    await rebuilt
    assert.deepEqual(
      lines.map(({ fields }) => fields),
      [{ adopted: 4, dropped: 0 }],
    )
    assert.equal((await catalog.totals()).manifests, 2)
    await catalog.close()
  })
}

test('a database that agrees with the files is opened without a word, and keeps its tags', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  const opened = openLogged(dir.path, blobs)
  await assertComplete(opened)
  assert.ok(await opened.catalog.getTag(PLACE, TAG))
  assert.deepEqual(opened.lines, [])
  assert.deepEqual(await asideIn(dir.path), [])
  await opened.catalog.close()
})

test('a first start has nothing to say', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  const opened = openLogged(dir.path, blobs)
  await opened.rebuilt
  assert.deepEqual(opened.lines, [])
  await opened.catalog.close()
})

const DAMAGES: Record<string, (file: string) => Promise<unknown>> = {
  'cut in its first page': (file) => truncate(file, 1000),
  'cut in half': async (file) => truncate(file, (await readFile(file)).length / 2),
  'cut by one page': async (file) => truncate(file, (await readFile(file)).length - 4096),
  'overwritten with text': (file) => writeFile(file, 'not a database\n'.repeat(1000)),
  'overwritten with zeroes': async (file) =>
    writeFile(file, Buffer.alloc((await readFile(file)).length)),
  'a directory': async (file) => {
    await rm(file)
    await mkdir(file)
  },
  'zeroed in a page that a start does not read': async (file) => {
    const database = new Database(file)
    const page = database
      .prepare<[], number>("select rootpage from sqlite_schema where name = 'lists'")
      .pluck()
      .get()
    database.close()
    assert.ok(page)
    const bytes = await readFile(file)
    await writeFile(file, bytes.fill(0, (page - 1) * 4096, page * 4096))
  },
  'in another schema': async (file) => {
    const database = new Database(file)
    database.exec('alter table blobs rename column size to length')
    database.close()
  },
  'beside a WAL that is a directory': (file) => mkdir(`${file}-wal`),
}

for (const [damage, doIt] of Object.entries(DAMAGES)) {
  test(`a database that is ${damage} is moved aside and built anew`, async () => {
    await using dir = await makeTempDir()
    const blobs = await fill(dir.path)
    await doIt(join(dir.path, 'larder.db'))
    const opened = openLogged(dir.path, blobs)
    await assertComplete(opened)
    await opened.catalog.close()
    assert.ok((await asideIn(dir.path)).includes('larder.db.corrupt-1234'))
    const [line] = opened.lines
    assert.equal(line?.level, 'warn')
    assert.equal(line.message, 'the database is damaged: building a new one from the blobs')
    assert.equal(line.fields['kept'], join(dir.path, 'larder.db.corrupt-1234'))
    assert.equal(typeof line.fields['reason'], 'string')
  })
}

test('any flipped bit, in header or page, needs nobody: the blobs are all there after a start', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  const file = join(dir.path, 'larder.db')
  const whole = await readFile(file)
  const byte = fc.oneof(fc.nat(99), fc.nat(whole.length - 1))
  const run = async (at: number, bit: number) => {
    const flipped = Buffer.from(whole)
    flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at)
    await writeFile(file, flipped)
    let opened: OpenedCatalog | undefined
    try {
      opened = openLogged(dir.path, blobs)
      await opened.rebuilt
      for (const bytes of ALL) assert.ok(await opened.catalog.getBlob(digestOf(bytes)))
    } catch (error) {
      // The low bits of the version say what a later release would say.
      assert.ok(
        error instanceof NewerSchemaError && at >= 60 && at < 64,
        `byte ${at} bit ${bit}: ${error}`,
      )
    } finally {
      await opened?.catalog.close()
      for (const name of await asideIn(dir.path)) await rm(join(dir.path, name))
      for (const suffix of ['', '-wal', '-shm']) await rm(file + suffix, { force: true })
    }
  }
  await fc.assert(fc.asyncProperty(byte, fc.nat(7), run), { numRuns: 40 })
})

test('a database of a later release stops the start, and is left as it is', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  const database = new Database(join(dir.path, 'larder.db'))
  database.pragma('user_version = 99')
  database.close()
  assert.throws(() => openLogged(dir.path, blobs), NewerSchemaError)
  assert.deepEqual(await asideIn(dir.path), [])
})

/** A data directory whose last writes are only in the WAL, as after a kill. */
async function fillAndKill(path: string): Promise<FileBlobs> {
  const blobs = await fill(path)
  await rm(join(path, 'larder.db'))
  const script = `
    import { FileBlobs } from ${JSON.stringify(import.meta.resolve('../../src/store/blobs.ts'))}
    import { openCatalog } from ${JSON.stringify(import.meta.resolve('../../src/store/rebuild.ts'))}
    const path = ${JSON.stringify(path)}
    const logger = { info() {}, warn() {} }
    const { rebuilt } = openCatalog({ path, blobs: await FileBlobs.open({ path }), logger })
    await rebuilt
    process.kill(process.pid, 'SIGKILL')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL'])
  assert.ok((await readdir(path)).includes('larder.db-wal'))
  return blobs
}

const WAL_DAMAGES: Record<string, (file: string) => Promise<unknown>> = {
  'is deleted': (file) => rm(`${file}-wal`),
  'is deleted with its index': async (file) => {
    await rm(`${file}-wal`)
    await rm(`${file}-shm`)
  },
  'is cut': async (file) => truncate(`${file}-wal`, (await readFile(`${file}-wal`)).length / 2),
  'is garbage': (file) => writeFile(`${file}-wal`, 'garbage\n'.repeat(5000)),
  'has a flipped bit': async (file) => {
    const wal = await readFile(`${file}-wal`)
    wal.writeUInt8(wal.readUInt8(5000) ^ 1, 5000)
    await writeFile(`${file}-wal`, wal)
  },
  'is left with a garbage index': (file) => writeFile(`${file}-shm`, 'garbage\n'.repeat(4096)),
}

for (const [damage, doIt] of Object.entries(WAL_DAMAGES)) {
  test(`a WAL that ${damage} costs no blob`, async () => {
    await using dir = await makeTempDir()
    const blobs = await fillAndKill(dir.path)
    await doIt(join(dir.path, 'larder.db'))
    const opened = openLogged(dir.path, blobs)
    await assertComplete(opened)
    await opened.catalog.close()
  })
}

test('a WAL without its database is moved aside', async () => {
  await using dir = await makeTempDir()
  const blobs = await fillAndKill(dir.path)
  await rm(join(dir.path, 'larder.db'))
  const opened = openLogged(dir.path, blobs)
  await assertComplete(opened)
  assert.ok((await asideIn(dir.path)).includes('larder.db.corrupt-1234-wal'))
  assert.equal(
    opened.lines[0]?.message,
    'the database is missing: building a new one from the blobs',
  )
  await opened.catalog.close()
})

test('a row without a file is dropped, a file without a row is added, the rest stays', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  await blobs.delete(digestOf(LAYER))
  const added = Buffer.from('a new layer')
  await blobs.put(digestOf(added), added)
  await blobs.delete(digestOf(CONFIG))
  const opened = openLogged(dir.path, blobs)
  await opened.rebuilt
  const { catalog } = opened
  assert.equal(await catalog.getBlob(digestOf(LAYER)), undefined)
  assert.equal(await catalog.getBlob(digestOf(CONFIG)), undefined)
  assert.equal((await catalog.getBlob(digestOf(added)))?.size, added.length)
  assert.ok(await catalog.getBlob(digestOf(MANIFEST)))
  assert.deepEqual(opened.lines, [
    {
      level: 'info',
      fields: { adopted: 1, dropped: 2 },
      message: 'database brought in line with the blobs',
    },
  ])
  await catalog.close()
})

test('a damaged file is no manifest, nor is one that is too large', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  await blobs.put(digestOf(INDEX), MANIFEST)
  const large = Buffer.concat([MANIFEST, Buffer.alloc(4 * 1024 * 1024, ' ')])
  await blobs.put(digestOf(large), large)
  const opened = openLogged(dir.path, blobs)
  await opened.rebuilt
  assert.equal((await opened.catalog.totals()).blobs, 2)
  assert.equal((await opened.catalog.totals()).manifests, 0)
  await opened.catalog.close()
})

test('what a registry said of a manifest stands against what is guessed from its bytes', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  await rm(join(dir.path, 'larder.db'))
  const barrier = new Barrier()
  const { catalog, rebuilt } = openLogged(dir.path, heldBy(barrier, blobs))
  const record = {
    ...named(INDEX),
    mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json',
  }
  const rest = { subject: undefined, artifactType: undefined, annotations: {} }
  await catalog.putManifest(PLACE, { ...record, ...rest }, [])
  barrier.release()
  await rebuilt
  assert.equal((await catalog.findManifest(digestOf(INDEX)))?.mediaType, record.mediaType)
  await catalog.close()
})

test('the catalog is in use while it is rebuilt', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  await rm(join(dir.path, 'larder.db'))
  const barrier = new Barrier()
  const opened = openLogged(dir.path, heldBy(barrier, blobs))
  await barrier.arrived()
  await opened.catalog.putBlob(digestOf(LAYER), LAYER.length, 5000)
  await opened.catalog.putTag(PLACE, TAG, { digest: digestOf(INDEX), checkedAt: 1 })
  assert.equal((await opened.catalog.totals()).blobs, 1)
  barrier.release()
  await assertComplete(opened)
  assert.ok(await opened.catalog.getTag(PLACE, TAG))
  await opened.catalog.close()
})

test('a catalog that is closed while it is rebuilt ends the rebuilding, without a word', async () => {
  await using dir = await makeTempDir()
  const blobs = await fill(dir.path)
  await rm(join(dir.path, 'larder.db'))
  const barrier = new Barrier()
  const opened = openLogged(dir.path, heldBy(barrier, blobs))
  await barrier.arrived()
  await opened.catalog.close()
  barrier.release()
  await opened.rebuilt
  assert.deepEqual(opened.lines, [])
})

test('a rebuild that fails is told, and ends nothing', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  const failing = {
    stat: blobs.stat.bind(blobs),
    open: blobs.open.bind(blobs),
    // biome-ignore lint/correctness/useYield: it fails before it has anything
    digests: async function* (): AsyncGenerator<readonly Digest[]> {
      throw new Error('EIO')
    },
  }
  const opened = openLogged(dir.path, failing)
  await opened.rebuilt
  assert.deepEqual(
    opened.lines.map(({ level, message }) => [level, message]),
    [['warn', 'the database may lack cached blobs']],
  )
  await opened.catalog.close()
})

test('a thousand files are rebuilt in slices', async () => {
  await using dir = await makeTempDir()
  await FileBlobs.open({ path: dir.path })
  for (let index = 0; index < 1000; index++) {
    const bytes = Buffer.from(`blob ${index}`)
    const hex = encodedOf(digestOf(bytes))
    await mkdir(join(dir.path, 'blobs/sha256', hex.slice(0, 2)), { recursive: true })
    await writeFile(join(dir.path, 'blobs/sha256', hex.slice(0, 2), hex), bytes)
  }
  const blobs = await FileBlobs.open({ path: dir.path })
  const opened = openLogged(dir.path, blobs)
  await opened.rebuilt
  assert.equal((await opened.catalog.totals()).blobs, 1000)
  for (let index = 0; index < 300; index++)
    await blobs.delete(digestOf(Buffer.from(`blob ${index}`)))
  await opened.catalog.close()
  const again = openLogged(dir.path, blobs)
  await again.rebuilt
  assert.equal((await again.catalog.totals()).blobs, 700)
  await again.catalog.close()
})

/** Blobs whose scan waits at the barrier before it begins. */
function heldBy(barrier: Barrier, blobs: FileBlobs): OpenCatalogOptions['blobs'] {
  return {
    stat: blobs.stat.bind(blobs),
    open: blobs.open.bind(blobs),
    digests: async function* () {
      await barrier.wait()
      yield* blobs.digests()
    },
  }
}
