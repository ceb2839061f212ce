import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'

import { digestOf } from '../../src/oci/digest.ts'
import { ChunkCache } from '../../src/store/chunks.ts'
import { Barrier } from '../support/barrier.ts'

const A = digestOf(Buffer.from('a'))
const B = digestOf(Buffer.from('b'))
const KIB = 1024

const never = () => Promise.reject(new Error('loaded again'))

test('a chunk is loaded once, then found', async () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  const chunk = randomBytes(KIB)
  assert.equal(cache.peek(A, 3), undefined)
  assert.equal(await cache.get(A, 3, async () => chunk), chunk)
  assert.equal(cache.peek(A, 3), chunk)
  assert.equal(await cache.get(A, 3, never), chunk)
  assert.equal(cache.peek(A, 2), undefined)
  assert.equal(cache.peek(B, 3), undefined)
})

test('those who ask for one chunk at once share one load', async () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  const barrier = new Barrier()
  const chunk = randomBytes(KIB)
  const load = async () => {
    await barrier.wait()
    return chunk
  }
  const asked = Array.from({ length: 50 }, () => cache.get(A, 0, load))
  await barrier.arrived()
  barrier.release()
  assert.deepEqual(new Set(await Promise.all(asked)), new Set([chunk]))
  assert.equal(barrier.count, 1)
})

test('a failed load fails all who wait for it, and the next loads anew', async () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  const barrier = new Barrier()
  const failing = async () => {
    await barrier.wait()
    throw new Error('EIO')
  }
  const asked = Array.from({ length: 5 }, () => cache.get(A, 0, failing))
  barrier.release()
  const outcomes = await Promise.allSettled(asked)
  assert.deepEqual(new Set(outcomes.map(({ status }) => status)), new Set(['rejected']))
  assert.equal(barrier.count, 1)
  const chunk = randomBytes(KIB)
  assert.equal(await cache.get(A, 0, async () => chunk), chunk)
})

test('the least recently used chunk goes first, and a peek is a use', () => {
  const cache = new ChunkCache({ maxBytes: 2 * KIB })
  cache.put(A, 0, randomBytes(KIB))
  cache.put(A, 1, randomBytes(KIB))
  cache.peek(A, 0)
  cache.put(B, 0, randomBytes(KIB))
  assert.ok(cache.peek(A, 0))
  assert.equal(cache.peek(A, 1), undefined)
  assert.equal(cache.bytes, 2 * KIB)
})

test('a chunk that is larger than the cache is given and not kept', async () => {
  const cache = new ChunkCache({ maxBytes: KIB })
  cache.put(A, 1, randomBytes(KIB))
  const large = randomBytes(KIB + 1)
  assert.equal(await cache.get(A, 0, async () => large), large)
  assert.equal(cache.peek(A, 0), undefined)
  assert.ok(cache.peek(A, 1), 'and drives nothing out')
})

test('a cache of no bytes keeps nothing', async () => {
  const cache = new ChunkCache({ maxBytes: 0 })
  const chunk = randomBytes(KIB)
  assert.equal(await cache.get(A, 0, async () => chunk), chunk)
  assert.equal(cache.peek(A, 0), undefined)
  assert.equal(cache.bytes, 0)
})

test('tiny chunks do not fill memory with records about them', () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  for (let index = 0; index < 100; index++) cache.put(A, index, randomBytes(1))
  const kept = Array.from({ length: 100 }, (_, index) => cache.peek(A, index))
  assert.equal(kept.filter((chunk) => chunk !== undefined).length, 10)
})

test('a small view does not keep the memory behind it', () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  const slab = Buffer.allocUnsafeSlow(KIB * KIB)
  cache.put(A, 0, slab.subarray(5, 10))
  const kept = cache.peek(A, 0)
  assert.deepEqual(kept, slab.subarray(5, 10))
  assert.equal(kept?.buffer.byteLength, 5)
})

test('a dropped blob is forgotten, others are not', () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  for (let index = 0; index < 4; index++) cache.put(A, index, randomBytes(KIB))
  cache.put(B, 0, randomBytes(KIB))
  cache.drop(A)
  for (let index = 0; index < 4; index++) assert.equal(cache.peek(A, index), undefined)
  assert.ok(cache.peek(B, 0))
  assert.equal(cache.bytes, KIB)
  cache.drop(A)
})

test('a load that was under way when its blob was dropped is not kept', async () => {
  const cache = new ChunkCache({ maxBytes: 10 * KIB })
  const barrier = new Barrier()
  const damaged = randomBytes(KIB)
  const asked = cache.get(A, 0, async () => {
    await barrier.wait()
    return damaged
  })
  cache.drop(A)
  const whole = randomBytes(KIB)
  const fresh = cache.get(A, 0, async () => whole)
  barrier.release()
  assert.equal(await asked, damaged)
  assert.equal(await fresh, whole)
  assert.equal(cache.peek(A, 0), whole)
})

test('whatever is asked, put, dropped and failed, a chunk is its own bytes, within the bound', async () => {
  const digests = [A, B, digestOf(Buffer.from('c'))]
  const digest = fc.constantFrom(...digests)
  const index = fc.nat(5)
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant('get' as const), digest, index) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('fail' as const), digest, index) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('put' as const), digest, index) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('drop' as const), digest, index) },
  )
  const chunkOf = (of: string, at: number) => Buffer.from(`${of}#${at}`.padEnd(600 + at * 300))
  const run = async (
    steps: readonly (readonly ['get' | 'fail' | 'put' | 'drop', typeof A, number])[],
  ) => {
    const cache = new ChunkCache({ maxBytes: 6 * KIB })
    const asked: Promise<unknown>[] = []
    for (const [action, of, at] of steps) {
      if (action === 'drop') cache.drop(of)
      else if (action === 'put') cache.put(of, at, chunkOf(of, at))
      else {
        const load = async () => {
          await Promise.resolve()
          if (action === 'fail') throw new Error('EIO')
          return chunkOf(of, at)
        }
        const checked = cache.get(of, at, load).then(
          (chunk) => assert.deepEqual(chunk, chunkOf(of, at)),
          (error: unknown) => assert.equal((error as Error).message, 'EIO'),
        )
        asked.push(checked)
      }
      assert.ok(cache.bytes <= 6 * KIB)
      if (asked.length % 3 === 0) await Promise.resolve()
    }
    await Promise.all(asked)
    assert.ok(cache.bytes <= 6 * KIB)
    for (const of of digests) cache.drop(of)
    assert.equal(cache.bytes, 0, 'every chunk that is kept can be dropped')
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), run), { numRuns: 300 })
})
