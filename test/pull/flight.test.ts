import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { EMPTY_SHA256 } from '../../src/oci/digest.ts'
import { ContentMismatchError } from '../../src/oci/errors.ts'
import { AbandonedError } from '../../src/pull/window.ts'
import { UpstreamError } from '../../src/upstream/errors.ts'
import { Barrier } from '../support/barrier.ts'
import {
  corrupted,
  depart,
  departInto,
  MIB,
  readAll,
  refusal,
  sampleBlob,
  wipingPool,
} from './flights.ts'
import { upstreamError } from './scripted-source.ts'

const SIZES = [0, 1, 2, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 77]

for (const size of SIZES) {
  test(`a blob of ${size} bytes arrives whole, whether or not its size is announced`, async () => {
    for (const announced of [size, undefined]) {
      const { bytes, digest } = sampleBlob(size)
      const { flight, ingest, source } = depart(digest, { body: bytes, size: announced })
      await flight.opened
      assert.equal(flight.size, size)
      assert.deepEqual(await readAll(flight), bytes)
      await flight.landed
      assert.deepEqual(ingest.committed, bytes)
      assert.equal(ingest.state, 'closed')
      assert.equal(flight.isStored, true)
      assert.deepEqual(source.offsets, [0])
    }
  })
}

test('a body of no bytes is refused before anything is said of it', async () => {
  const lying = depart(sampleBlob(1).digest, { body: Buffer.alloc(0), size: 0 })
  await assert.rejects(lying.flight.opened, ContentMismatchError)
  const { flight } = depart(EMPTY_SHA256, { body: Buffer.alloc(0), size: 0 })
  await flight.opened
  assert.equal(flight.isVerified, true)
})

test('all but the last chunk can be read while the download stands', async () => {
  const { bytes, digest } = sampleBlob(3 * MIB)
  const barrier = new Barrier()
  const stall = { after: 3 * MIB - 1, barrier }
  const { flight } = depart(digest, { body: bytes, size: bytes.length, stall, pieceBytes: MIB - 1 })
  await flight.opened
  const early = await readAll(flight, { start: 0, end: 2 * MIB - 1 })
  assert.deepEqual(early, bytes.subarray(0, 2 * MIB))
  await barrier.arrived()
  let isRead = false
  const last = readAll(flight, { start: 2 * MIB, end: 2 * MIB }).then((byte) => {
    isRead = true
    return byte
  })
  for (let i = 0; i < 20; i++) await setImmediate()
  assert.equal(isRead, false)
  barrier.release()
  assert.deepEqual(await last, bytes.subarray(2 * MIB, 2 * MIB + 1))
})

for (const size of [1, 1000, MIB, MIB + 1, 4 * MIB]) {
  for (const [lie, body] of [
    ['a wrong first byte', (bytes: Buffer) => corrupted(bytes, 0)],
    ['a wrong last byte', (bytes: Buffer) => corrupted(bytes, -1)],
    ['one byte less', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['one byte more', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('!')])],
  ] as const) {
    test(`of ${size} bytes with ${lie} nobody gets the whole, and nothing is kept`, async () => {
      const { bytes, digest } = sampleBlob(size)
      const wrong = body(bytes)
      for (const announced of [bytes.length, wrong.length, undefined]) {
        const { flight, ingest } = depart(digest, { body: wrong, size: announced })
        await assert.rejects(flight.opened.then(() => readAll(flight)))
        await assert.rejects(flight.landed)
        assert.equal(ingest.committed, undefined)
        assert.notEqual(ingest.state, 'open')
      }
    })
  }
}

test('what was wrong once, and nobody has seen, is asked for again', async () => {
  for (const lie of [0, 2 * MIB, -1]) {
    const { bytes, digest } = sampleBlob(2 * MIB + 5)
    const { flight, source, ingest, events } = depart(digest, [
      { body: corrupted(bytes, lie), size: bytes.length },
      { body: bytes, size: bytes.length },
    ])
    await flight.landed
    assert.deepEqual(source.offsets, [0, 0])
    assert.deepEqual(ingest.committed, bytes)
    assert.equal(events.mismatched, 1, 'it is told of, though nobody has come to harm')
  }
})

test('a registry that lies twice is not asked a third time', async () => {
  const { bytes, digest } = sampleBlob(100)
  const { flight, source } = depart(digest, { body: corrupted(bytes, 5), size: 100 })
  await assert.rejects(flight.landed, ContentMismatchError)
  assert.deepEqual(source.offsets, [0, 0])
})

test('a first answer that breaks off is resumed where it ended', async () => {
  const { bytes, digest } = sampleBlob(3 * MIB)
  const { flight, source, events, ingest } = depart(digest, [
    { body: bytes, size: bytes.length, cut: { after: MIB + 77, by: 'reset' } },
    { body: bytes, size: bytes.length },
  ])
  await flight.opened
  assert.deepEqual(await readAll(flight), bytes)
  await flight.landed
  assert.deepEqual(source.offsets, [0, MIB + 77])
  assert.equal(events.resumed, 1)
  assert.equal(events.fetched, bytes.length)
  assert.deepEqual(ingest.committed, bytes)
})

test('so is one that ends early as if that were all, where the size is known', async () => {
  const { bytes, digest } = sampleBlob(3 * MIB)
  for (const answer of [
    { size: bytes.length, hint: undefined },
    { size: undefined, hint: bytes.length },
  ]) {
    const { flight, source } = depart(
      digest,
      [
        { body: bytes, size: answer.size, cut: { after: 5, by: 'end' } },
        { body: bytes, size: answer.size },
      ],
      { sizeHint: answer.hint },
    )
    await flight.landed
    assert.deepEqual(source.offsets, [0, 5])
  }
})

test('a registry that sends a byte a connection is given up after fifty', async () => {
  const { bytes, digest } = sampleBlob(MIB)
  const drop = { body: bytes, size: bytes.length, cut: { after: 1, by: 'reset' } } as const
  const { flight, source, ingest } = depart(digest, drop)
  await assert.rejects(flight.landed, UpstreamError)
  assert.equal(source.offsets.length, 51)
  assert.equal(source.offsets.at(-1), 50)
  assert.equal(ingest.state, 'closed')
  assert.equal(source.open, 0)
})

/** Half a second passes until each piece, and another until it is dealt with. */
function slowly(): () => number {
  let now = 0
  return () => {
    now += 500
    return now
  }
}

test('a body that drips is cut and resumed, and given up when that does not help', async () => {
  const { bytes, digest } = sampleBlob(MIB)
  const drip = { body: bytes, size: bytes.length, pieceBytes: 1000 }
  const once = depart(digest, [drip, { ...drip, pieceBytes: MIB }], { elapsed: slowly() })
  await once.flight.landed
  assert.deepEqual(once.source.offsets, [0, 240_000])
  assert.deepEqual(once.delays, [200])
  const ever = depart(digest, drip, { elapsed: slowly() })
  await assert.rejects(ever.flight.landed, { kind: 'timeout', reason: 'too_slow' })
  assert.deepEqual(ever.source.offsets, [0, 240_000, 480_000, 720_000])
  assert.equal(ever.source.open, 0)
})

test('a registry that is not asked for a while is waited for', async () => {
  const { bytes, digest } = sampleBlob(MIB)
  const refuses = new UpstreamError('unreachable', {
    upstream: 'test',
    reason: 'circuit_open',
    message: 'is not asked',
    retryAfterMs: 10_000,
  })
  const whole = { body: bytes, size: bytes.length }
  const answers = [
    { ...whole, cut: { after: 9, by: 'reset' } },
    { ...whole, refuses },
    whole,
  ] as const
  const { flight, delays } = depart(digest, answers)
  await flight.landed
  assert.deepEqual(delays, [100, 10_000])
  await assert.rejects(depart(digest, { ...whole, refuses }).flight.landed, refuses)
})

test('a registry that ignores the range sends again what is here, and it is skipped', async () => {
  const { bytes, digest } = sampleBlob(3 * MIB)
  const { flight, events } = depart(digest, [
    { body: bytes, size: bytes.length, cut: { after: 2 * MIB + 1, by: 'reset' } },
    { body: bytes, size: bytes.length, ranges: false },
  ])
  await flight.opened
  assert.deepEqual(await readAll(flight), bytes)
  await flight.landed
  assert.equal(events.fetched, 2 * MIB + 1 + bytes.length, 'it was fetched all the same')
})

test('a refusal before the first byte is not asked again: the client below has retried', async () => {
  const { digest } = sampleBlob(10)
  for (const kind of ['unknown', 'denied', 'unreachable', 'failed'] as const) {
    const { flight, source } = depart(digest, {
      body: Buffer.alloc(0),
      refuses: upstreamError(kind),
    })
    await assert.rejects(flight.opened, (error) => (error as UpstreamError).kind === kind)
    assert.deepEqual(source.offsets, [0])
  }
})

test('what breaks again and again without a byte is given up, and the part is kept', async () => {
  const { bytes, digest } = sampleBlob(2 * MIB)
  const { flight, source, ingest } = depart(digest, [
    { body: bytes, size: bytes.length, cut: { after: MIB + 3, by: 'reset' } },
    { body: bytes, size: bytes.length, refuses: upstreamError('unreachable') },
  ])
  await flight.opened
  await assert.rejects(readAll(flight), refusal('UPSTREAM_FAILED'))
  await assert.rejects(flight.landed, UpstreamError)
  // One that brought something, then half a minute of ever longer waits.
  assert.equal(source.offsets.length, 12)
  assert.equal(ingest.state, 'closed')
  assert.deepEqual(ingest.part, bytes.subarray(0, MIB + 3))
})

test('a refusal on the way is final', async () => {
  const { bytes, digest } = sampleBlob(2 * MIB)
  const { flight, source } = depart(digest, [
    { body: bytes, size: bytes.length, cut: { after: 5, by: 'reset' } },
    { body: bytes, refuses: upstreamError('denied', 403) },
  ])
  await assert.rejects(flight.landed, (error) => (error as UpstreamError).kind === 'denied')
  assert.deepEqual(source.offsets, [0, 5])
})

test('another size on the way is a lie', async () => {
  const { bytes, digest } = sampleBlob(2 * MIB)
  const { flight } = depart(digest, [
    { body: bytes, size: bytes.length, cut: { after: MIB + 5, by: 'reset' } },
    { body: bytes, size: bytes.length + 1 },
  ])
  await flight.opened
  await assert.rejects(readAll(flight, { start: 0, end: 2 * MIB - 1 }), refusal('UPSTREAM_FAILED'))
})

for (const length of [1, MIB - 1, MIB, MIB + 1, 2 * MIB + 9]) {
  test(`a part of ${length} bytes from an earlier run is gone on with`, async () => {
    const { bytes, digest } = sampleBlob(3 * MIB)
    const disk = { part: bytes.subarray(0, length) }
    const { flight, source, ingest } = depart(digest, { body: bytes, size: bytes.length }, { disk })
    await flight.opened
    assert.deepEqual(await readAll(flight), bytes)
    await flight.landed
    assert.deepEqual(source.offsets, [length])
    assert.deepEqual(ingest.committed, bytes)
  })
}

test('a part that is whole needs no request, where its size is known', async () => {
  const { bytes, digest } = sampleBlob(2 * MIB + 1)
  const answer = { body: bytes, size: bytes.length }
  const { flight, source } = depart(digest, answer, {
    disk: { part: bytes },
    sizeHint: bytes.length,
  })
  await flight.opened
  assert.deepEqual(await readAll(flight), bytes)
  assert.deepEqual(source.offsets, [])
})

for (const [what, part] of [
  ['wrong', (bytes: Buffer) => corrupted(bytes.subarray(0, MIB + 5), 3)],
  ['as long as the blob and wrong', (bytes: Buffer) => corrupted(bytes, 3)],
  ['longer than the blob', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(9)])],
] as const) {
  test(`a part that is ${what} is thrown away`, async () => {
    const { bytes, digest } = sampleBlob(2 * MIB + 1)
    for (const sizeHint of [bytes.length, undefined]) {
      const disk = { part: part(bytes) }
      const answer = { body: bytes, size: bytes.length }
      const { flight, source, ingest } = depart(digest, answer, { disk, sizeHint })
      await flight.landed
      assert.deepEqual(ingest.committed, bytes)
      assert.equal(source.offsets.at(-1), 0)
    }
  })
}

test('a part that cannot be read is started again', async () => {
  const { bytes, digest } = sampleBlob(2 * MIB + 1)
  const disk = { part: bytes.subarray(0, MIB + 5), fails: { read: 2 } }
  const { flight, refusals, source } = depart(digest, { body: bytes, size: bytes.length }, { disk })
  await flight.opened
  assert.deepEqual(await readAll(flight), bytes)
  assert.deepEqual(source.offsets, [0])
  assert.equal(refusals.length, 1)
})

/** Found in review: bytes of a first, wrong attempt that were on their way to a reader. */
test('nobody gets bytes of two attempts', async () => {
  const { bytes, digest } = sampleBlob(3 * MIB)
  const read = new Barrier()
  const disk = { part: corrupted(bytes.subarray(0, 2 * MIB), 0) }
  const { flight, ingest } = depart(
    digest,
    [
      { body: bytes, size: bytes.length },
      { body: bytes, size: bytes.length },
    ],
    { disk },
  )
  const original = ingest.read.bind(ingest)
  await flight.opened
  // The reader's first chunk comes from the disk, and takes longer than the rest of the download.
  ingest.read = async (position, length) => {
    const held = await original(position, length)
    await read.wait()
    return held
  }
  const reading = readAll(flight)
  await Promise.race([flight.landed.catch(() => undefined), read.arrived()])
  for (let i = 0; i < 200; i++) await setImmediate()
  read.release()
  const got = await reading.catch(() => undefined)
  if (got !== undefined) assert.deepEqual(got, bytes)
})

/** Found in review: a wake that was due published what was to be forgotten. */
test('who comes while a wrong attempt is cleared away gets nothing of it', async () => {
  const { bytes, digest } = sampleBlob(3 * MIB + 5)
  const { flight, source, ingest, events } = depart(digest, [
    { body: corrupted(bytes, 0), size: bytes.length },
    { body: bytes, size: bytes.length },
  ])
  const written = new Barrier()
  const append = ingest.append.bind(ingest)
  ingest.append = async (buffers) => {
    await written.wait()
    await append(buffers)
  }
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    while (events.fetched < bytes.length || source.open > 0) await setImmediate()
    const reading = readAll(flight)
    mock.timers.tick(100)
    for (let i = 0; i < 5; i++) await setImmediate()
    written.release()
    assert.ok((await reading).equals(bytes))
    assert.deepEqual(source.offsets, [0, 0])
  } finally {
    mock.timers.reset()
  }
})

test('a download that came to nothing leaves no part', async () => {
  const { bytes, digest } = sampleBlob(10)
  const answer = { body: bytes, refuses: upstreamError('unknown', 404) }
  const { flight, ingest } = depart(digest, answer)
  await assert.rejects(flight.landed)
  assert.equal(ingest.state, 'discarded')
})

for (const fails of [{ append: 1 }, { append: 2 }, { commit: 1 }, { append: 3, reset: 1 }]) {
  test(`a disk that refuses (${JSON.stringify(fails)}) costs the copy, not the pull`, async () => {
    const { bytes, digest } = sampleBlob(20 * MIB)
    const answer = { body: bytes, size: bytes.length, pieceBytes: MIB / 2 }
    const { flight, ingest, refusals } = depart(digest, answer, { disk: { fails } })
    await flight.opened
    assert.deepEqual(await readAll(flight), bytes)
    await flight.landed
    assert.equal(flight.isStored, false)
    await setImmediate()
    assert.equal(ingest.committed, undefined)
    assert.equal(ingest.state, 'discarded')
    assert.ok(refusals.length > 0)
  })
}

test('without a disk the bytes pass through, and memory stays bounded', async () => {
  const { bytes, digest } = sampleBlob(40 * MIB)
  const { flight } = departInto(undefined, digest, {
    body: bytes,
    size: bytes.length,
    pieceBytes: MIB / 2,
  })
  await flight.opened
  let at = 0
  for await (const piece of flight.read({ start: 0, end: bytes.length - 1 })) {
    assert.ok(piece.equals(bytes.subarray(at, at + piece.length)))
    at += piece.length
    assert.ok(flight.chunks.size <= 18, `${flight.chunks.size} chunks`)
  }
  assert.equal(at, bytes.length)
})

test('without a disk and without readers the download is abandoned', async () => {
  const { bytes, digest } = sampleBlob(40 * MIB)
  const { flight, source } = departInto(undefined, digest, { body: bytes, size: bytes.length })
  await assert.rejects(flight.landed, AbandonedError)
  assert.ok(flight.chunks.size <= 18)
  await setImmediate()
  assert.equal(source.open, 0)
})

test('without a disk a reader that stands holds the registry back, and loses nothing', async () => {
  const { bytes, digest } = sampleBlob(40 * MIB)
  const { flight, events } = departInto(undefined, digest, { body: bytes, size: bytes.length })
  await flight.opened
  const reading = flight.read({ start: 0, end: bytes.length - 1 })
  const first = (await reading.next()).value as Buffer
  for (let i = 0; i < 2000; i++) await setImmediate()
  const pieces = [Buffer.from(first)]
  assert.ok(events.fetched < 19 * MIB, `${events.fetched} bytes were fetched`)
  assert.ok(flight.chunks.size <= 18)
  for await (const piece of reading) pieces.push(Buffer.from(piece))
  assert.ok(Buffer.concat(pieces).equals(bytes))
})

test('once the disk has refused and bytes are gone, nobody is let aboard who would need them', async () => {
  const { bytes, digest } = sampleBlob(40 * MIB)
  const barrier = new Barrier()
  const answer = {
    body: bytes,
    size: bytes.length,
    pieceBytes: MIB,
    stall: { after: 30 * MIB, barrier },
  }
  const { flight } = depart(digest, answer, { disk: { fails: { append: 2 } } })
  await flight.opened
  assert.equal(flight.isJoinable, true)
  const first = readAll(flight)
  await barrier.arrived()
  while (flight.chunks.size > 12) await setImmediate()
  assert.equal(flight.isJoinable, false)
  barrier.release()
  assert.ok((await first).equals(bytes))
})

test('a reader far behind is served from the disk, and holds nobody back', async () => {
  const { bytes, digest } = sampleBlob(40 * MIB)
  const { flight, ingest } = depart(digest, { body: bytes, size: bytes.length, pieceBytes: MIB })
  await flight.opened
  const slow = flight.read({ start: 0, end: bytes.length - 1 })
  const first = (await slow.next()).value as Buffer
  await flight.landed
  const pieces = [Buffer.from(first)]
  assert.ok(flight.chunks.size <= 18, `${flight.chunks.size} chunks`)
  assert.equal(ingest.state, 'open')
  for await (const piece of slow) pieces.push(Buffer.from(piece))
  assert.ok(Buffer.concat(pieces).equals(bytes))
  await setImmediate()
  assert.equal(ingest.state, 'closed')
})

test('what others may keep of it is not overwritten; of a large blob they may keep nothing', async () => {
  for (const [size, kept] of [
    [20_000, 1],
    [MIB + 20_000, 2],
    [8 * MIB, 8],
    [8 * MIB + 1, 0],
  ] as const) {
    const { bytes, digest } = sampleBlob(size)
    const pool = wipingPool()
    const { flight, ingest } = depart(digest, { body: bytes, size }, { pool })
    await flight.landed
    assert.equal(ingest.state, 'closed')
    const keepsakes = [...flight.keepsakes.values()]
    assert.equal(keepsakes.length, kept)
    const next = sampleBlob(size, 1)
    await depart(next.digest, { body: next.bytes, size }, { pool }).flight.landed
    if (kept === 0) continue
    assert.ok(Buffer.concat(keepsakes).equals(bytes))
    const memory = keepsakes.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)
    assert.equal(memory, size, 'and it takes no more memory than it is long')
  }
})

test('a reader that leaves does not end the flight', async () => {
  const { bytes, digest } = sampleBlob(4 * MIB)
  const { flight, ingest } = depart(digest, { body: bytes, size: bytes.length })
  await flight.opened
  for await (const _ of flight.read({ start: 0, end: bytes.length - 1 })) break
  await flight.landed
  assert.deepEqual(ingest.committed, bytes)
})

test('a reader whose signal aborts ends, and only that one', async () => {
  const { bytes, digest } = sampleBlob(2 * MIB)
  const barrier = new Barrier()
  const stall = { after: MIB, barrier }
  const { flight } = depart(digest, { body: bytes, size: bytes.length, stall })
  await flight.opened
  const controller = new AbortController()
  const gone = (async () => {
    for await (const _ of flight.read({ start: 0, end: bytes.length - 1 }, controller.signal));
  })()
  const stays = readAll(flight)
  await barrier.arrived()
  controller.abort(new Error('the client has gone'))
  await assert.rejects(gone, /the client has gone/)
  barrier.release()
  assert.deepEqual(await stays, bytes)
})

test('a flight that is stopped keeps its part, and its readers end', async () => {
  const { bytes, digest } = sampleBlob(4 * MIB)
  const barrier = new Barrier()
  const stall = { after: 2 * MIB + MIB / 2, barrier }
  const { flight, ingest, source } = depart(digest, { body: bytes, size: bytes.length, stall })
  await flight.opened
  const reading = readAll(flight)
  await barrier.arrived()
  flight.stop()
  await assert.rejects(reading)
  await assert.rejects(flight.landed)
  barrier.release()
  assert.equal(ingest.state, 'closed')
  assert.deepEqual(ingest.part, bytes.subarray(0, ingest.part.length))
  assert.ok(ingest.part.length >= 2 * MIB)
  await setImmediate()
  assert.equal(source.open, 0)
})

test('a flight that is stopped before its answer came reads nothing of it', async () => {
  const { bytes, digest } = sampleBlob(4 * MIB)
  const answered = new Barrier()
  const { flight, source, events } = depart(digest, {
    body: bytes,
    size: bytes.length,
    hold: answered,
  })
  await answered.arrived()
  flight.stop()
  answered.release()
  await assert.rejects(flight.landed, /stopping/)
  assert.equal(events.fetched, 0)
  await setImmediate()
  assert.equal(source.open, 0)
})
