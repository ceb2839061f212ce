/**
 * A site without a network: a cluster's manifests → images → preload → a bundle in volumes → an empty
 * Larder that no packet can leave → check → real nodes pull everything from it.
 */
import assert from 'node:assert/strict'
import { readdir, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { type Digest, encodedOf } from '../../src/oci/digest.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { buildImage, type Image, seededBytes } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { tar, tarLayer } from '../support/tar.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { renderChart } from './cluster-chart.ts'
import { startContainerd } from './containerd.ts'
import { type IsolatedLarder, startLarderIn } from './isolated-larder.ts'
import { createNetwork, type Network } from './network.ts'
import { nodeSetup } from './node-setup.ts'
import { preparePodman } from './podman.ts'
import { run } from './programs.ts'
import { type RealRegistry, startRealRegistry } from './real-registry.ts'
import { HERE, makeIndex } from './site.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const KIB = 1024
const COUNT = 20
const MOVED = 10
/** What all images stand on: a delta must not carry it again. */
const BASE = tar({ 'usr/base': seededBytes('base', 2048 * KIB) })
const OWN_BYTES = 40 * KIB
const ADMIN = 'http://127.0.0.1:9090'
const INSIDE = 'http://127.0.0.1:5000'

interface Placed {
  /** Without tag or digest. */
  readonly repository: string
  readonly image: Image
}

let work: TempDir
let real: RealRegistry
let fault: FaultRegistry
let online: RunningLarder
let chart: string
let images: readonly Placed[]
/** Of the first state. */
let bundle: string

before(async () => {
  work = await makeTempDir('larder-e2e-airgap-')
  real = await startRealRegistry()
  fault = await new FaultRegistry().start()
  images = await pushAll('v1 ', COUNT)
  online = await startLarder({ upstreams: upstreams(), dataDir: join(work.path, 'online') })
  chart = join(work.path, 'chart.yaml')
  await writeFile(chart, renderChart(images.map(({ repository }) => `${repository}:v1`)))
  bundle = join(work.path, 'site.tar')
})

after(async () => {
  await online?.close()
  await fault?.close()
  await real?.[Symbol.asyncDispose]()
  await work?.remove()
})

test('the chart names its images, and all of them are preloaded and pinned', async () => {
  const listed = await larder('images', chart, '-o', 'list')
  const names = images.map(({ repository }) => `${repository}:v1`)
  assert.deepEqual(listed.trim().split('\n').sort(), names.sort())
  await larder('preload', chart, '--pin', '--server', online.adminUrl)
  const before = fault.count({ method: 'GET' })
  await larder('preload', chart, '--pin', '--server', online.adminUrl)
  assert.equal(fault.count({ method: 'GET' }), before, 'the same again asks for no content')
  await larder('check', chart, '--hash', '--server', online.adminUrl)
})

test('a bundle in volumes is carried over, checked, and real nodes pull all of it', async () => {
  await larder('export', '-o', bundle, '--split', '1MiB', chart, '--server', online.adminUrl)
  const volumes = (await readdir(work.path)).filter((name) => /^site\.tar\.\d+$/.test(name))
  assert.ok(volumes.length >= 3, volumes.join())
  await run('sha256sum', ['--check', '--quiet', 'site.tar.sha256'], { cwd: work.path })
  await using gap = await createNetwork()
  await using data = await makeTempDir('larder-e2e-airgap-data-')
  await using site = await startOffline(gap, data.path)
  const paths = volumes.map((name) => join(work.path, name)).toReversed()
  await inside(gap, 'import', ...paths, '--pin')
  await inside(gap, 'check', chart)
  await assertNodesPull(gap, site, images, 'v1')

  const [victim] = images
  const layer = victim?.image.layers.at(-1) ?? assert.fail()
  await rename(fileOf(data.path, layer.digest), join(work.path, 'removed'))
  const missing = await fails(3, inside(gap, 'check', chart))
  assert.ok(missing.includes(layer.digest), missing)
  assert.ok(missing.includes(`${victim?.repository}:v1`), missing)
})

test('a delta is as small as what changed, and names the base that it needs', async () => {
  await pushAll('v2 ', MOVED)
  await larder('export', '-o', join(work.path, 'whole.tar'), chart, '--server', online.adminUrl)
  await online.close()
  // A tag is asked for again once it is due; here it is due at once.
  const tags = [{ match: '*', pullPolicy: 'Always' }]
  online = await startLarder({
    upstreams: upstreams().map((upstream) => ({ ...upstream, tags })),
    dataDir: join(work.path, 'online'),
  })
  await larder('preload', chart, '--pin', '--server', online.adminUrl)
  const delta = join(work.path, 'delta.tar')
  const base = join(work.path, 'whole.tar')
  await larder('export', '-o', delta, '--since', base, chart, '--server', online.adminUrl)
  const { size } = await stat(delta)
  const changed = MOVED * OWN_BYTES
  assert.ok(size > changed && size < changed + 300 * KIB, `${size} bytes for ${changed}`)

  await using gap = await createNetwork()
  await using data = await makeTempDir('larder-e2e-airgap-delta-')
  await using site = await startOffline(gap, data.path)
  const refused = await fails(3, inside(gap, 'import', delta))
  assert.match(refused, /needs .*sha256:[0-9a-f]{64}/s)
  await inside(gap, 'import', base)
  await inside(gap, 'import', delta)
  await inside(gap, 'check', chart)
  const [moved] = await imagesOf('v2 ', MOVED)
  const { status, headers } = await site.ask(`/v2/${moved?.repository}/manifests/v1`)
  assert.equal(status, 200)
  assert.equal(headers['docker-content-digest'], moved?.image.manifest.digest)
})

test('of an image for several platforms one is carried, with all files beside the bundle, as the README has it', async () => {
  const index = makeIndex('airgap index')
  await real.push('team/multi', 'v1', index)
  const name = 'real.test/team/multi:v1'
  const list = join(work.path, 'multi.yaml')
  await writeFile(list, renderChart([name]))
  const platform = ['--platform', `${HERE.os}/${HERE.architecture}`]
  await larder('preload', list, ...platform, '--pin', '--server', online.adminUrl)
  const target = join(work.path, 'multi.tar')
  const how = ['-o', target, '--split', '1MiB', ...platform]
  await larder('export', ...how, list, '--server', online.adminUrl)
  const files = (await readdir(work.path)).filter((file) => file.startsWith('multi.tar.'))
  await using gap = await createNetwork()
  await using data = await makeTempDir('larder-e2e-airgap-multi-')
  await using _ = await startOffline(gap, data.path)
  await inside(gap, 'import', ...files.map((file) => join(work.path, file)), '--pin')
  await inside(gap, 'check', list, ...platform)
  assert.match(await inside(gap, 'stats'), /pins +1 complete, 0 incomplete/)
  await using containerd = await startContainerd(gap)
  await containerd.setMirror('real.test', INSIDE)
  await containerd.cri.pullImage(name)
  const others = await fails(3, inside(gap, 'check', list))
  assert.match(others, /manifest missing/)
})

test('what skopeo and containerd write is imported as well', async () => {
  const [first, second] = images
  if (first === undefined || second === undefined) throw new Error('no images')
  const archive = join(work.path, 'skopeo.tar')
  const copied = `${first.repository}:copied`
  const source = `docker://${real.host}/${pathOf(first.repository)}:v1`
  const flags = ['--insecure-policy', 'copy', '--all', '--src-tls-verify=false']
  await run('skopeo', [...flags, source, `oci-archive:${archive}:${copied}`])
  const exported = join(work.path, 'containerd.tar')
  const pulled = `${second.repository}:v1`
  {
    await using containerd = await startContainerd()
    await containerd.setMirror('real.test', online.url)
    await containerd.pull(pulled)
    await containerd.save(pulled, exported)
  }
  await using gap = await createNetwork()
  await using data = await makeTempDir('larder-e2e-airgap-foreign-')
  await using site = await startOffline(gap, data.path)
  await inside(gap, 'import', archive)
  await inside(gap, 'import', exported)
  await site.pull(copied)
  await site.pull(pulled)
})

/** Twelve in docker-registry, the others in our own: half an image is unlike that of another. */
async function imagesOf(seed: string, count: number): Promise<readonly Placed[]> {
  return Array.from({ length: count }, (_, index) => {
    const registry = index % 5 < 3 ? 'real.test' : 'fault.test'
    const own = tar({ 'usr/own': seededBytes(`${seed}${index}`, OWN_BYTES) })
    const layers = [BASE, own, tarLayer({ 'etc/name': `${index}` })]
    const image = buildImage({ seed: `${seed}${index}`, platform: HERE, layers })
    return { repository: `${registry}/team/part-${index}`, image }
  })
}

async function pushAll(seed: string, count: number): Promise<readonly Placed[]> {
  const made = await imagesOf(seed, count)
  for (const { repository, image } of made) {
    const path = pathOf(repository)
    if (repository.startsWith('real')) await real.push(path, 'v1', image)
    else fault.add(path, image, 'v1')
  }
  return made
}

function upstreams() {
  return [
    { name: 'real.test', url: real.url },
    { name: 'fault.test', url: fault.origin },
  ]
}

function startOffline(gap: Network, dataDir: string): Promise<IsolatedLarder> {
  const names = ['real.test', 'fault.test']
  const there = names.map((name) => ({ name, url: 'https://registry.invalid' }))
  return startLarderIn(gap, { dataDir, upstreams: there, offline: true })
}

function larder(...args: string[]): Promise<string> {
  return run(process.execPath, [MAIN, ...args])
}

function inside(gap: Network, ...args: string[]): Promise<string> {
  return gap.run(process.execPath, [MAIN, ...args, '--server', ADMIN])
}

/** @returns what it printed */
async function fails(code: number, running: Promise<string>): Promise<string> {
  const error = await running.then(
    () => assert.fail(`it ended with 0, not ${code}`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof Error)
  assert.match(error.message, new RegExp(`ended with ${code}:`))
  return error.message
}

/** By tag and by digest: a node of Kubernetes, and podman. */
async function assertNodesPull(
  gap: Network,
  site: IsolatedLarder,
  placed: readonly Placed[],
  tag: string,
): Promise<void> {
  await using containerd = await startContainerd(gap)
  for (const registry of ['real.test', 'fault.test']) await containerd.setMirror(registry, INSIDE)
  for (const { repository, image } of placed) {
    const { digest } = image.manifest
    await containerd.cri.pullImage(`${repository}:${tag}`)
    await containerd.cri.pullImage(`${repository}@${digest}`)
  }
  await using podman = await preparePodman(nodeSetup(INSIDE, ['real.test', 'fault.test']), gap)
  for (const { repository, image } of placed) {
    const { digest } = image.manifest
    assert.equal(await podman.pull(`${repository}:${tag}`), digest)
    await podman.remove(`${repository}:${tag}`)
    assert.equal(await podman.pull(`${repository}@${digest}`), digest)
    await podman.remove(`${repository}@${digest}`)
  }
  const { status } = await site.ask('/v2/')
  assert.equal(status, 200)
}

function pathOf(repository: string): string {
  return repository.slice(repository.indexOf('/') + 1)
}

function fileOf(dataDir: string, digest: Digest): string {
  const hex = encodedOf(digest)
  return join(dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
}
