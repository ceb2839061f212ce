/**
 * Clients that leave, and clients whose leader fails, rows 33 and 36 of the fault table. Elsewhere:
 *
 * | row | what | where |
 * |---|---|---|
 * | 33 | the leader of many leaves; some of fifty leave | `test/pull/concurrency.test.ts` |
 * | 33 | a reset in the middle of an answer | `test/api/hostile.test.ts` |
 * | 36 | a leader that is refused does not drag down who joined as somebody else | `test/pull/blobs.test.ts` |
 * | 36 | the registry itself goes away | `test/pull/concurrency.test.ts` |
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { allLanded, putBlob, type Site, startSite } from '../pull/site.ts'
import { IMPATIENT } from '../support/app.ts'
import { Barrier } from '../support/barrier.ts'
import { answer, corrupt, cut, type Fault, stall } from '../support/faults.ts'
import { type ClientResponse, open, received } from '../support/http-client.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import {
  AT_ONCE_MS,
  assertCounted,
  assertCut,
  assertKept,
  assertRefused,
  assertWhole,
  OPEN,
  within,
} from './evidence.ts'

const MIB = 1024 * 1024
const SIZE = 5 * MIB + 7
/** Of {@link SIZE}, 60 %. */
const FAILS_AT = 3 * MIB + 5
const JOINERS = 20

test('row 33: a client that hangs up in the middle is let go at once, and its download ends well', async () => {
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const blob = putBlob(site, SIZE)
  const half = new Barrier()
  registry.script({ path: blob.path }, stall(FAILS_AT, half), { times: 1 })
  const client = await open(app.url, blob.path)
  await received(client, MIB)
  client.destroy()
  // Only what was begun for it goes on: the download.
  const left = app.metric('larder_http_requests_in_flight', { handler: 'blob' })
  assert.equal(await within(AT_ONCE_MS, left), 0)
  await assertCounted(app, { inflight_fetches: 1, 'requests_total{type="blob"}': 1 })
  const line = app.logs.find(({ msg }) => msg === 'request')
  assert.equal(line?.['unfinished'], true)
  half.release()
  await assertKept(site, { digests: [blob.digest] })
  assertWhole(await app.get(blob.path), blob.bytes, 'hit')
  assert.equal(registry.countBlobs(), 1)
  await assertCounted(app, {
    'requests_total{result="miss"}': 1,
    'requests_total{result="hit"}': 1,
    'requests_total{result="error"}': 0,
    'fetched_bytes_total{type="blob"}': SIZE,
  })
})

test('row 33: clients that hang up before the first byte are let go, and the next has it all', async () => {
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const blob = putBlob(site, SIZE)
  const silence = registry.hold({ path: blob.path }, { times: 1 })
  const leaving = new AbortController()
  const clients = Array.from({ length: JOINERS }, () =>
    assert.rejects(app.get(blob.path, { signal: leaving.signal }), { name: 'AbortError' }),
  )
  await silence.arrived()
  await app.until('larder_http_requests_in_flight', JOINERS, { handler: 'blob' })
  leaving.abort()
  await Promise.all(clients)
  const left = app.metric('larder_http_requests_in_flight', { handler: 'blob' })
  assert.equal(await within(AT_ONCE_MS, left), 0)
  silence.release()
  await allLanded(site)
  assertWhole(await app.get(blob.path), blob.bytes, 'hit')
  assert.equal(registry.countBlobs(), 1)
  await assertKept(site, { digests: [blob.digest] })
})

test('row 36: a download that breaks off at 60 % goes on for all who have joined it', async () => {
  for (const by of ['fin', 'rst'] as const) {
    const { site, blob, all } = await startJoined([cut(FAILS_AT, by)])
    await using _ = site
    for (const got of await within(2 * AT_ONCE_MS, all)) assertWhole(got, blob.bytes)
    assert.equal(site.registry.countBlobs(), 2)
    await assertCounted(site.app, {
      upstream_resumes_total: 1,
      'requests_total{result="miss"}': 1,
      'requests_total{result="coalesced"}': JOINERS - 1,
    })
    await assertKept(site, { digests: [blob.digest] })
  }
})

test('row 36: a download that breaks off at 60 % for good is a cut for all, and none of them hangs', async () => {
  const { site, blob, all, clock } = await startJoined([cut(FAILS_AT)])
  await using _ = site
  const { registry, app } = site
  registry.script({ path: blob.path }, answer(500))
  // Four attempts with growing patience.
  for (const got of await within(3_000 + AT_ONCE_MS, all)) assertCut(got, blob.bytes)
  await assertCounted(app, {
    'requests_total{result="error"}': JOINERS,
    'upstream_errors_total{reason="http_5xx"}': 4,
    'http_requests_in_flight{handler="blob"}': 0,
  })
  await assertKept(site, { parts: [blob.digest] })
  const next = await within(AT_ONCE_MS, app.get(blob.path))
  assertRefused(next, 502, 'UPSTREAM_FAILED')
  registry.clearScripts()
  clock.skip(10_000)
  assertWhole(await app.get(blob.path), blob.bytes)
  const last = registry.find({ path: blob.path }).at(-1)
  assert.equal(last?.headers.range, `bytes=${FAILS_AT}-`)
  await assertKept(site, { digests: [blob.digest] })
})

test('row 36: a download that was wrong at 60 % is whole for nobody', async () => {
  const { site, blob, all } = await startJoined([corrupt(FAILS_AT)])
  await using _ = site
  for (const got of await within(AT_ONCE_MS, all)) {
    assert.equal(got.complete, false)
    assert.ok(got.body.length <= 5 * MIB, 'the chunk with the last byte is held back')
  }
  assert.equal(site.registry.countBlobs(), 1)
  await assertKept(site)
  await assertCounted(site.app, {
    'upstream_errors_total{reason="digest_mismatch"}': 1,
    'requests_total{result="error"}': JOINERS,
  })
  assertWhole(await site.app.get(blob.path), blob.bytes)
  await assertKept(site, { digests: [blob.digest] })
})

/** Twenty pulls of one blob, which have all begun when the faults come, once. */
async function startJoined(faults: readonly Fault[]) {
  const clock = new SkippingClock()
  const upstream = { limits: IMPATIENT }
  const site: Site = await startSite({ registry: OPEN, upstream, app: { clock } })
  const blob = putBlob(site, SIZE)
  const begun = new Barrier()
  site.registry.script({ path: blob.path }, [stall(MIB, begun), ...faults], { times: 1 })
  const pulls = Array.from({ length: JOINERS }, () => site.app.get(blob.path))
  const all: Promise<readonly ClientResponse[]> = Promise.all(pulls)
  await begun.arrived()
  await site.app.until('larder_http_requests_in_flight', JOINERS, { handler: 'blob' })
  begun.release()
  return { site, blob, all, clock }
}
