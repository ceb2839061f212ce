import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { descriptorsOf } from '../load/process.ts'
import { Random } from '../soak/random.ts'
import { Barrier } from '../support/barrier.ts'
import { stall } from '../support/faults.ts'
import { open, readResponse, send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { isAlive, type SiteBlob, WorkerSite } from './site.ts'

const MIB = 2 ** 20
const CLIENTS = 8
const KILLS = 12
/** When which worker is killed; another with `LARDER_TEST_SEED`. */
const SEED = Number(process.env['LARDER_TEST_SEED'] ?? 20261130)

/** What became of pulls while workers were killed. */
interface Outcome {
  whole: number
  cut: number
  wrong: number
}

test('workers that are killed again and again: what completes is right, and nothing is left behind', async () => {
  await using site = await WorkerSite.start({ log: { level: 'debug' } })
  const blobs = [3, 11, 17].map((size, index) =>
    site.addBlob(`killed ${index}`, size * MIB + index),
  )
  for (const { path } of blobs) await send(site.larder.url, path)
  await site.until('larder_inflight_fetches', (count) => count === 0)
  const before = await descriptorsWithFreshWorkers(site)
  const random = new Random(SEED)
  const outcome: Outcome = { whole: 0, cut: 0, wrong: 0 }
  let isOver = false
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    for (let round = 0; !isOver; round++) {
      await pullSome(site, blobs[(client + round) % blobs.length] as SiteBlob, outcome)
    }
  })
  for (let kill = 1; kill <= KILLS; kill++) {
    const pids = site.pids().filter(isAlive)
    const victim = pids[random.below(pids.length)]
    const wholeBefore = outcome.whole + outcome.cut
    if (victim !== undefined) process.kill(victim, 'SIGKILL')
    await site.ready(4 + kill)
    // Some pulls between one kill and the next: as many as come, at no certain moment.
    const enough = wholeBefore + 1 + random.below(2 * CLIENTS)
    while (outcome.whole + outcome.cut < enough) await send(site.larder.url, '/v2/').catch(() => {})
  }
  isOver = true
  await Promise.all(clients)
  assert.equal(outcome.wrong, 0)
  assert.ok(outcome.whole > 0 && outcome.cut > 0, JSON.stringify(outcome))
  assert.equal(site.pids().filter(isAlive).length, 2)
  assert.equal(await site.metric('larder_worker_restarts_total'), 2 + KILLS)
  await idle(site)
  // Nothing is in use any more, so everything may go.
  const leave = { method: 'POST', headers: { 'Content-Type': 'application/json' } }
  const body = JSON.stringify({ upstream: 'docker.io' })
  const purged = await send(site.larder.adminUrl, '/api/v1/purge', { ...leave, body })
  assert.equal(purged.status, 200, purged.body.toString())
  await site.until('larder_store_blobs', (count) => count === 0)
  const left = await descriptorsWithFreshWorkers(site)
  assert.ok(left <= before, `${left} descriptors, ${before} before`)
})

test('workers that are killed while downloads go through them: one download each, and no wrong byte', async () => {
  await using site = await WorkerSite.start()
  const blobs = Array.from({ length: 24 }, (_, index) =>
    site.addBlob(`cold ${index}`, 5 * MIB + index),
  )
  const random = new Random(SEED)
  const outcome: Outcome = { whole: 0, cut: 0, wrong: 0 }
  let isOver = false
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    // Two ask for the same at a time, and each for all.
    for (let round = 0; round < blobs.length; round++) {
      const at = (round + 3 * (client >> 1)) % blobs.length
      await pullSome(site, blobs[at] as SiteBlob, outcome)
    }
  })
  const killing = (async () => {
    for (let kill = 1; !isOver; kill++) {
      const pids = site.pids().filter(isAlive)
      const victim = pids[random.below(pids.length)]
      if (victim !== undefined) process.kill(victim, 'SIGKILL')
      await site.ready(2 + kill)
      const enough = outcome.whole + outcome.cut + 1 + random.below(CLIENTS)
      while (!isOver && outcome.whole + outcome.cut < enough) {
        await send(site.larder.url, '/v2/').catch(() => {})
      }
    }
  })()
  await Promise.all(clients)
  isOver = true
  await killing
  assert.equal(outcome.wrong, 0)
  assert.ok(outcome.whole > 0, JSON.stringify(outcome))
  await idle(site)
  for (const blob of blobs) {
    const got = await send(site.larder.url, blob.path)
    assert.ok(got.complete && got.body.equals(blob.bytes))
    assert.equal(site.registry.countBlobs(blob.digest), 1)
  }
})

test('a worker that is killed cuts the downloads it relays, and the download itself goes on', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('relayed', 6 * MIB)
  const barrier = new Barrier()
  site.registry.script({ path: /\/blobs\// }, stall(2 * MIB, barrier), { times: 1 })
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => open(site.larder.url, blob.path)),
  )
  const readings = answers.map((answer) => readResponse(answer))
  await barrier.arrived()
  const [victim = 0] = site.pids()
  process.kill(victim, 'SIGKILL')
  await site.ready(3)
  barrier.release()
  const ends = await Promise.all(readings)
  const whole = ends.filter(({ complete }) => complete)
  // Half of them, unless a connection of before was still counted as the first came.
  assert.ok(whole.length > 0 && whole.length < ends.length, `${whole.length} of 6 got all`)
  for (const { body } of whole) assert.ok(body.equals(blob.bytes))
  const again = await send(site.larder.url, blob.path)
  assert.ok(again.body.equals(blob.bytes))
  assert.equal(site.registry.countBlobs(blob.digest), 1)
})

test('when the main process is killed its workers end at once, no short body completes, and the next start has the port', async () => {
  const dir = await makeTempDir('larder-orphans-')
  await using site = await WorkerSite.start({ dataDir: `${dir.path}/data` })
  const blob = site.addBlob('orphan', 48 * MIB)
  await send(site.larder.url, blob.path)
  const answer = await open(site.larder.url, blob.path)
  await once(answer, 'readable')
  const pids = site.pids()
  const { port } = site.larder
  process.kill(site.larder.pid, 'SIGKILL')
  // Read before that, all of it might come: a worker that is quick needs nobody for the rest.
  for (const pid of pids) while (isAlive(pid)) await new Promise(setImmediate)
  const got = await readResponse(answer)
  assert.equal(got.complete, false)
  const socket = connect(port, '127.0.0.1')
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNREFUSED')
  const upstream = { name: 'docker.io', url: site.registry.origin, access: 'public', default: true }
  const server = { workers: 2, listen: `127.0.0.1:${port}` }
  await using again = await startLarder({
    upstreams: [upstream],
    server,
    dataDir: `${dir.path}/data`,
  })
  const warm = await send(again.url, blob.path)
  assert.ok(warm.complete && warm.body.equals(blob.bytes))
  await again.close()
  await dir.remove()
})

async function pullSome(site: WorkerSite, blob: SiteBlob, outcome: Outcome): Promise<void> {
  const got = await send(site.larder.url, blob.path).catch(() => undefined)
  if (got === undefined || !got.complete) outcome.cut++
  else if (got.status === 200 && digestOf(got.body) === blob.digest) outcome.whole++
  else outcome.wrong++
}

/** Of the main process, with no connection that a worker keeps for later. */
async function descriptorsWithFreshWorkers(site: WorkerSite): Promise<number> {
  await idle(site)
  const count = site.pids().length
  for (const pid of site.pids().filter(isAlive)) process.kill(pid, 'SIGKILL')
  await site.ready(count + 2)
  await idle(site)
  return descriptorsOf(site.larder.pid).all
}

async function idle(site: WorkerSite): Promise<void> {
  await site.until('larder_http_requests_in_flight', (count) => count === 0)
}
