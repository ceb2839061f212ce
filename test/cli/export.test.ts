import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

import { bundleIdOf } from '../../src/airgap/bundle/bundle.ts'
import { FolderWriter } from '../../src/cli/folder-writing.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { type Entry, tarOf } from '../airgap/bundle/archives.ts'
import { exported, filesIn, fill, nameOf, startFilled } from '../airgap/bundle/export-site.ts'
import type { PreloadSite } from '../airgap/site.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Ended, larder } from './admin.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const MIB = 1024 * 1024
const v1 = buildIndex([buildImage({ seed: 'v1', layers: [40_000, MIB + 3] })])
const v2 = buildImage({ seed: 'v2', layers: [30_000] })
const PATTERN = ['--pattern', 'reg.test/**']

function run(site: PreloadSite, ...args: readonly string[]): Promise<Ended> {
  return larder(['export', ...args, '--server', site.app.adminUrl])
}

async function sumsIn(path: string): Promise<void> {
  // What an operator at the other side has at hand.
  await promisify(execFile)('sha256sum', ['--check', '--strict', '--status', 'site.tar.sha256'], {
    cwd: path,
  })
}

test('a tar is what the server gives, with its checksum and its index beside it', async () => {
  await using site = await startFilled({ v1, v2 })
  await using dir = await makeTempDir()
  const path = join(dir.path, 'site.tar')
  const { code, stdout, stderr } = await run(site, '-o', path, nameOf('v1'), nameOf('v2'))
  assert.equal(code, 0, stderr)
  assert.deepEqual(await readFile(path), await exported(site, { patterns: ['reg.test/**'] }))
  const names = ['site.tar', 'site.tar.index.json', 'site.tar.sha256']
  assert.deepEqual((await readdir(dir.path)).sort(), names)
  await sumsIn(dir.path)
  const index = await readFile(`${path}.index.json`)
  assert.deepEqual(index, (await filesIn(await readFile(path))).get('larder-bundle.json'))
  assert.match(stdout, /^2 images, 8 contents, 1.1 MiB; /)
  assert.ok(stdout.includes(`bundle ${bundleIdOf(index)}\n`))
})

test('compressed, it is the same, and compressed again it has the same bytes', async () => {
  await using site = await startFilled({ v1, v2 })
  await using dir = await makeTempDir()
  const plain = await exported(site, { patterns: ['reg.test/**'] })
  for (const [name, decompress] of [
    ['a.tar.zst', zstdDecompressSync],
    ['a.tgz', gunzipSync],
  ] as const) {
    const path = join(dir.path, name)
    assert.equal((await run(site, '-o', path, ...PATTERN)).code, 0)
    const first = await readFile(path)
    assert.deepEqual(decompress(first), plain)
    assert.equal((await run(site, '-o', path, ...PATTERN, '--force')).code, 0)
    assert.deepEqual(await readFile(path), first)
  }
})

test('volumes are of one size, sort as they count, and are the bundle together', async () => {
  await using site = await startFilled({ v1, v2 })
  await using dir = await makeTempDir()
  const path = join(dir.path, 'site.tar')
  const args = ['-o', path, ...PATTERN]
  const { code, stdout } = await run(site, ...args, '--split', '100KiB', '--format', 'json')
  assert.equal(code, 0)
  const { files } = JSON.parse(stdout) as { files: { path: string; bytes: number }[] }
  const paths = files.map((file) => file.path)
  assert.deepEqual(paths.slice(0, 2), [`${path}.001`, `${path}.002`])
  assert.ok(files.slice(0, -1).every(({ bytes }) => bytes === 100 * 1024))
  const parts = await Promise.all(paths.map((name) => readFile(name)))
  assert.deepEqual(Buffer.concat(parts), await exported(site, { patterns: ['reg.test/**'] }))
  await sumsIn(dir.path)
  // What is of an earlier bundle would be taken for part of the new one.
  assert.equal((await run(site, ...args)).code, 1)
  assert.equal((await run(site, ...args, '--split', '600KiB', '--force')).code, 0)
  await sumsIn(dir.path)
  const volumes = (await readdir(dir.path)).filter((name) => /\.\d+$/.test(name))
  assert.deepEqual(volumes.sort(), ['site.tar.001', 'site.tar.002'])
  assert.equal((await run(site, ...args, '--force')).code, 0)
  assert.equal((await readdir(dir.path)).length, 3)
})

test('a folder is a layout of which every file is what its name says', async () => {
  await using site = await startFilled({ v1 })
  await using dir = await makeTempDir()
  const path = join(dir.path, 'new', 'layout')
  assert.equal((await run(site, '-o', `${path}/`, ...PATTERN)).code, 0)
  const files = await filesIn(await exported(site, { patterns: ['reg.test/**'] }))
  for (const [name, bytes] of files) assert.deepEqual(await readFile(join(path, name)), bytes)
  assert.match((await run(site, '-o', path, ...PATTERN)).stderr, /is there already: say --force/)
  await fill(site, 'v2', v2)
  assert.equal((await run(site, '-o', path, nameOf('v2'), '--force')).code, 0)
  const only = await filesIn(await exported(site, { images: [nameOf('v2')] }))
  const there = await readdir(path, { recursive: true, withFileTypes: true })
  assert.equal(there.filter((entry) => entry.isFile()).length, only.size)
})

test('--since takes a bundle in every form that there is, and what is beside it', async () => {
  await using site = await startFilled({ v1 })
  await using dir = await makeTempDir()
  const at = (name: string) => join(dir.path, name)
  const forms = [
    ['-o', at('a.tar')],
    ['-o', at('b.tar.zst')],
    ['-o', at('c.tar.gz')],
  ]
  const others = [
    ['-o', at('d.tar'), '--split', '50KiB'],
    ['-o', at('e/')],
  ]
  for (const form of [...forms, ...others]) {
    assert.equal((await run(site, ...form, ...PATTERN)).code, 0)
  }
  await fill(site, 'v2', v2)
  const bases = ['a.tar', 'b.tar.zst', 'c.tar.gz', 'd.tar', 'd.tar.002', 'e', 'a.tar.index.json']
  const bytes = new Set<number>()
  for (const base of bases) {
    const since = ['--since', at(base), '--dry-run', '--format', 'json']
    const { code, stdout, stderr } = await run(site, ...PATTERN, ...since)
    assert.equal(code, 0, stderr)
    const planned = JSON.parse(stdout)
    assert.equal(planned.blobs, 3)
    bytes.add(planned.bytes)
  }
  assert.equal(bytes.size, 1)
  await writeFile(at('no.tar'), tarOf([{ name: 'a', content: 'b' }]))
  for (const other of ['no.tar', 'absent.tar']) {
    const { code, stderr } = await run(site, '--dry-run', ...PATTERN, '--since', at(other))
    assert.deepEqual([code, /^--since .*\.tar: /.test(stderr)], [2, true], stderr)
  }
})

test('what is not whole is named with all that it lacks, and nothing is written', async () => {
  await using site = await startFilled({ v1, v2 })
  await using dir = await makeTempDir()
  const [layer] = v2.layers
  assert.ok(layer)
  await site.lose(layer.digest)
  const args = ['-o', join(dir.path, 'site.tar'), ...PATTERN]
  const { code, stderr } = await run(site, ...args)
  assert.equal(code, 3)
  assert.ok(
    stderr.includes(`reg.test/team/app:v2: 1 content not here\n  missing blob ${layer.digest}`),
  )
  assert.deepEqual(await readdir(dir.path), [])
  const allowed = await run(site, ...args, '--allow-incomplete')
  assert.equal(allowed.code, 3)
  assert.match(allowed.stdout, /^1 image, 5 contents, .*\n1 image left out: not whole here\n$/s)
})

test('what is damaged ends it with 4, its name, and no file', async () => {
  await using site = await startFilled({ v1 })
  await using dir = await makeTempDir()
  const layer = v1.blobs.entries().find(([, bytes]) => bytes.length > MIB)?.[0]
  assert.ok(layer)
  await site.damage(layer)
  const { code, stderr } = await run(site, '-o', join(dir.path, 'site.tar'), ...PATTERN)
  assert.equal(code, 4)
  assert.match(stderr, /^what was to be exported is damaged, and is put aside:$/m)
  assert.ok(stderr.includes(`  missing blob ${layer}`), stderr)
  assert.deepEqual(await readdir(dir.path), [])
})

test('a disk without room ends it with 7, and without a file', async () => {
  await using site = await startFilled({ v1 })
  await using dir = await makeTempDir()
  const codes: number[] = []
  for (const [output, error] of [
    ['site.tar', 'ENOSPC'],
    ['site.tar.gz', 'EFBIG'],
    ['layout/', 'ENOSPC'],
  ] as const) {
    using _faults = await interceptFiles((operation) => {
      if (operation === 'writev') throw systemError(error)
    })
    const { code, stderr } = await run(site, '-o', join(dir.path, output), ...PATTERN)
    codes.push(code)
    assert.match(stderr, error === 'EFBIG' ? /say --split 2GiB/ : /^no room for /m)
  }
  assert.deepEqual(codes, [7, 7, 7])
  assert.deepEqual(await readdir(dir.path), [])
})

test('what cannot be said is refused before anything is asked', async () => {
  await using dir = await makeTempDir()
  const at = (name: string) => join(dir.path, name)
  const refused: readonly (readonly string[])[] = [
    ['-o', at('a.tar')],
    ['nginx'],
    ['nginx', '-o', at('a.zip')],
    ['nginx', '-o', at('a/'), '--split', '1GiB'],
    ['nginx', '-o', at('a.tar'), '--split', '1'],
    ['nginx', '-o', at('a.tar'), '--platform', 'x'],
  ]
  for (const args of refused) {
    const { code, stderr } = await larder(['export', ...args, '--server', 'http://127.0.0.1:9'])
    assert.deepEqual([code, stderr === ''], [2, false], args.join(' '))
  }
  const absent = ['nginx', '-o', at('none/a.tar'), '--server', 'http://127.0.0.1:9']
  const { code, stderr } = await larder(['export', ...absent])
  assert.equal(code, 1)
  assert.match(stderr, /none: there is no such folder/)
})

test('it works on a data directory that no server has', async () => {
  await using site = await startFilled({ v1 })
  await using dir = await makeTempDir()
  const expected = await filesIn(await exported(site, { patterns: ['reg.test/**'] }))
  const path = join(dir.path, 'site.tar')
  const config = join(dir.path, 'larder.yaml')
  await writeFile(config, `upstreams: [{ name: reg.test, url: '${site.registry.origin}' }]\n`)
  await site.app.restart({}, async () => {
    const where = ['--data-dir', site.app.dataDir, '-c', config]
    const { code, stderr } = await larder(['export', '-o', path, ...PATTERN, ...where])
    assert.equal(code, 0, stderr)
  })
  const files = await filesIn(await readFile(path))
  // It says which release has made it, and that of the test's server is another.
  assert.deepEqual([...files].slice(1), [...expected].slice(1))
})

for (const [ending, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['cut', 1],
] as const) {
  test(`${ending} in the middle leaves no file, and ends with ${expected}`, async () => {
    await using dir = await makeTempDir()
    await using server = await startEndless()
    const args = ['export', 'nginx', '-o', 'site.tar', '--server', server.url]
    const env = { PATH: process.env['PATH'], HOME: dir.path }
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: dir.path, env })
    const closed = once(child, 'close')
    await server.begun
    await server.more()
    // From then on nothing comes: it waits for more.
    while (!(await readdir(dir.path)).includes('site.tar.part')) await setImmediate()
    if (ending === 'cut') server.cut()
    else child.kill(ending)
    assert.deepEqual(await closed, [expected, null])
    assert.deepEqual(await readdir(dir.path), [])
  })
}

/** Says that it has a bundle, and never comes to its end. */
async function startEndless() {
  const plan = { images: 1, blobs: 1, bytes: 4 * MIB, leftOut: [], missing: [], bundle: {} }
  const begun = Promise.withResolvers<void>()
  let give = () => Promise.resolve()
  let cut = () => {}
  const server = createServer((request, response) => {
    if (request.url?.endsWith('/plan') === true) {
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify(plan))
      return
    }
    response.setHeader('Content-Type', 'application/x-tar')
    response.on('error', () => {})
    give = () => new Promise((resolve) => response.write(Buffer.alloc(MIB), () => resolve()))
    cut = () => response.destroy()
    begun.resolve()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    begun: begun.promise,
    more: () => give(),
    cut: () => cut(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const content = Buffer.from('content')
const hex = digestOf(content).slice('sha256:'.length)
const hostile: readonly (readonly [string, Entry])[] = [
  ['a name that leads out of it', { name: '../escaped', content }],
  ['an absolute name', { name: '/tmp/escaped', content }],
  ['a name of its own', { name: 'blobs/sha256/escaped', content }],
  ['a name with a path in it', { name: `blobs/sha256/../../${hex}`, content }],
  ['another algorithm', { name: `blobs/md5/${hex}`, content }],
  ['other bytes than its name says', { name: `blobs/sha256/${hex}`, content: 'other' }],
  ['a link', { name: `blobs/sha256/${hex}`, type: '2', target: '/etc/passwd' }],
]

for (const [what, entry] of hostile) {
  test(`a folder gets nothing of an archive that has ${what}`, async () => {
    await using dir = await makeTempDir()
    const writer = new FolderWriter(join(dir.path, 'layout'))
    const good: Entry = {
      name: `blobs/sha256/${digestOf(Buffer.alloc(3)).slice(7)}`,
      content: '\0\0\0',
    }
    const archive = async function* () {
      yield tarOf([good, entry])
    }
    await assert.rejects(writer.write(archive()))
    await writer.abandon()
    assert.deepEqual(await readdir(dir.path), [])
  })
}
