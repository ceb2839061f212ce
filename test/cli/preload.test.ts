import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

import { PreloadRows } from '../../src/cli/preload-rows.ts'
import { Progress } from '../../src/cli/progress.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { attestedIndex, linesOf, PreloadSite } from '../airgap/site.ts'
import { Barrier } from '../support/barrier.ts'
import { answer, stall } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { larder } from './admin.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const MIB = 1024 * 1024
const ONE = 'reg.test/team/app:one'
const TWO = 'reg.test/team/app:two'

async function start(): Promise<PreloadSite> {
  const site = await PreloadSite.start()
  for (const seed of ['one', 'two']) {
    site.registry.add('team/app', buildImage({ seed, layers: [4096] }), seed)
  }
  return site
}

/** @param onDrawn told each time rows are about to be drawn */
function watched(onDrawn: () => void): Terminal {
  return {
    canAsk: false,
    isWatched: true,
    size: () => {
      onDrawn()
      return { columns: 60, rows: 10 }
    },
    ask: () => Promise.reject(new Error('there is nobody to ask')),
  }
}

test('images of a list are fetched, one line each, and summed up', async () => {
  await using site = await start()
  const files = { 'images.txt': `# what we run\n${ONE}\n\n${TWO}\n` }
  const args = ['preload', 'images.txt', '--server', site.app.adminUrl]
  const first = await larder(args, { files })
  assert.equal(first.code, 0, first.stderr)
  assert.match(first.stdout, /^2 images: 2 fetched, 0 unchanged, 0 failed; \d.* fetched, 0 B here/)
  assert.match(first.stderr, /^done {7}reg.test\/team\/app:one {2}4\.\d KiB of 4\.\d KiB$/m)
  const second = await larder(args, { files })
  assert.match(second.stdout, /^2 images: 0 fetched, 2 unchanged, 0 failed; 0 B fetched, /)
})

test('what failed comes last with its reason, and in a file that can be preloaded again', async () => {
  await using site = await start()
  await using dir = await makeTempDir()
  const file = join(dir.path, 'failed.txt')
  const names = [ONE, 'reg.test/team/app:none', 'elsewhere.test/a/b:1']
  const more = ['--failed-out', file, '--server', site.app.adminUrl]
  const { code, stdout } = await larder(['preload', ...names, ...more])
  assert.equal(code, 3)
  const lines = stdout.trimEnd().split('\n')
  assert.deepEqual(lines.slice(1, 3), ['', 'FAILED'])
  assert.deepEqual(
    lines
      .slice(3)
      .map((line) => line.replace(/: .*/, ''))
      .sort(),
    ['elsewhere.test/a/b:1', 'reg.test/team/app:none'],
  )
  assert.deepEqual((await readFile(file, 'utf8')).trimEnd().split('\n').sort(), [
    'elsewhere.test/a/b:1',
    'reg.test/team/app:none',
  ])
})

test('exit codes: registries 5, no room 7, part of the sources 3, no sources 2', async () => {
  await using site = await start()
  const run = (...args: string[]) =>
    larder(['preload', ...args, '--server', site.app.adminUrl], {
      files: { 'broken.yaml': 'kind: [', 'empty.txt': '# none\n' },
    })
  assert.equal((await run(ONE, 'broken.yaml')).code, 3)
  assert.equal((await run('empty.txt')).code, 2)
  assert.equal((await run('no-such.txt')).code, 2)
  assert.equal((await run()).code, 2)
  assert.equal((await run(ONE, '--job', 'base')).code, 2)
  assert.equal((await run(ONE, '--platform', 'amd64')).code, 2)
  assert.equal((await run('--job', 'base')).code, 6)
  site.registry.script({ path: /manifests\/two/ }, answer(403))
  assert.equal((await run(TWO)).code, 5)
  await site.app.restart({ maxBytes: MIB })
  site.registry.add('team/big', buildImage({ layers: [2 * MIB] }), 'v1')
  const full = await larder(['preload', 'reg.test/team/big:v1', '--server', site.app.adminUrl])
  assert.equal(full.code, 7)
})

test('platforms, a dry run and JSON', async () => {
  await using site = await start()
  const { index, arm } = attestedIndex('multi', [8192])
  site.registry.add('team/multi', index, 'v1')
  const name = 'reg.test/team/multi:v1'
  const args = ['preload', name, '--platform', 'linux/arm64', '--server', site.app.adminUrl]
  const dry = await larder([...args, '--dry-run', '-o', 'json'])
  assert.equal(dry.code, 0, dry.stderr)
  assert.match(dry.stderr, /^to fetch +reg\.test\/team\/multi:v1 {2}\d/m)
  const told = JSON.parse(dry.stdout) as { images: { fetchedBytes: number }[] }
  assert.equal(site.registry.countBlobs(), 0)
  const real = await larder([...args, '-o', 'ndjson'])
  const lines = linesOf(real.stdout)
  assert.equal(lines[0]?.event, 'started')
  assert.equal(lines.at(-1)?.event, 'done')
  assert.equal(site.registry.countBlobs(arm.layers[0]?.digest), 1)
  assert.ok((told.images[0]?.fetchedBytes ?? 0) > 8192)
})

test('on a terminal rows are drawn in place and gone in the end', async () => {
  await using site = await start()
  const barrier = new Barrier()
  const big = buildImage({ seed: 'big', layers: [4 * MIB] })
  site.registry.add('team/big', big, 'v1')
  const { digest = '' } = big.layers[0] ?? {}
  site.registry.script({ path: new RegExp(`/blobs/${digest}`) }, stall(2 * MIB, barrier))
  let drawn = 0
  // By then what had come when the barrier was reached has been told.
  const terminal = watched(() => {
    if (barrier.count > 0 && ++drawn === 3) barrier.release()
  })
  const args = ['preload', 'reg.test/team/big:v1', '--server', site.app.adminUrl]
  const { code, stderr } = await larder(args, { terminal })
  assert.equal(code, 0)
  assert.match(stderr, new RegExp(`${digest.slice(0, 19)} {2}\\[#+\\.+\\] {2}\\d`))
  assert.match(stderr, /0 of 1 images, /)
  // The last that is written takes all of it away.
  assert.ok(stderr.endsWith('\u001b[J'))
})

test('rows fit the terminal, whatever is under way', () => {
  let written = ''
  const stderr = { write: (text: string) => (written = text) }
  const size = () => ({ columns: 20, rows: 5 })
  const progress = new Progress({ stderr, isWatched: true, monotonic: () => 0, size })
  const many = Array.from({ length: 9 }, (_, index) => `row ${index} ${'x'.repeat(40)}`)
  progress.showAll(many, 'in all')
  const lines = written.split('\n').map((line) => stripVTControlCharacters(line).trim())
  assert.equal(lines.length, 4)
  assert.ok(lines.every((line) => line.length < 20))
  assert.deepEqual(lines.slice(2), ['… and 7 more', 'in all'])
  progress.showAll(['one'], 'in all')
  // Back to the first of four rows.
  assert.ok(written.startsWith('\r\u001b[3A'))
})

test('the time left is told when all is known', () => {
  const rows = new PreloadRows()
  const at = { bytes: 1024, totalBytes: 3 * 1024, bytesPerSecond: 1024, active: [] }
  rows.image({ image: 'a', state: 'fetching' })
  const unknown = rows.totals({ ...at, images: 3, imagesDone: 1 })
  assert.equal(unknown, '1 of 3 images, 1.0 KiB of 3.0 KiB, 1.0 KiB/s')
  const known = rows.totals({ ...at, images: 2, imagesDone: 1 })
  assert.equal(known, '1 of 2 images, 1.0 KiB of 3.0 KiB, 1.0 KiB/s, 2 s left')
})

test('Ctrl-C ends it with 130, on the server too', async () => {
  await using site = await start()
  const barrier = new Barrier()
  site.registry.script({ path: /\/blobs\// }, stall(16, barrier))
  const args = [MAIN, 'preload', ONE, TWO, '--server', site.app.adminUrl]
  const child = spawn(process.execPath, args, { stdio: 'ignore', env: {} })
  await barrier.arrived(1)
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  assert.equal(code, 130)
  const ended = await site.app.said(({ action }) => action === 'preload')
  assert.deepEqual(ended['result'], { complete: false })
  barrier.release()
})
