import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { startContainerd } from './containerd.ts'
import { preparePodman } from './podman.ts'
import { run } from './programs.ts'
import { type RealRegistry, startRealRegistry } from './real-registry.ts'
import { HERE, makeImage, makeIndex } from './site.ts'
import { skopeoPush, skopeoRaw } from './skopeo.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const NAME = 'reg.test/team/app'
const PLATFORM = `${HERE.os}/${HERE.architecture}`
const index = makeIndex('bundles index')
const single = makeImage('bundles single')
const docker = makeImage('bundles docker', 'docker')
const images = { index, single, docker }
const tags = ['index', 'single', 'docker'] as const
/** Of a layout with several images, skopeo of before 1.13 finds no other by its name. */
const OCI_TAGS = ['index', 'single'] as const

let dir: TempDir
let registry: RealRegistry
let larder: RunningLarder

before(async () => {
  dir = await makeTempDir('larder-e2e-bundles-')
  registry = await startRealRegistry()
  for (const tag of tags) await registry.push('team/app', tag, images[tag])
  larder = await startLarder({
    upstreams: [{ name: 'reg.test', url: registry.url, access: 'public' }],
  })
  await command('preload', ...tags.map((tag) => `${NAME}:${tag}`))
})

after(async () => {
  await larder?.close()
  await registry?.stop()
  await dir?.remove()
})

function command(name: string, ...args: readonly string[]): Promise<string> {
  return run(process.execPath, [MAIN, name, ...args, '--server', larder.adminUrl])
}

async function bundle(name: string, ...args: readonly string[]): Promise<string> {
  const path = join(dir.path, name)
  await command('export', '-o', path, ...args)
  return path.replace(/\/$/, '')
}

for (const [name, transport] of [
  ['skopeo.tar', 'oci-archive'],
  ['skopeo/', 'oci'],
] as const) {
  test(`skopeo takes each image of ${name} by its name, with its digest`, async () => {
    const path = await bundle(name, ...tags.map((tag) => `${NAME}:${tag}`))
    for (const tag of OCI_TAGS) {
      const target = `${registry.host}/copied/${transport}:${tag}`
      await skopeoPush(`${transport}:${path}:${NAME}:${tag}`, target)
      assert.equal(await skopeoRaw(target), images[tag].manifest.bytes.toString())
    }
  })
}

test('skopeo takes a bundle of one image of Docker’s types without a name', async () => {
  const path = await bundle('docker.tar', `${NAME}:docker`)
  const target = `${registry.host}/copied/docker:docker`
  await skopeoPush(`oci-archive:${path}`, target)
  assert.equal(await skopeoRaw(target), docker.manifest.bytes.toString())
})

test('ctr takes all images of a bundle at once, under their names and with their digests', async () => {
  const path = await bundle('ctr.tar', '--pattern', 'reg.test/**')
  await using containerd = await startContainerd()
  const imported = await containerd.load(path, '--all-platforms')
  assert.deepEqual(imported, tags.map((tag) => `${NAME}:${tag}`).sort())
  const content = new Set(await containerd.listContent('default'))
  for (const tag of tags) {
    const { manifest, blobs } = images[tag]
    for (const digest of [manifest.digest, ...blobs.keys()]) assert.ok(content.has(digest), digest)
  }
})

test('podman loads a bundle of one image, and pulls each of several by its name', async () => {
  await using podman = await preparePodman()
  const one = await bundle('podman-one.tar', `${NAME}:single`)
  await podman.load(one)
  assert.equal(await podman.digest(`${NAME}:single`), single.manifest.digest)
  const all = await bundle('podman-all.tar', '--pattern', 'reg.test/**')
  await podman.remove(`${NAME}:single`)
  for (const tag of OCI_TAGS) {
    assert.match(await podman.pullFrom(`oci-archive:${all}:${NAME}:${tag}`), /^[0-9a-f]{64}$/)
  }
})

test('of a bundle for one platform skopeo and ctr take that one', async () => {
  const path = await bundle('sparse.tar', `${NAME}:index`, '--platform', PLATFORM)
  const [child] = index.children
  const target = `${registry.host}/copied/sparse:index`
  const source = `oci-archive:${path}:${NAME}:index`
  const flags = ['--insecure-policy', 'copy', '--dest-tls-verify=false']
  await run('skopeo', [...flags, source, `docker://${target}`])
  assert.equal(await skopeoRaw(target), child?.manifest.bytes.toString())
  await using containerd = await startContainerd()
  await containerd.load(path, '--platform', PLATFORM)
  const content = new Set(await containerd.listContent('default'))
  for (const digest of [index.manifest.digest, child?.manifest.digest ?? '']) {
    assert.ok(content.has(digest), digest)
  }
})

test('volumes put together with cat are the bundle, and sha256sum says so of each', async () => {
  const path = await bundle('split.tar.zst', '--pattern', 'reg.test/**', '--split', '4KiB')
  const execute = promisify(execFile)
  await execute('sha256sum', ['--check', '--strict', 'split.tar.zst.sha256'], { cwd: dir.path })
  await run('sh', ['-c', 'cat "$0".0* | zstd -dc > "$0".tar || exit 1', path])
  const target = `${registry.host}/copied/split:single`
  await skopeoPush(`oci-archive:${path}.tar:${NAME}:single`, target)
  assert.equal(await skopeoRaw(target), single.manifest.bytes.toString())
})

test('a disk that fills up while it is written keeps nothing of it, and the command ends with 7', async () => {
  const large = makeImage('bundles large')
  await registry.push('team/app', 'large', large)
  await command('preload', `${NAME}:large`)
  const mount = join(dir.path, 'small')
  await mkdir(mount)
  // Compressed, so that nobody knows its size before.
  const script =
    'mount -t tmpfs -o size=4k larder "$0" && cd "$0" && ' +
    '{ "$@"; code=$?; ls -A > ../left; echo $code > ../code; }'
  const node = [process.execPath, MAIN, 'export', '-o', 'full.tar.gz', '--pattern', 'reg.test/**']
  const args = ['-m', 'sh', '-c', script, mount, ...node, '--server', larder.adminUrl]
  await run('unshare', args).catch(() => undefined)
  assert.equal((await run('cat', [join(dir.path, 'code')])).trim(), '7')
  assert.equal(await run('cat', [join(dir.path, 'left')]), '')
})
