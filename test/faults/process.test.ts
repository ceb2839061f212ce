/**
 * Larder as a process, of the fault table. Elsewhere, at the same front door:
 *
 * | row | what | where |
 * |---|---|---|
 * | 39 | a configuration that changes, or is bad, during pulls | `test/config/reload.test.ts` |
 * | 40 | a pull that ends within the time for draining is whole | `test/cli/serve.test.ts` |
 * | 40 | killed: it goes on from its part | `test/pull/concurrency.test.ts` |
 */
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { encodedOf } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { stall } from '../support/faults.ts'
import { open, readResponse, received, send } from '../support/http-client.ts'
import { seededBytes } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { samplesOf, sumOf } from '../support/samples.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { AT_ONCE_MS, assertCut, assertWhole, within } from './evidence.ts'

const MIB = 1024 * 1024
const DRAIN_MS = 500

for (const [what, drainTimeout, signals] of [
  ['the time for draining is over', `${DRAIN_MS}ms`, 1],
  ['a second SIGTERM comes', '10m', 2],
] as const) {
  test(`row 40: when ${what}, a pull that does not end is cut, Larder exits with 0, and goes on from there`, async () => {
    await using dir = await makeTempDir()
    await using registry = await new FaultRegistry().start()
    const bytes = seededBytes('row 40', 3 * MIB)
    const digest = registry.content.putBlob('acme/app', bytes)
    const path = `/v2/acme/app/blobs/${digest}`
    const silence = new Barrier()
    registry.script({ path }, stall(2 * MIB, silence), { times: 1 })
    const dataDir = join(dir.path, 'data')
    const upstream = { name: 'test', url: registry.origin, default: true, access: 'public' }
    const options = { upstreams: [upstream], dataDir, server: { drainTimeout } }

    const first = await startLarder(options)
    const client = await open(first.url, path)
    const came = received(client, 2 * MIB)
    const reading = readResponse(client)
    await came
    const ended = within(DRAIN_MS + AT_ONCE_MS, stop(first, signals))
    assertCut(await reading, bytes)
    assert.equal(await ended, 0)
    assert.ok(first.logs().some(({ msg }) => msg === 'stopped'))

    const blobs = await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true })
    assert.deepEqual(
      blobs.filter((one) => one.isFile()),
      [],
    )
    const part = await stat(join(dataDir, 'ingest', `${encodedOf(digest)}.part`))
    assert.equal(part.size, 2 * MIB)

    silence.release()
    await using second = await startLarder(options)
    assertWhole(await send(second.url, path), bytes)
    const ranges = registry.find({ method: 'GET', path }).map(({ headers }) => headers.range)
    assert.deepEqual(ranges, [undefined, `bytes=${2 * MIB}-`])
  })
}

/** While it drains it is not ready, takes nothing new, and can still be asked how it is. */
async function stop(larder: RunningLarder, signals: 1 | 2): Promise<number> {
  const closing = larder.close()
  while (!larder.logs().some(({ msg }) => msg === 'draining')) await setImmediate()
  if (signals === 2) {
    assert.equal((await send(larder.adminUrl, '/readyz')).status, 503)
    assert.equal((await send(larder.adminUrl, '/livez')).status, 200)
    const samples = samplesOf((await send(larder.adminUrl, '/metrics')).body.toString())
    assert.equal(sumOf(samples, 'larder_http_requests_in_flight', { handler: 'blob' }), 1)
    assert.equal(sumOf(samples, 'larder_inflight_fetches'), 1)
    await assert.rejects(send(larder.url, '/v2/'), { code: 'ECONNREFUSED' })
    process.kill(larder.pid, 'SIGTERM')
  }
  return closing
}

test('row 42: what nobody has caught ends it with a line that says so, and the next start is well', async () => {
  await using dir = await makeTempDir()
  await using registry = await new FaultRegistry().start()
  const bytes = seededBytes('row 42', MIB)
  const digest = registry.content.putBlob('acme/app', bytes)
  const path = `/v2/acme/app/blobs/${digest}`
  const upstream = { name: 'test', url: registry.origin, default: true, access: 'public' }
  const options = { upstreams: [upstream], dataDir: join(dir.path, 'data') }
  const bug = 'process.on("SIGUSR2", () => void Promise.reject(new Error("a bug")))'
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const program = [`--import=data:text/javascript,${encodeURIComponent(bug)}`, main]
  const first = await startLarder({ ...options, program })
  assertWhole(await send(first.url, path), bytes)
  process.kill(first.pid, 'SIGUSR2')
  const [line] = await first.logged('ended by a bug: please report it')
  assert.match(JSON.stringify(line), /"message":"a bug"/)
  assert.equal(await first.close(), 1)
  await using second = await startLarder(options)
  assertWhole(await send(second.url, path), bytes)
})
