/** Commands that open the data directory themselves, because no server runs. */
import assert from 'node:assert/strict'
import { chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { stringify } from 'yaml'

import { send } from '../support/http-client.ts'
import { seededBytes } from '../support/images.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Ended, larder as runHere, spawnLarder } from './admin.ts'
import {
  addImage,
  fileOf,
  misses,
  NAME,
  ownLayer,
  pull,
  run as runOnServer,
  type Site,
  SMALL,
  startSite,
  storage,
  store,
} from './housekeeping-site.ts'

/** A command without a server, with the configuration that the server had. */
function run(site: Site, ...args: readonly string[]): Promise<Ended> {
  return runHere([...args, '--data-dir', site.larder.dataDir, '-c', 'larder.yaml'], {
    files: { 'larder.yaml': configOf(site) },
  })
}

function configOf({ options }: Site, more: Readonly<Record<string, unknown>> = {}): string {
  const { upstreams } = options
  // A cap that is smaller than what is there, and another folder: neither is meant.
  return stringify({ upstreams, storage: { path: '/nowhere', maxSize: '1KiB' }, ...more })
}

async function damage(file: string): Promise<void> {
  const bytes = await readFile(file)
  bytes.writeUInt8(bytes.readUInt8(SMALL / 2) ^ 1, SMALL / 2)
  await chmod(file, 0o644)
  await writeFile(file, bytes)
}

test('what is done while no server runs is there when it starts again', async () => {
  await using site = await startSite()
  const kept = addImage(site, 'kept', SMALL)
  const purged = addImage(site, 'purged', SMALL)
  const other = addImage(site, 'other', SMALL)
  await store(site, kept, 'kept')
  await store(site, purged, 'purged')
  await store(site, other, 'other')
  const { blobs } = await storage(site.larder)
  assert.equal(await site.larder.close(), 0)
  site.registry.requests.length = 0

  const pinned = await run(site, 'pin', `${NAME}:kept`)
  assert.equal(pinned.stderr, '')
  assert.match(pinned.stdout, /^reg\.test\/team\/app:kept +sha256:/m)
  assert.match((await run(site, 'pin', '--list')).stdout, /^reg\.test\/team\/app:kept /m)
  assert.equal((await run(site, 'pin', `${NAME}:none`)).code, 6)

  const dry = await run(site, 'purge', `${NAME}:purged`, '--dry-run')
  assert.match(dry.stdout, /^would free 6\d KiB: 1 tag, 1 manifest, 2 blobs$/m)
  const whole = await run(site, 'verify')
  assert.deepEqual(whole, {
    code: 0,
    stdout: `${blobs} checked: ${blobs} ok, 0 damaged, 0 missing, 0 repaired\n`,
    stderr: '',
  })
  const done = await run(site, 'purge', `${NAME}:purged`, '--yes')
  assert.deepEqual([done.code, done.stderr], [0, ''])
  assert.match(done.stdout, /^freed 6\d KiB: 1 tag, 1 manifest, 2 blobs$/m)
  const collected = await run(site, 'gc', '--older-than', '1ms')
  assert.deepEqual(collected, {
    code: 0,
    stdout: 'freed 0 B: 0 tags, 0 manifests, 0 blobs\n',
    stderr: '',
  })
  assert.equal((await run(site, 'unpin', `${NAME}:kept`)).stdout, 'took 1 pin away\n')
  assert.equal((await run(site, 'pin', `${NAME}:other`)).code, 0)
  assert.deepEqual(site.registry.requests, [])

  await using larder = await startLarder({ ...site.options, offline: true })
  const list = await runOnServer({ larder }, 'pin', '--list')
  assert.deepEqual(
    list.stdout.split('\n').map((line) => line.split(' ')[0]),
    ['NAME', `${NAME}:other`, ''],
  )
  await pull({ larder }, kept, 'kept')
  const gone = await send(larder.url, '/v2/team/app/manifests/purged')
  assert.equal(gone.status, 504)
})

test('a process of its own ends by itself, and prints nothing but its results', async () => {
  await using site = await startSite()
  await store(site, addImage(site, 'v1', SMALL), 'v1')
  const { blobs } = await storage(site.larder)
  const { dataDir } = site.larder
  await site.larder.close()
  const before = (await readdir(dataDir)).sort()
  // The built-in configuration has none of these upstreams: what is there is looked at all the same.
  assert.deepEqual(await spawnLarder(['verify', '--data-dir', dataDir, '-o', 'json']), {
    code: 0,
    stdout: `${JSON.stringify(
      {
        checked: blobs,
        ok: blobs,
        damaged: 0,
        missing: 0,
        repaired: 0,
        unrepaired: [],
        faults: [],
      },
      undefined,
      2,
    )}\n`,
    stderr: '',
  })
  assert.deepEqual((await readdir(dataDir)).sort(), before)
})

test('a data directory that a server has is left to it: exit 75', async () => {
  await using site = await startSite()
  const image = addImage(site, 'v1', SMALL)
  await store(site, image, 'v1')
  const { dataDir } = site.larder
  for (const args of [['gc'], ['pin', '--list'], ['purge', `${NAME}:v1`, '--yes'], ['verify']]) {
    assert.deepEqual(await run(site, ...args), {
      code: 75,
      stdout: '',
      stderr:
        `the data directory ${dataDir} is in use by another process; stop it first; ` +
        'to have it do this, leave --data-dir out, and say -c or --server\n',
    })
  }
  assert.equal(await misses(site, image, 'v1'), 0)
})

test('where no data directory is nothing is made one: exit 2', async () => {
  await using dir = await makeTempDir()
  const missing = join(dir.path, 'missing')
  const empty = join(dir.path, 'empty')
  // What other tools leave: an OCI image layout has a folder of this name too.
  const layout = join(dir.path, 'layout')
  const file = join(dir.path, 'file')
  await mkdir(empty)
  await mkdir(join(layout, 'blobs', 'sha256'), { recursive: true })
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(file, '')
  const before = (await readdir(dir.path, { recursive: true })).sort()
  const none = 'it is no data directory of Larder: neither larder.db nor blobs/ is in it'
  for (const [path, reason] of [
    [missing, 'there is no such directory'],
    [file, 'there is no such directory'],
    [join(file, 'below'), 'there is no such directory'],
    [empty, none],
    [layout, none],
  ] as const) {
    assert.deepEqual(await runHere(['gc', '--data-dir', path]), {
      code: 2,
      stdout: '',
      stderr: `--data-dir ${path}: ${reason}\n`,
    })
  }
  assert.deepEqual((await readdir(dir.path, { recursive: true })).sort(), before)
})

test('root is warned of a data directory that is the one of another user', {
  skip: process.geteuid?.() !== 0,
}, async () => {
  await using dir = await makeTempDir()
  for (const name of ['blobs', 'ingest']) await mkdir(join(dir.path, name))
  const list = ['pin', '--list', '--data-dir', dir.path]
  assert.deepEqual(await runHere(list), { code: 0, stdout: '', stderr: '' })
  await chown(dir.path, 1234, 1234)
  const { code, stderr } = await runHere(list)
  assert.equal(code, 0)
  assert.match(stderr, /^warning: \S+ belongs to user 1234, and this runs as root: .* '#1234' …\n$/)
})

test('what cannot go with --data-dir is exit 2, before anything is opened', async () => {
  for (const [args, message] of [
    [
      ['gc', '--server', 'http://127.0.0.1:9090'],
      /'--data-dir <dir>' cannot be used with .*--serv/,
    ],
    [['pin', '--list', '--token-file', 'x'], /cannot be used with option '--token-file/],
    [['reload'], /unknown option '--data-dir'/],
    [['gc', '-c', 'none.yaml'], /none\.yaml: no such file/],
  ] as const) {
    await using dir = await makeTempDir()
    await mkdir(join(dir.path, 'blobs'))
    await mkdir(join(dir.path, 'ingest'))
    const { code, stdout, stderr } = await runHere([...args, '--data-dir', dir.path])
    assert.deepEqual([code, stdout], [2, ''], stderr)
    assert.match(stderr, message)
    assert.deepEqual((await readdir(dir.path)).sort(), ['blobs', 'ingest'])
  }
})

test('damage is found without a server, and fetched again from what the configuration says', async () => {
  await using site = await startSite()
  const image = addImage(site, 'v1', SMALL)
  const other = addImage(site, 'v2', SMALL)
  await store(site, image, 'v1')
  await store(site, other, 'v2')
  const all = (await storage(site.larder)).blobs
  await site.larder.close()
  const digest = ownLayer(image)
  const file = fileOf(site, digest)

  await damage(file)
  const damaged = await run(site, 'verify')
  assert.equal(damaged.code, 4)
  assert.equal(
    damaged.stdout,
    `damaged  ${digest}\n${all} checked: ${all - 1} ok, 1 damaged, 0 missing, 0 repaired\n` +
      `${digest} is of ${NAME}\n`,
  )
  await assert.rejects(stat(file), { code: 'ENOENT' })

  const isolated = await runHere(
    ['verify', '--repair', '--data-dir', site.larder.dataDir, '-c', 'larder.yaml'],
    { files: { 'larder.yaml': configOf(site, { offline: true }) } },
  )
  assert.equal(isolated.code, 4)
  const repaired = await run(site, 'verify', '--repair')
  assert.equal(repaired.code, 0, repaired.stderr)
  assert.ok(
    repaired.stdout.endsWith(`${all - 1} ok, 0 damaged, 1 missing, 1 repaired\n`),
    repaired.stdout,
  )
  assert.equal(site.registry.countBlobs(digest), 2)
  assert.ok((await readFile(file)).equals(image.blobs.get(digest) ?? seededBytes('none', 1)))

  // However small the cap in that configuration is: nothing had to go for it.
  const whole = await run(site, 'verify')
  assert.equal(whole.stdout, `${all} checked: ${all} ok, 0 damaged, 0 missing, 0 repaired\n`)
})

test('with its database lost a data directory is known again before the command begins', async () => {
  await using site = await startSite()
  const image = addImage(site, 'v1', SMALL)
  await store(site, image, 'v1')
  assert.equal((await runOnServer(site, 'pin', `${NAME}:v1`)).code, 0)
  const all = (await storage(site.larder)).blobs
  const { dataDir } = site.larder
  await site.larder.close()
  for (const name of await readdir(dataDir)) {
    if (name.startsWith('larder.db')) await rm(join(dataDir, name))
  }
  const purged = await run(site, 'purge', `${NAME}:v1`, '--dry-run')
  assert.equal(purged.code, 3, purged.stderr)
  assert.match(purged.stderr, /pinned/)
  const whole = await run(site, 'verify')
  assert.equal(whole.stdout, `${all} checked: ${all} ok, 0 damaged, 0 missing, 0 repaired\n`)
})
