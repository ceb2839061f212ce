import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { digestOf } from '../../src/oci/digest.ts'
import { Bandwidth } from '../../src/upstream/bandwidth.ts'
import { seededBytes } from '../support/images.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import { AS_LARDER, createClient, REPOSITORY } from './client.ts'

const KIB = 1024
const BYTES = seededBytes('bandwidth', 96 * KIB)

/** 16 KiB a second by a clock that only sleepers move, the one that wakes first before the others. */
function createBandwidth() {
  const time = { now: 0 }
  interface Sleeper {
    readonly until: number
    readonly wake: () => void
    readonly signal: AbortSignal | undefined
  }
  const sleepers: Sleeper[] = []
  const sleep = async (delayMs: number, signal?: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    signal?.addEventListener('abort', () => reject(signal.reason))
    sleepers.push({ until: time.now + delayMs, wake: resolve, signal })
    await promise
  }
  const bandwidth = new Bandwidth({ bytesPerSecond: 16 * KIB, elapsed: () => time.now, sleep })
  /** Lets time pass until `pending` has settled. */
  const pass = async <T>(pending: Promise<T>): Promise<T> => {
    let isSettled = false
    pending
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => {
        isSettled = true
      })
    while (!isSettled) {
      for (let i = 0; i < 5; i++) await setImmediate()
      sleepers.sort((one, other) => one.until - other.until)
      const next = sleepers.shift()
      if (next !== undefined) time.now = Math.max(time.now, next.until)
      next?.wake()
    }
    return await pending
  }
  return { bandwidth, time, sleepers, pass }
}

function source(bytes = BYTES): Readable {
  const pieces = Array.from({ length: bytes.length / (8 * KIB) }, (_, index) =>
    bytes.subarray(index * 8 * KIB, (index + 1) * 8 * KIB),
  )
  return Readable.from(pieces, { objectMode: false })
}

test('a body comes whole and no faster than allowed, but for a second at first', async () => {
  const { bandwidth, time, pass } = createBandwidth()
  const { body, heldMs } = bandwidth.limit(source())
  assert.deepEqual(await pass(buffer(body)), BYTES)
  assert.equal(time.now, 5_000)
  assert.equal(heldMs(), 5_000)
})

test('silence saves up no more than a second', async () => {
  const { bandwidth, time, pass } = createBandwidth()
  time.now = 3_600_000
  await pass(buffer(bandwidth.limit(source()).body))
  assert.equal(time.now, 3_605_000)
})

test('several bodies share it, and each gets on', async () => {
  const { bandwidth, time, pass } = createBandwidth()
  const ends: number[] = []
  const read = async () => {
    assert.deepEqual(await buffer(bandwidth.limit(source()).body), BYTES)
    ends.push(time.now)
  }
  await pass(Promise.all([read(), read()]))
  const [first = 0, last] = ends
  assert.equal(last, 11_000, 'together they take as long as one of their size')
  assert.ok(first > 8_000, `the first took ${first} ms: it had its share, and no more`)
})

test('a body that is let go ends its source, and waits for nothing', async () => {
  const { bandwidth, sleepers } = createBandwidth()
  const from = source()
  const { body } = bandwidth.limit(from)
  body.resume()
  while (sleepers.length === 0) await setImmediate()
  body.destroy()
  await finished(from).catch(() => undefined)
  assert.equal(from.destroyed, true)
  assert.equal(sleepers[0]?.signal?.aborted, true)
})

test('a source that breaks breaks the body with the same error', async () => {
  const { bandwidth, pass } = createBandwidth()
  const problem = new Error('broken')
  const from = source()
  const { body } = bandwidth.limit(from)
  body.once('data', () => from.destroy(problem))
  await assert.rejects(pass(buffer(body)), problem)
})

test('blobs of an upstream are limited together, and nothing else is', async () => {
  await using server = await new ScriptedServer(() => ({ status: 200, body: BYTES })).start()
  await using client = createClient(server.origin, { limits: { bandwidth: 16 * KIB } })
  const options = { ...AS_LARDER, offset: 0 }
  const open = () => client.registry.openBlob(REPOSITORY, digestOf(BYTES), options)
  const [one, other] = [await open(), await open()]
  assert.equal(one.size, BYTES.length)
  assert.deepEqual(await buffer(one.body), BYTES)
  assert.deepEqual(await buffer(other.body), BYTES)
  assert.equal(Math.max(...client.delays), 11_000, 'the clock stands: what both owe adds up')
  assert.ok((one.heldMs?.() ?? 0) > 0 && (other.heldMs?.() ?? 0) > 0)
  const { length } = client.delays
  await client.registry.headBlob(REPOSITORY, digestOf(BYTES), AS_LARDER)
  assert.equal(client.delays.length, length)
  await using free = createClient(server.origin)
  const unlimited = await free.registry.openBlob(REPOSITORY, digestOf(BYTES), options)
  assert.deepEqual(await buffer(unlimited.body), BYTES)
  assert.equal(unlimited.heldMs, undefined)
})
