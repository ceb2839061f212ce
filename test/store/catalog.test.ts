import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import Database from 'better-sqlite3'

import { digestOf } from '../../src/oci/digest.ts'
import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { DamagedDatabaseError, NewerSchemaError } from '../../src/store/errors.ts'
import { MIGRATIONS } from '../../src/store/migrations.ts'
import type { ManifestRecord, Place } from '../../src/store/ports.ts'
import { testCatalog } from '../support/catalog-contract.ts'
import { makeTempDir } from '../support/temp-dir.ts'

testCatalog('SQLite', async () => {
  const dir = await makeTempDir()
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  const catalog = new SqliteCatalog(database)
  const dispose = async () => {
    await catalog.close()
    await dir.remove()
  }
  return { catalog, [Symbol.asyncDispose]: dispose }
})

const PLACE: Place = { upstream: 'docker.io', repository: parseRepository('library/alpine') }
const TAG = 'v1' as Tag
const A = digestOf(Buffer.from('a'))
const B = digestOf(Buffer.from('b'))

const MANIFEST: ManifestRecord = {
  digest: A,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  size: 1,
  subject: undefined,
  artifactType: undefined,
  annotations: {},
}

test('the history of a tag grows when it moves, not when it is checked, and outlives it', async () => {
  await using dir = await makeTempDir()
  const catalog = new SqliteCatalog(openDatabase(join(dir.path, 'larder.db')).database)
  await catalog.putTag(PLACE, TAG, { digest: A, checkedAt: 1 })
  await catalog.putTag(PLACE, TAG, { digest: A, checkedAt: 2 })
  await catalog.putManifest(PLACE, { ...MANIFEST, digest: B }, [], { tag: TAG, checkedAt: 3 })
  await catalog.putTag(PLACE, TAG, { digest: A, checkedAt: 4 })
  await catalog.deleteTag(PLACE, TAG)
  assert.deepEqual(await catalog.listTagHistory(PLACE, TAG), [
    { digest: A, seenAt: 1 },
    { digest: B, seenAt: 3 },
    { digest: A, seenAt: 4 },
  ])
  await catalog.close()
})

test('a manifest that cannot be put whole is not put at all', async () => {
  await using dir = await makeTempDir()
  const catalog = new SqliteCatalog(openDatabase(join(dir.path, 'larder.db')).database)
  const broken = { digest: B, size: 1, kind: 'neither' as 'blob' }
  await assert.rejects(catalog.putManifest(PLACE, MANIFEST, [broken], { tag: TAG, checkedAt: 1 }))
  assert.equal(await catalog.findManifest(A), undefined)
  assert.equal(await catalog.getMember(PLACE, A, 'manifest'), undefined)
  assert.equal(await catalog.getTag(PLACE, TAG), undefined)
  await catalog.close()
})

test('a use is never moved back in time', async () => {
  await using dir = await makeTempDir()
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  const catalog = new SqliteCatalog(database)
  const lastUse = () =>
    database.prepare('select last_used_at from blobs where digest = ?').pluck().get(A)
  await catalog.putBlob(A, 1, 10)
  await catalog.touch(new Map([[A, 30]]))
  assert.equal(lastUse(), 30)
  await catalog.touch(new Map([[A, 20]]))
  await catalog.putBlob(A, 1, 25)
  assert.equal(lastUse(), 30)
  await catalog.close()
})

test('no statement searches a whole table', async () => {
  await using dir = await makeTempDir()
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  const sources: string[] = []
  const recording = new Proxy(database, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (key === 'prepare') sources.push(String(args[0]))
        return value.apply(target, args)
      }
    },
  })
  new SqliteCatalog(recording)
  assert.ok(sources.length > 20)
  for (const source of sources) {
    const names = [...source.matchAll(/:(\w+)/g)].map(([, name = '']) => [name, null])
    const plan = database
      .prepare<[object], { readonly detail: string }>(`explain query plan ${source}`)
      .all(Object.fromEntries(names))
    for (const { detail } of plan) {
      // What is given is gone through, and no table.
      assert.doesNotMatch(detail, /^SCAN (?!CONSTANT ROW|json_each VIRTUAL TABLE)/, source)
      assert.doesNotMatch(detail, /TEMP B-TREE/, source)
    }
  }
  database.close()
})

test('the database is WAL, durable with every commit, and keeps its references', async () => {
  await using dir = await makeTempDir()
  const path = join(dir.path, 'larder.db')
  for (const isNew of [true, false]) {
    const opened = openDatabase(path)
    assert.equal(opened.isNew, isNew)
    assert.equal(opened.database.pragma('journal_mode', { simple: true }), 'wal')
    assert.equal(opened.database.pragma('synchronous', { simple: true }), 2)
    assert.equal(opened.database.pragma('foreign_keys', { simple: true }), 1)
    assert.equal(opened.database.pragma('user_version', { simple: true }), MIGRATIONS.length)
    opened.database.close()
  }
})

test('every table is strict', async () => {
  await using dir = await makeTempDir()
  const { database } = openDatabase(join(dir.path, 'larder.db'))
  const loose = database
    .prepare("select name from pragma_table_list where schema = 'main' and not strict")
    .pluck()
    .all()
    .filter((name) => !String(name).startsWith('sqlite_'))
  assert.deepEqual(loose, [])
  database.close()
})

for (let version = 1; version < MIGRATIONS.length; version++) {
  test(`a database of schema ${version} is brought up to date with all that is in it`, async () => {
    await using dir = await makeTempDir()
    const path = join(dir.path, 'larder.db')
    const old = new Database(path)
    for (const step of MIGRATIONS.slice(0, version)) old.exec(step)
    old.pragma(`user_version = ${version}`)
    old.exec(`
      insert into upstreams values (1, '${PLACE.upstream}');
      insert into repositories values (1, 1, '${PLACE.repository}', null);
      insert into manifests values ('${A}', '${MANIFEST.mediaType}', 1, null, null, '{}');
      insert into manifest_children values ('${A}', '${B}', 'blob', 5);
      insert into members (repository_id, digest, kind, size) values (1, '${A}', 'manifest', 1);
      insert into tags (repository_id, tag, digest, checked_at) values (1, '${TAG}', '${A}', 7);
      insert into blobs values ('${A}', 1, 10, 11, null), ('${B}', 5, 12, 13, 14);
    `)
    const line = 1_800_000_000_000
    const hasClock = old.pragma("table_list('clock')", { simple: true }) !== undefined
    if (hasClock) old.prepare('insert into clock (id, at) values (1, ?)').run(line)
    old.close()
    const { database, isNew } = openDatabase(path)
    assert.equal(isNew, false)
    assert.equal(database.pragma('user_version', { simple: true }), MIGRATIONS.length)
    const catalog = new SqliteCatalog(database)
    assert.deepEqual(await catalog.totals(), { blobs: 2, blobBytes: 6, manifests: 1, tags: 1 })
    assert.deepEqual(await catalog.getBlob(B), { size: 5, verifiedAt: 14 })
    assert.equal((await catalog.getTag(PLACE, TAG))?.digest, A)
    assert.equal((await catalog.findManifest(A))?.mediaType, MANIFEST.mediaType)
    assert.deepEqual(
      catalog.retention.listedBy(A).map(({ digest }) => digest),
      [B],
    )
    assert.equal(catalog.getClock()?.at, hasClock ? line : undefined)
    await catalog.close()
  })
}

test('a database of a later release is refused in a sentence, and left as it is', async () => {
  await using dir = await makeTempDir()
  const path = join(dir.path, 'larder.db')
  const { database } = openDatabase(path)
  database.pragma(`user_version = ${MIGRATIONS.length + 1}`)
  database.close()
  assert.throws(
    () => openDatabase(path),
    (error) => {
      assert.ok(error instanceof NewerSchemaError)
      assert.equal(error.actual, MIGRATIONS.length + 1)
      assert.match(error.message, /larder\.db has schema version \d+, and this release knows/)
      return true
    },
  )
})

test("another program's database is not taken for one of ours", async () => {
  await using dir = await makeTempDir()
  const path = join(dir.path, 'larder.db')
  const other = new Database(path)
  other.exec('create table songs (name text)')
  other.close()
  assert.throws(() => openDatabase(path), DamagedDatabaseError)
})

test('what was written is there after kill -9', async () => {
  await using dir = await makeTempDir()
  const path = join(dir.path, 'larder.db')
  const script = `
    import { SqliteCatalog } from ${JSON.stringify(import.meta.resolve('../../src/store/catalog.ts'))}
    import { openDatabase } from ${JSON.stringify(import.meta.resolve('../../src/store/database.ts'))}
    const catalog = new SqliteCatalog(openDatabase(${JSON.stringify(path)}).database)
    for (let size = 1; size <= 50; size++) {
      await catalog.putBlob('sha256:' + String(size).padStart(64, '0'), size, 1)
    }
    process.kill(process.pid, 'SIGKILL')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL'])
  const catalog = new SqliteCatalog(openDatabase(path).database)
  assert.equal((await catalog.totals()).blobs, 50)
  await catalog.close()
})
