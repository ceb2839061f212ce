import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync, zstdCompressSync } from 'node:zlib'

import { Command } from 'commander'
import { importCommand } from '../../src/cli/import.ts'
import {
  bundleOf,
  type Entry,
  fullName,
  layoutOf,
  REGISTRY,
  tarOf,
} from '../airgap/bundle/archives.ts'
import { pull, startOffline } from '../airgap/bundle/import-site.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { buildImage } from '../support/images.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { type Ended, larder } from './admin.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

let app: TestApp
let dir: TempDir
before(async () => {
  app = await startOffline()
  dir = await makeTempDir()
})
after(async () => {
  await app.close()
  await dir.remove()
})

let count = 0
/** An archive that nobody has imported yet. */
function make(): {
  readonly tag: string
  readonly image: ReturnType<typeof buildImage>
  readonly entries: Entry[]
} {
  const tag = `v${++count}`
  const image = buildImage({ seed: tag, layers: [3000, 200_000] })
  return { tag, image, entries: bundleOf([{ image, tag, checkedAt: count }]) }
}

function importing(...args: readonly string[]): Promise<Ended> {
  return larder(['import', ...args, '--server', app.adminUrl])
}

async function write(name: string, bytes: Buffer | string): Promise<string> {
  const path = join(dir.path, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, bytes)
  return path
}

const COMPRESSIONS = {
  'a plain tar': (bytes: Buffer) => bytes,
  'one that gzip compressed': (bytes: Buffer) => gzipSync(bytes),
  'one that zstd compressed': (bytes: Buffer) => zstdCompressSync(bytes),
  'one that zstd compressed in two frames': (bytes: Buffer) =>
    Buffer.concat([
      zstdCompressSync(bytes.subarray(0, 999)),
      zstdCompressSync(bytes.subarray(999)),
    ]),
}
for (const [what, compress] of Object.entries(COMPRESSIONS)) {
  test(`${what} is imported, whatever it is called`, async () => {
    const { tag, image, entries } = make()
    const path = await write(`archive-${tag}`, compress(tarOf(entries)))
    const { code, stdout, stderr } = await importing(path)
    assert.equal(code, 0, stderr)
    assert.match(stdout, new RegExp(`published +${REGISTRY}/team/app:${tag}`))
    assert.match(stdout, /1 published, 0 unchanged, 0 refused/)
    await pull(app, image, tag)
  })
}

test('an archive comes by standard input', async () => {
  const { tag, image, entries } = make()
  const written = { stdout: '', stderr: '' }
  const io = {
    env: {},
    cwd: dir.path,
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
  }
  async function* stdin() {
    const bytes = gzipSync(tarOf(entries))
    for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
  }
  const terminal = { canAsk: false, isWatched: true, ask: () => Promise.reject(new Error()) }
  const program = new Command().addCommand(importCommand(io, terminal, stdin()))
  const args = ['import', '-', '-o', 'json', '--server', app.adminUrl]
  await program.parseAsync(args, { from: 'user' })
  const { archives } = JSON.parse(written.stdout)
  assert.equal(archives[0].archive, 'standard input')
  assert.deepEqual(archives[0].counts, { published: 1, unchanged: 0, refused: 0 })
  assert.equal(archives[0].images[0].digest, image.manifest.digest)
  await pull(app, image, tag)
})

test('whoever still writes what is refused is not waited for', async () => {
  const args = [MAIN, 'import', '-', '--server', app.adminUrl]
  const stdio = ['pipe', 'ignore', 'ignore'] as const
  const child = spawn(process.execPath, args, { stdio: [...stdio] })
  const ended = once(child, 'exit')
  // Without an end, as of a program that has more to write.
  child.stdin?.write('no archive'.repeat(100))
  assert.deepEqual(await ended, [4, null])
})

test('a folder with an image layout is imported, and no link in it is followed', async () => {
  const image = buildImage({ seed: 'folder' })
  const name = `${REGISTRY}/team/app:folder`
  const entries = layoutOf([{ image, annotations: fullName(name) }])
  for (const { name, content = '' } of entries) await write(`layout/${name}`, Buffer.from(content))
  const path = join(dir.path, 'layout')
  assert.equal((await importing(path)).code, 0)
  await pull(app, image, 'folder')
  const link = join(path, 'blobs/sha256', 'f'.repeat(64))
  await symlink('/etc/passwd', link)
  const { code, stderr } = await importing(path)
  assert.equal(code, 4)
  assert.match(stderr, /no link is followed/)
  await rm(join(path, 'index.json'))
  const other = await importing(path)
  assert.equal(other.code, 2)
  assert.match(other.stderr, /no image layout/)
})

/** Five volumes, with their checksums beside them. */
async function split(folder: string) {
  const { tag, image, entries } = make()
  const bytes = zstdCompressSync(tarOf(entries))
  const size = Math.ceil(bytes.length / 5)
  const sums: string[] = []
  const paths: string[] = []
  for (let number = 1; number <= 5; number++) {
    const part = bytes.subarray((number - 1) * size, number * size)
    const name = `b.tar.zst.00${number}`
    sums.push(`${createHash('sha256').update(part).digest('hex')}  ${name}\n`)
    paths.push(await write(`${folder}/${name}`, part))
  }
  const checksums = await write(`${folder}/b.tar.zst.sha256`, sums.join(''))
  return { tag, image, paths, checksums }
}

test('volumes are one archive, in any order, or by any one of them, or by their checksums', async () => {
  const { tag, image, paths, checksums } = await split('volumes')
  const [first = '', , third = ''] = paths
  for (const args of [paths.toReversed(), [first], [third], [checksums], [first.slice(0, -4)]]) {
    const { code, stdout, stderr } = await importing(...args)
    assert.equal(code, 0, `${args}: ${stderr}`)
    assert.match(stdout, new RegExp(`team/app:${tag} `))
    assert.match(stdout, /1 published|1 unchanged/)
  }
  await pull(app, image, tag)
})

test('volumes may lie in different folders', async () => {
  const { tag, image, paths } = await split('spread')
  const moved: string[] = []
  for (const path of paths.slice(0, 4)) {
    const name = path.split('/').at(-1) ?? ''
    moved.push(await write(`medium-${name}/${name}`, await readFile(path)))
    await rm(path)
  }
  const { code, stderr } = await importing(...moved.toReversed(), ...paths.slice(4))
  assert.equal(code, 0, stderr)
  await pull(app, image, tag)
})

test('a volume that is missing is named, also when it is the last', async () => {
  for (const [gone, folder] of [
    [1, 'gap'],
    [4, 'tail'],
  ] as const) {
    const { paths } = await split(folder)
    await rm(paths[gone] ?? '')
    const { code, stderr } = await importing(paths[0] ?? '')
    assert.equal(code, 2)
    assert.match(stderr, new RegExp(`b\\.tar\\.zst\\.00${gone + 1} is missing`))
  }
})

test('without checksums a last volume that is missing is suspected', async () => {
  const { paths, checksums } = await split('unsummed')
  await rm(checksums)
  await rm(paths[4] ?? '')
  const { code, stderr } = await importing(paths[0] ?? '')
  assert.equal(code, 4)
  assert.match(stderr, /damaged.*; is b\.tar\.zst\.005 missing\? b\.tar\.zst\.sha256 would say so/)
})

test('a volume that is not what its checksum says is named, and nothing is published', async () => {
  const { tag, paths } = await split('flipped')
  const last = paths.at(-1) ?? ''
  await writeFile(last, 'something else')
  const { code, stderr } = await importing(...paths)
  assert.equal(code, 4)
  assert.match(stderr, /b\.tar\.zst\.005 is damaged: its checksum/)
  assert.equal((await app.get(`/v2/team/app/manifests/${tag}`)).status, 504)
})

test('what is damaged or made to do harm ends with 4 and one sentence', async () => {
  const good = tarOf(make().entries)
  const bomb = Buffer.concat([
    tarOf([{ name: 'x', content: '', size: 2 ** 28 }]).subarray(0, 512),
    Buffer.alloc(2 ** 28),
  ])
  const damaged = gzipSync(good)
  damaged.writeUInt8(damaged.readUInt8(5000) ^ 0xff, 5000)
  const archives: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    cut: [good.subarray(0, -5000), /ends before its end|damaged/],
    bomb: [gzipSync(bomb), /more than 200 times its size/],
    'zstd-bomb': [zstdCompressSync(bomb), /more than 200 times its size/],
    flipped: [damaged, /damaged/],
    // A frame with a window of 2 GiB, as `zstd --long=31` writes it.
    window: [Buffer.from('28b52ffd00a8010000', 'hex'), /zstd -dc --long=31/],
    xz: [Buffer.from('fd377a585a000000', 'hex'), /compressed with xz/],
    path: [tarOf([{ name: '../x', content: 'x' }]), /leads out of it/],
  }
  for (const [name, [bytes, said]] of Object.entries(archives)) {
    const { code, stdout, stderr } = await importing(await write(`${name}.bad`, bytes))
    assert.equal(code, 4, `${name}: ${stderr}`)
    assert.match(stderr, said)
    assert.equal(stderr.trim().split('\n').length, 1, stderr)
    assert.equal(stdout, '')
  }
})

test('some that are refused end with 3, what is not there with 2', async () => {
  const image = buildImage({ seed: 'elsewhere' })
  const annotations = fullName('other.test/a/b:v1')
  const path = await write('elsewhere.tar', tarOf(layoutOf([{ image, annotations }])))
  const refused = await importing(path)
  assert.equal(refused.code, 3)
  assert.match(refused.stdout, /refused +other\.test\/a\/b:v1 .* no upstream is configured/)
  const gone = await importing(join(dir.path, 'gone.tar'))
  assert.equal(gone.code, 2)
  assert.match(gone.stderr, /gone\.tar: no such file/)
  assert.equal((await importing(path, '--as', 'not a name')).code, 2)
})

test('where there is no room it ends with 7', async () => {
  await using small = await startOffline({ maxBytes: 100_000 })
  const path = await write('large.tar', tarOf(make().entries))
  const { code, stderr } = await larder(['import', path, '--server', small.adminUrl])
  assert.equal(code, 7, stderr)
  assert.match(stderr, /no room for \d+ bytes.*import again/)
})

test('a data directory is filled without a server, and serves what it has got', async () => {
  const { tag, image, entries } = make()
  const path = await write('local.tar', tarOf(entries))
  await using site = await startOffline()
  const config = [
    'version: 1',
    'offline: true',
    'upstreams:',
    `  - { name: ${REGISTRY}, url: "http://127.0.0.1:9", default: true }`,
  ].join('\n')
  const file = await write('larder.yaml', config)
  await site.restart({}, async () => {
    const args = ['import', path, '--pin', '--data-dir', site.dataDir, '-c', file]
    const { code, stderr, stdout } = await larder(args)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /1 published/)
  })
  await pull(site, image, tag)
  assert.ok((await readdir(join(site.dataDir, 'pins'))).length > 0)
})

test('what one site exports in volumes, and what has changed since, another one imports', async () => {
  await using registry = await new FaultRegistry().start()
  const [first, second] = [1, 2].map((seed) => buildImage({ seed, layers: [2000, 1_500_000] }))
  assert.ok(first !== undefined && second !== undefined)
  const upstreams = [{ name: REGISTRY, url: registry.origin, default: true }]
  await using online = await startTestApp({ upstreams })
  await using offline = await startOffline()
  const name = `${REGISTRY}/team/app`
  const base = join(dir.path, 'base.tar.zst')
  const next = join(dir.path, 'next.tar')
  const fill = async (tag: string) => {
    const filled = await larder(['preload', `${name}:${tag}`, '--server', online.adminUrl])
    assert.equal(filled.code, 0, filled.stderr)
  }
  const exported = (...args: readonly string[]) =>
    larder(['export', ...args, '--server', online.adminUrl])
  registry.add('team/app', first, 'v1')
  await fill('v1')
  const ended = await exported(`${name}:v1`, '-o', base, '--split', '1MiB')
  assert.equal(ended.code, 0, ended.stderr)
  registry.add('team/app', second, 'v2')
  await fill('v2')
  const delta = await exported(`${name}:v1`, `${name}:v2`, '-o', next, '--since', base)
  assert.equal(delta.code, 0, delta.stderr)
  const brought = (...paths: string[]) => larder(['import', ...paths, '--server', offline.adminUrl])
  const early = await brought(next)
  assert.equal(early.code, 3)
  assert.match(early.stdout, /needs bundle sha256:[0-9a-f]{64} \(content of /)
  // As a shell has it of base.tar.zst.*, with the checksums and the index.
  const beside = (await readdir(dir.path)).filter((file) => file.startsWith('base.tar.zst.'))
  assert.ok(beside.includes('base.tar.zst.index.json'), beside.join())
  const carried = await brought(...beside.map((file) => join(dir.path, file)))
  assert.equal(carried.code, 0, carried.stderr)
  await pull(offline, first, 'v1')
  const late = await brought(next, `${next}.index.json`, `${next}.sha256`)
  assert.equal(late.code, 0, late.stderr)
  await pull(offline, second, 'v2')
})
