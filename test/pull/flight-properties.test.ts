import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import fc from 'fast-check'

import type { Digest } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { HashThread } from '../../src/pull/hash-thread.ts'
import { DirectHashing, type Hashing } from '../../src/pull/hashing.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import type { Ingest } from '../../src/store/ports.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import type { DiskOperation } from './fake-ingest.ts'
import {
  corrupted,
  depart,
  departInto,
  MIB,
  type SampleBlob,
  sampleBlob,
  type TestFlight,
} from './flights.ts'
import { type Journey, type Passenger, travel } from './passengers.ts'
import { runs } from './runs.ts'
import type { SourceAnswer } from './scripted-source.ts'

const thread = new HashThread((error) => assert.fail(error))
after(() => thread.close())

/** Every second blob on the other thread. */
function hash(digest: Digest): Hashing {
  return digest < 'sha256:8' ? thread.begin(digest) : new DirectHashing(digest)
}

/** Waiting for the disk or a reader, those kept for readers, the one being filled, and a piece. */
const MAX_CHUNKS = 19

const size = fc.oneof(
  fc.constantFrom(0, 1, 2, 65_536, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB, 6 * MIB),
  fc.integer({ min: 0, max: MIB }),
  fc.integer({ min: MIB, max: 6 * MIB }),
  // More than is kept for readers: memory is used again while others read.
  fc.integer({ min: 9 * MIB, max: 14 * MIB }),
)
const share = fc.double({ min: 0, max: 1, noNaN: true })

const passenger: fc.Arbitrary<Passenger> = fc.record({
  comesAfter: fc.nat(60),
  range: fc.option(fc.record({ from: share, to: share }), { nil: undefined }),
  leavesAfter: fc.option(fc.integer({ min: 1, max: 4 * MIB }), { nil: undefined, freq: 3 }),
  stalls: fc.option(fc.oneof(fc.nat(40), fc.constant('until landed' as const)), { nil: undefined }),
})
const passengers = fc.array(passenger, { minLength: 1, maxLength: 8 })

/** How honest answers differ. */
const manner = fc.record({
  announces: fc.boolean(),
  ranges: fc.boolean(),
  pieceBytes: fc.constantFrom(1000 * 7, 64 * 1024, MIB - 1, MIB, 3 * MIB),
  /** Where it breaks off: by an error, or by an end that looks like one. */
  cut: fc.record({ at: share, by: fc.constantFrom('reset' as const, 'end' as const) }),
})
type Manner = typeof manner extends fc.Arbitrary<infer T> ? T : never

function answerOf(body: Buffer, { announces, ranges, pieceBytes, cut }: Manner, isCut: boolean) {
  // Of a body of unknown size an early end cannot be told from the end.
  const by = announces ? cut.by : 'reset'
  return {
    body,
    size: announces ? body.length : undefined,
    ranges,
    pieceBytes: body.length < MIB / 2 ? pieceBytes : Math.max(pieceBytes, 64 * 1024),
    ...(isCut ? { cut: { after: Math.floor(cut.at * body.length), by } } : {}),
  } satisfies SourceAnswer
}

/** Whoever got every byte got right bytes, and every promise has settled. */
async function settle(
  { flight, source }: TestFlight<Ingest | undefined>,
  { bytes }: SampleBlob,
  who: readonly Passenger[],
) {
  const sampling = sampleMemory(flight)
  const journeys = await Promise.all(who.map((one) => travel(flight, one)))
  const landing = await flight.landed.then(
    () => undefined,
    (error: unknown) => error,
  )
  const chunks = await sampling()
  assert.ok(chunks <= MAX_CHUNKS, `${chunks} chunks were in memory`)
  for (const { range, bytes: got, end } of journeys) {
    const isWhole = range.start === 0 && range.end === bytes.length - 1
    // A range that does not reach the end is provisional: only the whole can be verified.
    if (end !== 'complete' || (landing !== undefined && !isWhole)) continue
    assert.ok(got.equals(bytes.subarray(range.start, range.end + 1)), 'wrong bytes, complete')
  }
  for (let i = 0; i < 4; i++) await setImmediate()
  assert.equal(source.open, 0, 'a body was left open')
  return { journeys, landing }
}

function sampleMemory(flight: { readonly chunks: ReadonlyMap<number, Buffer> }) {
  let most = 0
  let isOver = false
  const sampling = (async () => {
    for (; !isOver; await setImmediate()) most = Math.max(most, flight.chunks.size)
  })()
  return async () => {
    isOver = true
    await sampling
    return most
  }
}

/** Nobody was cut. Who came after the landing may have been sent to the store. */
function assertServed(journeys: readonly Journey[], who: readonly Passenger[]) {
  for (const [index, { end, error }] of journeys.entries()) {
    const isLate = end === 'refused' && error === undefined && who[index]?.comesAfter !== 0
    assert.ok(end === 'complete' || end === 'left' || isLate, `${end}: ${error}`)
  }
}

/** Longer than any run takes: what hangs is then a counterexample, with its seed. */
const HANG_MS = 20_000

test('an honest registry, however often it breaks off: everybody gets everything', async () => {
  const breaks = fc.array(manner, { minLength: 1, maxLength: 4 })
  const property = fc.asyncProperty(
    size,
    breaks,
    passengers,
    fc.option(share, { nil: undefined }),
    fc.boolean(),
    async (length, manners, who, partShare, isHinted) => {
      const blob = sampleBlob(length, length)
      const part = blob.bytes.subarray(0, Math.floor((partShare ?? 0) * length))
      const answers = manners.map((one, i) => answerOf(blob.bytes, one, i < manners.length - 1))
      const made = depart(blob.digest, answers, {
        disk: { part },
        sizeHint: isHinted ? length : undefined,
        hash,
      })
      const { journeys, landing } = await settle(made, blob, who)
      assert.equal(landing, undefined)
      assertServed(journeys, who)
      assert.deepEqual(made.ingest.committed, blob.bytes)
      assert.equal(made.ingest.state, 'closed')
    },
  )
  await fc.assert(property, { ...runs(40), timeout: HANG_MS })
})

const lie = fc.constantFrom<(bytes: Buffer) => Buffer>(
  (bytes) => bytes,
  (bytes) => (bytes.length === 0 ? Buffer.from('?') : corrupted(bytes, 0)),
  (bytes) => (bytes.length === 0 ? Buffer.from('?') : corrupted(bytes, -1)),
  (bytes) => (bytes.length === 0 ? Buffer.from('?') : corrupted(bytes, bytes.length >> 1)),
  (bytes) => bytes.subarray(0, -1),
  (bytes) => bytes.subarray(0, bytes.length >> 1),
  (bytes) => Buffer.concat([bytes, Buffer.from('!')]),
  (bytes) => Buffer.concat([bytes, bytes.subarray(0, 100_000)]),
)
const lying = fc.record({
  lie,
  manner,
  isCut: fc.boolean(),
  /** How much more or less than the truth it says. */
  sizeLie: fc.constantFrom(0, 0, 0, 1, -1, MIB),
})

test('a registry that lies: no wrong body completes, nothing wrong is stored', async () => {
  const property = fc.asyncProperty(
    size,
    fc.array(lying, { minLength: 1, maxLength: 3 }),
    passengers,
    fc.option(fc.tuple(lie, share), { nil: undefined }),
    fc.constantFrom(undefined, 0, 1, -1),
    async (length, lies, who, badPart, hintLie) => {
      const blob = sampleBlob(length, length)
      const answers = lies.map((one) => {
        const answer = answerOf(one.lie(blob.bytes), one.manner, one.isCut)
        const said = answer.size === undefined ? undefined : answer.size + one.sizeLie
        return { ...answer, size: said === undefined ? undefined : Math.max(0, said) }
      })
      const [spoil, partShare] = badPart ?? [(bytes: Buffer) => bytes, 0]
      const part = spoil(blob.bytes.subarray(0, Math.ceil(partShare * length)))
      const sizeHint = hintLie === undefined ? undefined : Math.max(0, length + hintLie)
      const made = depart(blob.digest, answers, { disk: { part }, sizeHint, hash })
      const { landing } = await settle(made, blob, who)
      const { committed, state } = made.ingest
      if (landing === undefined) assert.deepEqual(committed, blob.bytes)
      else assert.equal(committed, undefined)
      assert.notEqual(state, 'open')
    },
  )
  await fc.assert(property, runs(60))
})

const operation = fc.constantFrom<DiskOperation>('append', 'read', 'reset', 'commit', 'close')
const failures = fc.array(fc.tuple(operation, fc.integer({ min: 1, max: 4 })), {
  minLength: 1,
  maxLength: 2,
})

test('a disk that refuses at any step: those who read get right bytes, nothing wrong is stored', async () => {
  const property = fc.asyncProperty(
    fc.oneof({ weight: 3, arbitrary: size }, fc.integer({ min: 20 * MIB, max: 26 * MIB })),
    fc.array(manner, { minLength: 1, maxLength: 2 }),
    passengers,
    failures,
    fc.option(fc.tuple(lie, share), { nil: undefined }),
    async (length, manners, who, fails, badPart) => {
      const blob = sampleBlob(length, length % 1000)
      const [spoil, partShare] = badPart ?? [(bytes: Buffer) => bytes, 0]
      const part = spoil(blob.bytes.subarray(0, Math.ceil(partShare * length)))
      const answers = manners.map((one, i) => answerOf(blob.bytes, one, i < manners.length - 1))
      const made = depart(blob.digest, answers, {
        disk: { part, fails: Object.fromEntries(fails) },
        hash,
      })
      // Who stands until the landing would keep it from happening once there is no disk.
      const moving = who.map((one) => ({
        ...one,
        stalls: one.stalls === 'until landed' ? 50 : one.stalls,
      }))
      const { journeys } = await settle(made, blob, moving)
      const { committed, state } = made.ingest
      if (committed !== undefined) assert.deepEqual(committed, blob.bytes)
      assert.notEqual(state, 'open')
      const isReadBroken = fails.some(([kind]) => kind === 'read')
      const cut = journeys.filter(({ end }) => end === 'cut')
      const isBadPart = !blob.bytes.subarray(0, part.length).equals(part)
      if (!isReadBroken && !isBadPart) assert.equal(cut.length, 0, String(cut[0]?.error))
    },
  )
  await fc.assert(property, { ...runs(25), timeout: HANG_MS })
})

test('on a real disk: what is there afterwards is right or absent, and a second flight heals', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  let seed = 0
  const property = fc.asyncProperty(
    size,
    fc.array(lying, { minLength: 1, maxLength: 2 }),
    passengers,
    async (length, lies, who) => {
      const blob = sampleBlob(length, ++seed)
      const answers = lies.map((one) => answerOf(one.lie(blob.bytes), one.manner, one.isCut))
      const first = departInto(await blobs.ingest(blob.digest), blob.digest, answers, { hash })
      const { landing } = await settle(first, blob, who)
      const stored = await blobs.read(blob.digest, 16 * MIB)
      if (landing !== undefined) assert.equal(stored, undefined)
      else assert.deepEqual(stored, blob.bytes)
      if (stored !== undefined) return blobs.delete(blob.digest)
      const good = { body: blob.bytes, size: blob.bytes.length }
      const second = departInto(await blobs.ingest(blob.digest), blob.digest, good)
      await second.flight.landed
      assert.deepEqual(await blobs.read(blob.digest, 16 * MIB), blob.bytes)
      await blobs.delete(blob.digest)
    },
  )
  await fc.assert(property, runs(25))
})

test('whoever is cut is told in words of the specification', async () => {
  const property = fc.asyncProperty(size, lying, passengers, async (length, one, who) => {
    const blob = sampleBlob(length, 3)
    const answer = answerOf(one.lie(blob.bytes), one.manner, one.isCut)
    const made = depart(blob.digest, answer, { hash })
    const { journeys } = await settle(made, blob, who)
    for (const { end, error } of journeys) {
      if (end === 'cut') assert.ok(error instanceof RegistryError, String(error))
    }
  })
  await fc.assert(property, runs(15))
})
