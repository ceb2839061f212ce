import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { CHUNK_BYTES } from '../../src/chunk-memory.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { ChunkCache } from '../../src/store/chunks.ts'
import { StoredContent } from '../../src/store/content.ts'
import type { OpenBlob } from '../../src/store/ports.ts'

/** Blobs in memory that count what is asked of them. */
class MemoryBlobs {
  readonly contents = new Map<Digest, Buffer>()
  readonly reads: { readonly position: number; readonly length: number }[] = []
  opened = 0
  closed = 0
  /** Told of each read before it is answered; a failure it throws is that of the read. */
  onRead: (position: number) => Promise<void> | void = () => {}

  add(bytes: Buffer): Digest {
    const digest = digestOf(bytes)
    this.contents.set(digest, bytes)
    return digest
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const bytes = this.contents.get(digest)
    if (bytes === undefined) return undefined
    this.opened++
    return {
      size: bytes.byteLength,
      read: async (position, length, into) => {
        assert.ok(position >= 0 && position + length <= bytes.byteLength)
        this.reads.push({ position, length })
        await this.onRead(position)
        const memory = into ?? Buffer.allocUnsafeSlow(length)
        bytes.copy(memory, 0, position, position + length)
        return memory.byteLength === length ? memory : memory.subarray(0, length)
      },
      close: async () => {
        this.closed++
      },
    }
  }
}

const BLOB = randomBytes(3 * CHUNK_BYTES + 12345)
const BLOBS = [BLOB, randomBytes(BLOB.byteLength), randomBytes(BLOB.byteLength)]

interface SetupOptions {
  readonly bytes?: Buffer
  readonly maxBytes?: number
}

function setup({ bytes = BLOB, maxBytes = 16 * CHUNK_BYTES }: SetupOptions = {}) {
  const blobs = new MemoryBlobs()
  const cache = new ChunkCache({ maxBytes, onFreed: (chunk) => chunk.fill(0xdd) })
  const digest = blobs.add(bytes)
  const content = new StoredContent({ digest, size: bytes.byteLength, blobs, cache })
  return { blobs, cache, digest, content }
}

async function buffersOf(reader: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const buffers: Buffer[] = []
  for await (const buffer of reader) buffers.push(buffer)
  return buffers
}

async function collect(
  content: StoredContent,
  range = { start: 0, end: content.size - 1 },
): Promise<Buffer> {
  const copies: Buffer[] = []
  for await (const buffer of content.read(range)) {
    // A consumer takes its time, and has the buffer until it asks for the next.
    await setImmediate()
    copies.push(Buffer.from(buffer))
  }
  return Buffer.concat(copies)
}

test('a blob is read whole in chunks, once from disk', async () => {
  const { blobs, content } = setup()
  assert.equal(content.size, BLOB.byteLength)
  assert.ok((await collect(content)).equals(BLOB))
  assert.ok((await collect(content)).equals(BLOB))
  assert.deepEqual(
    blobs.reads.map(({ length }) => length),
    [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 12345],
  )
  assert.equal(blobs.closed, blobs.opened)
})

test('readers of one blob at once share its reads and its buffers', async () => {
  const { blobs, content } = setup()
  const readers = Array.from({ length: 20 }, () =>
    buffersOf(content.read({ start: 0, end: content.size - 1 })),
  )
  const buffers = new Set((await Promise.all(readers)).flat())
  assert.equal(buffers.size, 4)
  assert.equal(blobs.reads.length, 4)
})

test('what is one chunk in memory is served without the file', async () => {
  const { blobs, content } = setup({ bytes: BLOB.subarray(0, 2000) })
  await collect(content)
  blobs.contents.clear()
  assert.ok((await collect(content, { start: 10, end: 19 })).equals(BLOB.subarray(10, 20)))
  assert.equal(blobs.opened, 1)
})

test('content with no bytes yields nothing and opens nothing', async () => {
  const { blobs, content } = setup({ bytes: Buffer.alloc(0) })
  assert.deepEqual(await buffersOf(content.read({ start: 0, end: -1 })), [])
  assert.equal(blobs.opened, 0)
})

for (const range of [
  { start: -1, end: 5 },
  { start: 0, end: BLOB.byteLength },
]) {
  test(`bytes ${range.start} to ${range.end} are a bug of the caller`, async () => {
    const { content } = setup()
    await assert.rejects(collect(content, range), RangeError)
  })
}

test('exactly one chunk is read ahead of a slow consumer', async () => {
  const { blobs, content } = setup()
  const reader = content.read({ start: 0, end: content.size - 1 })
  for (const expected of [2, 3, 4, 4]) {
    await reader.next()
    await setImmediate()
    assert.equal(blobs.reads.length, expected)
  }
  assert.equal((await reader.next()).done, true)
})

test('nothing is read beyond the end of a range', async () => {
  const { blobs, content } = setup()
  await collect(content, { start: CHUNK_BYTES - 5, end: 2 * CHUNK_BYTES - 1 })
  await setImmediate()
  assert.deepEqual(
    blobs.reads.map(({ position }) => position),
    [0, CHUNK_BYTES],
  )
})

test('a reader that is left early closes its file', async () => {
  const { blobs, content } = setup()
  for await (const _ of content.read({ start: 0, end: content.size - 1 })) break
  assert.equal(blobs.opened, 1)
  assert.equal(blobs.closed, 1)
})

for (const maxBytes of [16 * CHUNK_BYTES, CHUNK_BYTES]) {
  test(`a failed read ahead that nobody takes harms nobody (cache of ${maxBytes})`, async () => {
    const { blobs, content } = setup({ maxBytes })
    blobs.onRead = (position) => {
      if (position > 0) throw new Error('EIO')
    }
    const reader = content.read({ start: 0, end: content.size - 1 })
    await reader.next()
    await setImmediate() // an unhandled rejection would fail this test
    await reader.return()
    assert.equal(blobs.closed, 1)
  })

  test(`a failed read ends the reader, and the next tries again (cache of ${maxBytes})`, async () => {
    const { blobs, content } = setup({ maxBytes })
    blobs.onRead = (position) => {
      if (position > CHUNK_BYTES) throw new Error('EIO')
    }
    await assert.rejects(collect(content), /EIO/)
    assert.equal(blobs.closed, 1)
    blobs.onRead = () => {}
    assert.ok((await collect(content)).equals(BLOB))
  })
}

test('a file that has gone, or has another length, is an error before the first byte', async () => {
  const { blobs, digest, content } = setup()
  blobs.contents.set(digest, BLOB.subarray(1))
  await assert.rejects(content.read({ start: 0, end: 9 }).next(), /expected 3158073/)
  assert.equal(blobs.closed, 1)
  blobs.contents.clear()
  await assert.rejects(content.read({ start: 0, end: 9 }).next(), /no longer in the store/)
})

test('a reader that was told to stop stops, and closes its file', async () => {
  const { blobs, content } = setup()
  const stop = new AbortController()
  const reader = content.read({ start: 0, end: content.size - 1 }, stop.signal)
  await reader.next()
  stop.abort(new Error('the client left'))
  await assert.rejects(reader.next(), /the client left/)
  assert.equal(blobs.closed, 1)
})

test('a blob that is larger than the cache drives nothing out, and reads no more than asked', async () => {
  const { blobs, cache, content } = setup({ maxBytes: 2 * CHUNK_BYTES })
  const other = digestOf(Buffer.from('hot'))
  cache.put(other, 0, randomBytes(CHUNK_BYTES))
  assert.ok((await collect(content)).equals(BLOB))
  assert.ok(cache.peek(other, 0))
  assert.equal(cache.bytes, CHUNK_BYTES)
  blobs.reads.length = 0
  await collect(content, { start: CHUNK_BYTES - 3, end: CHUNK_BYTES + 3 })
  assert.deepEqual(blobs.reads, [
    { position: CHUNK_BYTES - 3, length: 3 },
    { position: CHUNK_BYTES, length: 4 },
  ])
})

test('what is read again and again, and is never kept for long, is read into the same few buffers', async () => {
  for (const maxBytes of [0, 4 * CHUNK_BYTES]) {
    const { blobs, cache, content } = setup({ maxBytes, bytes: randomBytes(8 * CHUNK_BYTES) })
    const other = randomBytes(4 * CHUNK_BYTES)
    const size = other.byteLength
    const others = new StoredContent({ digest: blobs.add(other), size, blobs, cache })
    const seen = new Set<Buffer>()
    for (let round = 0; round < 5; round++) {
      for (const one of [content, others]) {
        for await (const buffer of one.read({ start: 0, end: one.size - 1 })) seen.add(buffer)
      }
    }
    const most = maxBytes / CHUNK_BYTES + 4
    assert.ok(seen.size <= most, `${seen.size} buffers for 60 reads, where ${most} are enough`)
  }
})

test('what is still being read into is nobody else’s memory, though its reader has gone', async () => {
  const { blobs, content } = setup({ maxBytes: 0 })
  const late = Promise.withResolvers<void>()
  blobs.onRead = (position) => (position === CHUNK_BYTES ? late.promise : undefined)
  const gone = content.read({ start: 0, end: 3 * CHUNK_BYTES - 1 })
  await gone.next()
  await gone.return()
  const reader = content.read({ start: 2 * CHUNK_BYTES, end: 3 * CHUNK_BYTES - 1 })
  const { value } = await reader.next()
  late.resolve()
  await setImmediate()
  assert.ok(value?.equals(BLOB.subarray(2 * CHUNK_BYTES, 3 * CHUNK_BYTES)))
  await reader.return()
})

test('any ranges, at once, with failing reads and any cache, give the true bytes or fail', async () => {
  const edge = fc.constantFrom(0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1)
  const offset = fc.oneof(
    fc.nat(BLOB.byteLength - 1),
    fc.tuple(fc.nat(2), edge).map(([chunk, at]) => chunk * CHUNK_BYTES + at),
    fc.nat(2).map((back) => BLOB.byteLength - 1 - back),
  )
  const scenario = fc.record({
    ranges: fc.array(fc.tuple(offset, offset, fc.nat(2)), { minLength: 1, maxLength: 12 }),
    maxBytes: fc.constantFrom(0, 2 * CHUNK_BYTES, 4 * CHUNK_BYTES, 16 * CHUNK_BYTES),
    failing: fc.array(fc.nat(12), { maxLength: 3 }),
  })
  const run = async ({
    ranges,
    maxBytes,
    failing,
  }: {
    ranges: readonly [number, number, number][]
    maxBytes: number
    failing: readonly number[]
  }) => {
    const { blobs, cache } = setup({ maxBytes })
    // One that fits into the cache drives out another.
    const contents = BLOBS.map((bytes) => {
      const digest = blobs.add(bytes)
      return new StoredContent({ digest, size: bytes.byteLength, blobs, cache })
    })
    let count = 0
    blobs.onRead = async () => {
      const isFailing = failing.includes(count++)
      await setImmediate()
      if (isFailing) throw new Error('EIO')
    }
    const readers = ranges.map(async ([one, two, which]) => {
      const content = contents[which] as StoredContent
      const start = Math.min(one, two)
      const end = Math.max(one, two)
      try {
        const bytes = await collect(content, { start, end })
        const blob = BLOBS[which] as Buffer
        assert.ok(bytes.equals(blob.subarray(start, end + 1)), 'other bytes')
      } catch (error) {
        assert.equal((error as Error).message, 'EIO')
        assert.ok(failing.length > 0)
      }
    })
    await Promise.all(readers)
    assert.equal(blobs.closed, blobs.opened)
    assert.ok(cache.bytes <= maxBytes)
  }
  await fc.assert(fc.asyncProperty(scenario, run), { numRuns: 100 })
})
