/** kill -9 in the middle of a preload and of an import: the same command again goes on. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { send } from '../support/http-client.ts'
import { buildImage, type Image, seededBytes } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { tar } from '../support/tar.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { metric, until } from './metrics.ts'
import { run } from './programs.ts'
import { countGets, type RealRegistry, startRealRegistry } from './real-registry.ts'
import { HERE } from './site.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const MIB = 1024 * 1024
const BLOBS = { type: 'blob' }
const FETCHED = 'larder_fetched_bytes_total'
const WAIT_MS = 30_000
const COUNT = 6
const OWN_BYTES = 3 * MIB
/** How much of the bundle has been taken when the server is killed. */
const PARTS = [0.05, 0.3, 0.6, 0.9, 0.999]

const images = Array.from({ length: COUNT }, (_, index): Image => {
  const layers = ['base', `own ${index}`].map((seed) =>
    tar({ [`usr/${seed}`]: seededBytes(seed, OWN_BYTES) }),
  )
  return buildImage({ seed: index, platform: HERE, layers })
})
const names = images.map((_, index) => `reg.test/team/part-${index}:v1`)

let dir: TempDir
let registry: RealRegistry
let list: string
let bundle: string

before(async () => {
  dir = await makeTempDir('larder-e2e-kills-')
  registry = await startRealRegistry()
  for (const [index, image] of images.entries()) {
    await registry.push(`team/part-${index}`, 'v1', image)
  }
  list = join(dir.path, 'images.txt')
  await writeFile(list, names.join('\n'))
  bundle = join(dir.path, 'bundle.tar')
})

after(async () => {
  await registry?.stop()
  await dir?.remove()
})

test('a preload whose server is killed goes on when it is repeated', async () => {
  const dataDir = join(dir.path, 'online')
  const upstream = { name: 'reg.test', url: registry.url }
  const slowly = { ...upstream, limits: { bandwidth: '8MiB' } }
  const first = await startLarder({ upstreams: [slowly], dataDir })
  const broken = assert.rejects(
    larder(first, 'preload', list, '--pin'),
    /ended with 1:.*see its log/s,
  )
  try {
    await until(first, FETCHED, 8 * MIB, BLOBS)
  } finally {
    await first.kill()
  }
  await broken

  await using second = await startLarder({ upstreams: [upstream], dataDir })
  const { body } = await send(second.adminUrl, '/api/v1/pins')
  const { pins } = JSON.parse(body.toString()) as { pins: readonly { name: string }[] }
  assert.ok(pins.length < COUNT, 'it was killed before its end')
  for (const { name } of pins) await larder(second, 'check', name, '--hash')
  await registry.forget()
  await larder(second, 'preload', list, '--pin')
  await larder(second, 'check', list, '--hash')
  const fetched = await metric(second, FETCHED, BLOBS)
  assert.ok(fetched < (COUNT + 1) * OWN_BYTES - 4 * MIB, `${fetched} bytes were fetched again`)
  assert.ok(countGets(await registry.requests(), 'blobs') > 0, 'there was something left to do')
  await larder(second, 'export', '-o', bundle, list)
})

test('an import whose server is killed, again and again, goes on and ends', async () => {
  const bytes = await readFile(bundle)
  const options = {
    upstreams: [{ name: 'reg.test', url: 'https://registry.invalid' }],
    offline: true,
    dataDir: join(dir.path, 'site'),
  }
  for (const part of PARTS) {
    const site = await startLarder(options)
    await assertWholeOrAbsent(site)
    await killWhileImporting(site, bytes.subarray(0, Math.floor(part * bytes.length)))
  }
  await using site = await startLarder(options)
  await assertWholeOrAbsent(site)
  const said = await larder(site, 'import', bundle, '--pin', '-o', 'json')
  const [{ addedBytes }] = JSON.parse(said).archives as [{ addedBytes: number }]
  assert.ok(addedBytes < bytes.length / 2, `${addedBytes} bytes were added by the last try`)
  await larder(site, 'check', list, '--hash')
})

test('an import that is killed itself publishes nothing that is not whole', async () => {
  const bytes = await readFile(bundle)
  const upstreams = [{ name: 'reg.test', url: 'https://registry.invalid' }]
  await using site = await startLarder({ upstreams, offline: true })
  for (const part of PARTS) {
    await using importing = importOf(site)
    await importing.feed(bytes.subarray(0, Math.floor(part * bytes.length)))
    importing.kill()
    await importing.ended
    await assertWholeOrAbsent(site)
  }
  await larder(site, 'import', bundle)
  await larder(site, 'check', list, '--hash')
})

async function killWhileImporting(site: RunningLarder, part: Buffer): Promise<void> {
  await using importing = importOf(site)
  await importing.feed(part)
  // What is on its way between the two is less than this.
  await untilKept(site, part.length - 2 * OWN_BYTES - 2 * MIB)
  await site.kill()
  importing.end()
  assert.equal(await importing.ended, 1, 'it says that its server is gone')
}

/** Settles once whole contents of so many bytes are on disk. */
async function untilKept({ dataDir }: RunningLarder, bytes: number): Promise<void> {
  const folder = join(dataDir, 'blobs')
  for (const endsAt = performance.now() + WAIT_MS; performance.now() < endsAt; await delay(10)) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    const sizes = files.map(async ({ parentPath, name }) => stat(join(parentPath, name)))
    const kept = (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0)
    if (kept >= bytes) return
  }
  throw new Error(`waited in vain for ${bytes} bytes`)
}

/** `larder import -`, which gets only what it is fed. */
function importOf(site: RunningLarder) {
  const args = [MAIN, 'import', '-', '--server', site.adminUrl]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => undefined)
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return {
    ended,
    /** Settles once it has taken all of it, but for what a pipe holds. */
    feed: async (part: Buffer) => {
      const taken = new Promise((resolve) => child.stdin.write(part, resolve))
      await Promise.race([taken, ended])
    },
    end: () => child.stdin.end(),
    kill: () => child.kill('SIGKILL'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Each image can be pulled to its last byte, or its tag is not there. */
async function assertWholeOrAbsent(site: RunningLarder): Promise<void> {
  for (const [index, name] of names.entries()) {
    const { status } = await send(site.url, `/v2/reg.test/team/part-${index}/manifests/v1`)
    if (status === 200) await larder(site, 'check', name, '--hash')
    else assert.equal(status, 504, name)
  }
}

function larder(to: RunningLarder, ...args: readonly string[]): Promise<string> {
  return run(process.execPath, [MAIN, ...args, '--server', to.adminUrl])
}
