import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'

import fc from 'fast-check'

import { type Algorithm, type Digest, digestOf } from '../../src/oci/digest.ts'
import { ContentMismatchError } from '../../src/oci/errors.ts'
import { HashThread, HashThreadError } from '../../src/pull/hash-thread.ts'
import { Hashers } from '../../src/pull/hashers.ts'
import { DirectHashing, type Hashing } from '../../src/pull/hashing.ts'
import { seededBytes } from '../support/images.ts'
import { corrupted, depart, MIB, readAll, refusal, sampleBlob } from './flights.ts'
import { runs } from './runs.ts'

const BYTES = seededBytes('hashes', 24 * MIB)
const THAT_ENDS = join(import.meta.dirname, 'hash-loop-that-ends.ts')

const thread = new HashThread((error) => assert.fail(error))
after(() => thread.close())

async function hashAll(hashing: Hashing, bytes: Buffer, pieces: readonly number[]): Promise<void> {
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const piece = Buffer.from(bytes.subarray(at, at + (pieces[i % pieces.length] ?? MIB)))
    await hashing.update(piece)
    at += piece.length
    // What was taken is its owner's again.
    piece.fill(0xdd)
  }
  await hashing.finish()
}

const body = fc.record({
  from: fc.nat(4 * MIB),
  length: fc.oneof(fc.constantFrom(0, 1, 8 * MIB, 20 * MIB), fc.nat(12 * MIB)),
  pieces: fc.array(
    fc.oneof(fc.constantFrom(1 << 16, 1 << 18, MIB, 9 * MIB), fc.integer({ min: 9_999, max: MIB })),
    { minLength: 1, maxLength: 5 },
  ),
  algorithm: fc.constantFrom<Algorithm>('sha256', 'sha512'),
  isWrong: fc.boolean(),
  leaves: fc.boolean(),
})

test('many at once, in pieces of any size: each hash is that of its own bytes', async () => {
  const property = fc.asyncProperty(
    fc.array(body, { minLength: 1, maxLength: 6 }),
    async (bodies) => {
      const verdicts = bodies.map(async ({ from, length, pieces, algorithm, isWrong, leaves }) => {
        const right = BYTES.subarray(from, from + length)
        const hashing = thread.begin(digestOf(right, algorithm))
        if (leaves) {
          await hashing.update(right)
          return hashing.leave()
        }
        const isSpoilt = isWrong && length > 0
        const hashed = hashAll(hashing, isSpoilt ? corrupted(right, length >> 1) : right, pieces)
        if (isSpoilt) await assert.rejects(hashed, ContentMismatchError)
        else await hashed
      })
      await Promise.all(verdicts)
    },
  )
  await fc.assert(property, runs(25))
})

test('what does not fit is waited for, and nothing else is', async () => {
  const { bytes, digest } = sampleBlob(9 * MIB)
  const hashing = thread.begin(digest)
  const small = thread.begin(digestOf(bytes.subarray(0, 5)))
  const waiting = hashing.update(bytes)
  assert.ok(waiting !== undefined, 'the ring is smaller than that')
  await small.update(bytes.subarray(0, 5))
  await Promise.all([small.finish(), waiting.then(() => hashing.finish())])
  assert.equal(thread.begin(digest).update(bytes.subarray(0, MIB)), undefined)
})

test('what is small, or comes before the thread is ready, is hashed at once; one processor has none', async () => {
  const { digest } = sampleBlob(1)
  const failures: Error[] = []
  const onFailed = (error: Error) => void failures.push(error)
  const hashers = new Hashers({ onFailed, processors: 2 })
  assert.ok(hashers.begin(digest, 4 * MIB - 1) instanceof DirectHashing)
  assert.ok(hashers.begin(digest, undefined) instanceof DirectHashing)
  assert.ok(hashers.begin(digest, 4 * MIB) instanceof DirectHashing)
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = setInterval(() => {
    if (!(hashers.begin(digest, 4 * MIB) instanceof DirectHashing)) resolve()
  }, 10)
  await promise
  clearInterval(look)
  await hashers.close()
  assert.ok(hashers.begin(digest, 4 * MIB) instanceof DirectHashing)
  await hashers.close()
  const alone = new Hashers({ onFailed, processors: 1, program: THAT_ENDS })
  assert.ok(alone.begin(digest, 40 * MIB) instanceof DirectHashing)
  assert.deepEqual(failures, [])
})

test('a thread that ends takes its downloads along, and is not begun again', async () => {
  const { promise: failed, resolve } = Promise.withResolvers<Error>()
  const hashers = new Hashers({ onFailed: resolve, processors: 2, program: THAT_ENDS })
  const blob = sampleBlob(12 * MIB)
  let hashing: Hashing = hashers.begin(blob.digest, MIB * 12)
  while (hashing instanceof DirectHashing) {
    await new Promise((done) => setTimeout(done, 10))
    hashing = hashers.begin(blob.digest, MIB * 12)
  }
  const hash = (digest: Digest, size: number | undefined) => {
    const one = hashing
    hashing = hashers.begin(digest, size)
    return one
  }
  const answer = { body: blob.bytes, size: blob.bytes.length, pieceBytes: MIB }
  const made = depart(blob.digest, answer, { hash })
  await made.flight.opened
  await assert.rejects(readAll(made.flight), refusal('UNAVAILABLE', 503))
  await assert.rejects(made.flight.landed, HashThreadError)
  assert.match((await failed).message, /has ended: exit code 3/)
  assert.equal(made.source.offsets.length, 1, 'the registry is not to blame')
  assert.equal(made.ingest.state, 'closed', 'what has come is kept')
  const part = made.ingest.part
  const next = depart(blob.digest, answer, { hash: hashers.begin.bind(hashers), disk: { part } })
  await next.flight.landed
  assert.deepEqual(next.ingest.committed, blob.bytes)
})
