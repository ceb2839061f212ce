import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'

import { run } from '../../src/cli/run.ts'
import { statsCommand } from '../../src/cli/stats.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { ARM, PreloadSite } from '../airgap/site.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { larder } from './admin.ts'

async function start(): Promise<PreloadSite> {
  const site = await PreloadSite.start()
  const image = buildImage({ seed: 'one', layers: [50_000] })
  site.registry.add('team/app', image, 'v1')
  const arm = buildImage({ seed: 'arm', platform: ARM })
  site.registry.add('team/app', buildIndex([image, arm]), 'both')
  for (let i = 0; i < 4; i++) await site.pull('team/app', image, 'v1')
  await site.preload(['reg.test/team/app:both'], { platforms: ['linux/amd64'] })
  // By hand, and so with all its platforms.
  await site.post('/pins', { references: ['reg.test/team/app:both'] })
  await site.app.metric('larder_requests_total')
  return site
}

/** Runs `stats --watch` against `url`, until it has paused so many times. */
async function watch(url: string, isWatched: boolean, pauses: number, ...args: readonly string[]) {
  let written = ''
  let paused = 0
  const nobody = () => Promise.reject(new Error('there is nobody to ask'))
  const size = () => ({ columns: 120, rows: 40 })
  const terminal: Terminal = { canAsk: false, isWatched, size, ask: nobody }
  const stdout = { write: (text: string) => (written += text) }
  const io = { env: {}, cwd: '/', stdout, stderr: stdout }
  const signals = new Set<AbortSignal>()
  const command = statsCommand(io, terminal, async (ms, signal) => {
    signals.add(signal)
    assert.equal(ms, 2_000)
    if (++paused < pauses) return
    // As Ctrl-C does, and it is not waited any longer.
    process.emit('SIGINT', 'SIGINT')
    await new Promise(() => {})
  })
  const listeners = process.listenerCount('SIGINT')
  const parsing = command.exitOverride().parseAsync(['--watch', '--server', url, ...args], {
    from: 'user',
  })
  await assert.rejects(parsing, { name: 'ExitError', exitCode: 130 })
  assert.equal(process.listenerCount('SIGINT'), listeners)
  assert.ok([...signals].every(({ aborted }) => aborted))
  return written
}

test('it says what the cache is good for, how full it is, and whether pins are complete', async () => {
  await using site = await start()
  const { code, stdout, stderr } = await larder(['stats', '--server', site.app.adminUrl])
  assert.equal(code, 0, stderr)
  const lines = Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, 11).trimEnd(), line.slice(11)]),
  )
  assert.match(lines['up'] ?? '', /^\d+ s, since 20.*Z, version 0\.0\.0-test$/)
  assert.match(lines['requests'] ?? '', /^16, .*hit \d+/)
  assert.match(lines['hit ratio'] ?? '', /^\d\d\.\d % of requests, \d\d\.\d % of bytes$/)
  assert.match(lines['served'] ?? '', /^\d+ KiB$/)
  assert.match(lines['fetched'] ?? '', /^\d+ KiB, \d+ B of it by preloads$/)
  assert.match(lines['saved'] ?? '', /^\d+ KiB$/)
  assert.match(lines['now'] ?? '', /^16 requests, \d\d\.\d % hits; \d+ KiB served, \d+ KiB saved$/)
  assert.equal(lines['24 h'], lines['now'])
  assert.match(lines['disk'] ?? '', /^5\d KiB of 1\.0 GiB \(0\.0 %\), .* free$/)
  assert.match(lines['content'] ?? '', /^4 blobs, 2 manifests, 2 tags$/)
  assert.match(lines['pins'] ?? '', /^0 complete, 1 incomplete \(\d+ B missing\), 5\d KiB$/)
  const json = await larder(['stats', '-o', 'json', '--server', site.app.adminUrl])
  assert.equal(JSON.parse(json.stdout).pins.incomplete, 1)
})

test('without a server there are no requests to tell of', async () => {
  await using site = await start()
  await site.app.restart({}, async () => {
    const { code, stdout } = await larder(['stats', '--data-dir', site.app.dataDir])
    assert.equal(code, 0)
    assert.deepEqual(stdout.match(/^\w+/gm), ['disk', 'content', 'pins'])
  })
  const args = ['stats', '--watch', '--data-dir', site.app.dataDir]
  assert.equal((await larder(args)).code, 2)
})

test('--watch writes one block over the other on a terminal, until Ctrl-C', async () => {
  await using site = await start()
  const written = await watch(site.app.adminUrl, true, 3)
  const blocks = stripVTControlCharacters(written).match(/^up .*$/gm)
  assert.equal(blocks?.length, 3)
  const up = '\u001b[10A'
  assert.equal(written.split(up).length - 1, 2, 'the second and third begin where the first did')
  assert.ok(written.endsWith('\n'))
})

test('--watch elsewhere writes one block after the other, and JSON a line each', async () => {
  await using site = await start()
  const text = await watch(site.app.adminUrl, false, 2)
  assert.equal(text.match(/^pins /gm)?.length, 2)
  assert.ok(!text.includes('\u001b'))
  const json = await watch(site.app.adminUrl, true, 2, '-o', 'json')
  const reports = json
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    reports.map(({ requests }) => requests.total),
    [16, 16],
  )
})

test('a server that is not there is exit 1 at once, watched or not', async () => {
  const io = { env: {}, cwd: '/', stdout: { write() {} }, stderr: { write() {} } }
  for (const more of [[], ['--watch']]) {
    const args = ['node', 'larder', 'stats', '--server', 'http://127.0.0.1:1', ...more]
    assert.equal(await run(args, io), 1)
  }
})
