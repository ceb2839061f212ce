/**
 * Bodies that stand, drip, break off or lie, rows 3 to 8 of the fault table. Elsewhere:
 *
 * | row | what | where |
 * |---|---|---|
 * | 4 | a body that drips each time is given up | `test/pull/flight.test.ts` |
 * | 5 to 8 | whatever is cut where, and whoever asks for which part: a property | `test/pull/faults.test.ts` |
 * | 6 to 8 | each lie, to ranges and HEAD, and of manifests | `test/pull/faults.test.ts` |
 * | 5 | a registry that ignores ranges | `test/api/downloads.test.ts`, 39 |
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'

import fc from 'fast-check'

import { runs } from '../pull/runs.ts'
import { allLanded, type PutBlob, putBlob, type Site, startSite } from '../pull/site.ts'
import type { LogLine } from '../support/app.ts'
import { Barrier } from '../support/barrier.ts'
import {
  chunked,
  closeDelimited,
  corrupt,
  cut,
  type Fault,
  lieAboutLength,
  resize,
  stall,
} from '../support/faults.ts'
import { open, readResponse, received } from '../support/http-client.ts'
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
import { putImage, TAG } from './image.ts'

const MIB = 1024 * 1024
/** Two chunks that are sent as they come, and one that is held back until the hash is right. */
const SIZE = 2 * MIB + 7

test('row 3: a body that stands still is gone on with by a Range, and its client notices nothing', async () => {
  await using site = await startSlow()
  const { registry, app } = site
  const blob = putBlob(site, SIZE)
  const silence = new Barrier()
  registry.script({ path: blob.path }, stall(MIB + 5, silence), { times: 1 })
  assertWhole(await within(AT_ONCE_MS, app.get(blob.path)), blob.bytes)
  assert.deepEqual(rangesOf(site, blob), [undefined, `bytes=${MIB + 5}-`])
  await assertCounted(app, {
    upstream_resumes_total: 1,
    upstream_retries_total: 0,
    'requests_total{result="miss"}': 1,
    'fetched_bytes_total{type="blob"}': SIZE,
  })
  await assertKept(site, { digests: [blob.digest] })
  silence.release()
})

test('row 3: a body that stands still each time is given up after four more, cut, and gone on with later', async () => {
  await using site = await startSlow()
  const { registry, app } = site
  const blob = putBlob(site, SIZE)
  const silence = new Barrier()
  registry.script({ path: blob.path }, stall(MIB + 5, silence), { times: 1 })
  registry.script({ path: blob.path }, stall(0, silence))
  const both = Promise.all([app.get(blob.path), app.get(blob.path)])
  for (const got of await within(4 * AT_ONCE_MS, both)) assertCut(got, blob.bytes)
  const rest = `bytes=${MIB + 5}-`
  assert.deepEqual(rangesOf(site, blob), [undefined, rest, rest, rest, rest])
  await assertCounted(app, {
    upstream_resumes_total: 4,
    'requests_total{result="error"}': 2,
    inflight_fetches: 0,
  })
  await assertKept(site, { parts: [blob.digest] })
  silence.release()
  registry.clearScripts()
  registry.forget()
  assertWhole(await app.get(blob.path), blob.bytes)
  assert.deepEqual(rangesOf(site, blob), [rest], 'what had come is not asked for again')
  await assertKept(site, { digests: [blob.digest] })
})

test('row 4: a body that drips for two minutes is cut and gone on with over another connection', async (t) => {
  const skip = skipTime(t)
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const blob = putBlob(site, SIZE)
  const drops = [new Barrier(), new Barrier()] as const
  const fault = [stall(70_000, drops[0]), stall(70_001, drops[1])]
  registry.script({ path: blob.path }, fault, { times: 1 })
  const answer = await open(app.url, blob.path)
  const came = received(answer, 70_000)
  const reading = readResponse(answer)
  await came
  skip(121_000)
  drops[0].release()
  assertWhole(await within(AT_ONCE_MS, reading), blob.bytes)
  assert.deepEqual(rangesOf(site, blob), [undefined, 'bytes=70001-'])
  await assertCounted(app, { upstream_resumes_total: 1, 'requests_total{result="miss"}': 1 })
  await assertKept(site, { digests: [blob.digest] })
  drops[1].release()
})

test('row 4: a body that takes two minutes at a rate that will do is let go on', async (t) => {
  const skip = skipTime(t)
  await using site = await startSite({ registry: OPEN })
  const blob = putBlob(site, 3 * MIB + 7)
  const pause = new Barrier()
  site.registry.script({ path: blob.path }, stall(2 * MIB, pause), { times: 1 })
  const answer = await open(site.app.url, blob.path)
  const came = received(answer, 2 * MIB)
  const reading = readResponse(answer)
  await came
  skip(121_000)
  pause.release()
  assertWhole(await within(AT_ONCE_MS, reading), blob.bytes)
  assert.equal(site.registry.countBlobs(), 1)
  await assertCounted(site.app, { upstream_resumes_total: 0 })
})

test('row 5: wherever a body breaks off, its client gets all of it, and each byte is asked for once', async () => {
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  let resumes = 0
  let count = 0
  const kept: PutBlob[] = []
  const by = fc.constantFrom('fin' as const, 'rst' as const)
  const cuts = fc.array(fc.record({ length: fc.nat(SIZE - 1), by }), { minLength: 1, maxLength: 3 })
  const property = fc.asyncProperty(cuts, async (all) => {
    const blob = putBlob(site, SIZE, `row 5, ${++count}`)
    for (const { length, by } of all) {
      registry.script({ path: blob.path }, cut(length, by), { times: 1 })
    }
    const both = Promise.all([app.get(blob.path), app.get(blob.path, { range: 'bytes=-9' })])
    const [whole, end] = await within(2 * AT_ONCE_MS, both)
    assertWhole(whole, blob.bytes)
    assert.equal(end.status, 206)
    assert.ok(end.complete && end.body.equals(blob.bytes.subarray(-9)))
    await allLanded(site)
    const asked = rangesOf(site, blob)
    resumes += asked.length - 1
    // A cut behind the end of what was still missing is none; a reset may take bytes with it.
    assert.ok(asked.length >= 2 && asked.length <= all.length + 1, `${asked}`)
    let sent = 0
    for (const [i, range] of asked.entries()) {
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1])
      const isOrderly = all.slice(0, i).every(({ by }) => by === 'fin')
      assert.ok(isOrderly ? from === sent : from <= sent, `${range} after ${sent}`)
      sent = from + (all[i]?.length ?? 0)
    }
    // What is left is right, and asked for no more.
    assertWhole(await app.get(blob.path), blob.bytes, 'hit')
    assert.equal(rangesOf(site, blob).length, asked.length)
    kept.push(blob)
    registry.clearScripts()
  })
  await fc.assert(property, runs(10))
  await assertCounted(app, { upstream_resumes_total: resumes, 'requests_total{result="error"}': 0 })
  await assertKept(site, { digests: kept.map(({ digest }) => digest) })
})

/** How the end of a body is told, and what Larder has to do when it comes too early. */
const FRAMINGS = [
  ['Content-Length', undefined],
  ['chunks', chunked()],
  ['the end of the connection', closeDelimited()],
] as const
/** The last two: all but the last byte, and all of them, but not what says that they are all. */
const CUTS = [0, 1, MIB, SIZE - 1, SIZE]

for (const [framing, fault] of FRAMINGS) {
  for (const by of ['fin', 'rst'] as const) {
    test(`row 6: a body with ${framing} that ends too early (${by}) is never taken for whole, and is completed`, async () => {
      await using site = await startSite({ registry: OPEN })
      const { registry, app } = site
      const blobs = CUTS.map((position) => ({ position, ...putBlob(site, SIZE, position) }))
      for (const { position, path } of blobs) {
        const faults = [...(fault === undefined ? [] : [fault]), cut(position, by)]
        registry.script({ path }, faults, { times: 1 })
      }
      const all = blobs.map(async (blob) => {
        assertWhole(await app.get(blob.path), blob.bytes)
      })
      await within(2 * AT_ONCE_MS, Promise.all(all))
      await assertKept(site, { digests: blobs.map(({ digest }) => digest) })
      // A reset may take bytes with it that were sent before: where it goes on is not foreseen.
      if (by === 'fin') {
        const asked = blobs.map((blob) => rangesOf(site, blob))
        assert.deepEqual(asked, expectedRanges(framing))
        await assertCounted(app, COUNTED[framing])
      }
      await assertCounted(app, { 'requests_total{result="miss"}': CUTS.length })
    })
  }
}

const COUNTED = {
  'Content-Length': counted(CUTS.length - 1, 0, 0),
  // All bytes are here and nothing says so: that nothing comes after them is not what it announced.
  chunks: counted(CUTS.length - 1, 0, 1),
  // Only the hash tells: nobody has read of it, so it is asked for once more, from the start.
  'the end of the connection': counted(0, CUTS.length - 1, 0),
} as const

function counted(resumes: number, digests: number, sizes: number) {
  return {
    upstream_resumes_total: resumes,
    'upstream_errors_total{reason="digest_mismatch"}': digests,
    'upstream_errors_total{reason="size_mismatch"}': sizes,
  }
}

function expectedRanges(framing: keyof typeof COUNTED): (string | undefined)[][] {
  return CUTS.map((position) => {
    const rest = position === 0 ? undefined : `bytes=${position}-`
    if (framing === 'the end of the connection') {
      return position === SIZE ? [undefined] : [undefined, undefined]
    }
    if (position < SIZE) return [undefined, rest]
    return framing === 'chunks' ? [undefined, rest, undefined] : [undefined]
  })
}

test('row 6: what the manifest says of its size tells a short body from a whole one', async () => {
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const { manifest, layer } = putImage(site, SIZE)
  assertWhole(await app.get(TAG), manifest.bytes)
  registry.script({ path: layer.path }, [closeDelimited(), cut(SIZE - 1)], { times: 1 })
  assertWhole(await within(AT_ONCE_MS, app.get(layer.path)), layer.bytes)
  assert.deepEqual(rangesOf(site, layer), [undefined, `bytes=${SIZE - 1}-`])
  await assertCounted(app, {
    upstream_resumes_total: 1,
    'upstream_errors_total{reason="reset"}': 1,
  })
  const digests = [manifest.digest, layer.digest]
  await assertKept(site, { digests, manifests: 1, tags: 1 })
})

test('row 7: a wrong digest that nobody has seen is asked for once more, counted, and forgotten', async () => {
  await using site = await startSite({ registry: OPEN })
  const blob = putBlob(site, 1000)
  site.registry.script({ path: blob.path }, corrupt(-1), { times: 1 })
  assertWhole(await within(AT_ONCE_MS, site.app.get(blob.path)), blob.bytes)
  assert.deepEqual(rangesOf(site, blob), [undefined, undefined])
  await assertCounted(site.app, {
    'upstream_errors_total{reason="digest_mismatch"}': 1,
    'requests_total{result="miss"}': 1,
  })
  await assertKept(site, { digests: [blob.digest] })
})

for (const [what, size, position] of [
  ['of one chunk', 1000, 0],
  ['of several chunks, at its start', SIZE, 0],
  ['of several chunks, at its last byte', SIZE, -1],
] as const) {
  test(`row 7: a wrong digest each time, in a blob ${what}, completes nobody's pull and leaves nothing`, async () => {
    await using site = await startSite({ registry: OPEN })
    const { registry, app } = site
    const blob = putBlob(site, size)
    // All but its last byte is here before that comes: enough, if it were given away.
    const last = new Barrier()
    registry.script({ path: blob.path }, [corrupt(position), stall(size - 1, last)])
    const pull = within(AT_ONCE_MS, app.get(blob.path))
    await app.until('larder_fetched_bytes_total', size - 1, { type: 'blob' })
    for (let i = 0; i < 5; i++) await app.samples()
    last.release()
    const got = await pull
    if (size <= MIB) {
      assertRefused(got, 502, 'UPSTREAM_FAILED')
      assert.match(got.body.toString(), /not what their digest says/)
    } else {
      assert.equal(got.complete, false)
      assert.equal(got.body.length, 2 * MIB, 'the chunk with the last byte is held back')
    }
    // What somebody has begun to read cannot be begun anew.
    const asked = size <= MIB ? 2 : 1
    assert.equal(registry.countBlobs(), asked)
    // The client is told before the operators are.
    await assertKept(site)
    await assertCounted(app, {
      'upstream_errors_total{reason="digest_mismatch"}': asked,
      'requests_total{result="error"}': 1,
      integrity_checks_total: 0,
    })
    const isIts = (line: LogLine) => line['level'] === 'warn' && line['digest'] === blob.digest
    const warning = await app.said(isIts)
    assert.equal(warning['upstream'], 'test')
    registry.clearScripts()
    assertWhole(await app.get(blob.path), blob.bytes)
    await assertKept(site, { digests: [blob.digest] })
  })
}

interface WrongLength {
  readonly fault: Fault | readonly Fault[]
  readonly reason: 'digest_mismatch' | 'size_mismatch'
}

const WRONG_LENGTHS: Readonly<Record<string, WrongLength>> = {
  'announces more than it sends': { fault: lieAboutLength(10), reason: 'size_mismatch' },
  'announces less than it sends': { fault: lieAboutLength(-10), reason: 'digest_mismatch' },
  'is consistently too long': { fault: resize(10), reason: 'digest_mismatch' },
  'is consistently too short': { fault: resize(-10), reason: 'digest_mismatch' },
  'is too long, in chunks': { fault: [resize(10), chunked()], reason: 'digest_mismatch' },
  'is too short, in chunks': { fault: [resize(-10), chunked()], reason: 'digest_mismatch' },
}

for (const [what, { fault, reason }] of Object.entries(WRONG_LENGTHS)) {
  test(`row 8: a registry whose body ${what} completes nobody's pull and leaves nothing`, async () => {
    for (const size of [1000, SIZE]) {
      await using site = await startSite({ registry: OPEN })
      const { registry, app } = site
      const blob = putBlob(site, size)
      registry.script({ path: blob.path }, fault)
      const got = await within(AT_ONCE_MS, app.get(blob.path))
      assert.ok(got.status === 502 || !got.complete, `${got.status}`)
      if (got.status === 502) assertRefused(got, 502, 'UPSTREAM_FAILED')
      assert.ok(size > MIB || got.status === 502, 'of a small blob nothing is sent')
      await assertKept(site)
      const asked = registry.countBlobs()
      assert.ok(asked <= 4, `${asked} times`)
      const mismatches = await app.metric('larder_upstream_errors_total', { reason })
      assert.ok(mismatches >= 1 && mismatches <= 2, `${mismatches} of ${reason}`)
      await assertCounted(app, { 'requests_total{result="error"}': 1 })
      registry.clearScripts()
      assertWhole(await app.get(blob.path), blob.bytes)
      await assertKept(site, { digests: [blob.digest] })
    }
  })
}

/** Does not wait for a body that stands still. */
function startSlow(): Promise<Site> {
  return startSite({ registry: OPEN, upstream: { limits: { idleTimeoutMs: 150 } } })
}

/** What was asked for of a blob, in order; `undefined`: all of it. */
function rangesOf({ registry }: Site, { path }: PutBlob): (string | undefined)[] {
  return registry.find({ method: 'GET', path }).map(({ headers }) => headers.range)
}

/** @returns makes monotonic time pass that nobody waits for */
function skipTime(t: TestContext): (milliseconds: number) => void {
  const { now } = performance
  let skipped = 0
  t.mock.method(performance, 'now', () => now.call(performance) + skipped)
  return (milliseconds) => {
    skipped += milliseconds
  }
}
