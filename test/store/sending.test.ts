import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { ContentMismatchError } from '../../src/oci/errors.ts'
import { SharedCheck } from '../../src/store/sending.ts'
import { type CappedSite, DAY, isHere, layerOf, openCappedSite, pullBlob } from './capped-site.ts'
import { flipByte, type Integrity, integrityOf } from './integrity-site.ts'

const MIB = 1024 * 1024
const BYTES = layerOf('sent', 3 * MIB + 77)
const WHOLE = { start: 0, end: BYTES.length - 1 }

/** A blob whose last check is eight days ago. */
async function withOld(
  maxBytes: number,
  run: (site: CappedSite, integrity: Integrity, open: Open) => Promise<void>,
): Promise<void> {
  await using site = await openCappedSite({ cap: 2 ** 30 })
  const integrity = integrityOf(site, { maxBytes })
  const digest = await pullBlob(site, BYTES)
  site.time.now += 8 * DAY
  const open = async () => {
    const row = await site.catalog.getBlob(digest)
    const content = await integrity.shelves.open(digest, row?.verifiedAt)
    assert.ok(content !== undefined)
    return { digest, read: (range = WHOLE) => content.read(range) }
  }
  await run(site, integrity, open)
}

type Content = AsyncGenerator<Buffer, void, undefined>
type Open = () => Promise<{
  readonly digest: Awaited<ReturnType<typeof pullBlob>>
  readonly read: (range?: typeof WHOLE) => Content
}>

/** What came, and what it ended with. */
async function drain(reading: Content): Promise<{ received: Buffer; error: unknown }> {
  const received: Buffer[] = []
  try {
    for await (const piece of reading) received.push(Buffer.from(piece))
    return { received: Buffer.concat(received), error: undefined }
  } catch (error) {
    return { received: Buffer.concat(received), error }
  }
}

for (const maxBytes of [0, 64 * MIB]) {
  const where = maxBytes === 0 ? 'from disk' : 'through the chunk cache'
  for (const at of [0, 2 * MIB, BYTES.length - 1]) {
    test(`byte ${at} is wrong (${where}): nobody gets the last one`, () =>
      withOld(maxBytes, async (site, integrity, open) => {
        const { digest, read } = await open()
        await flipByte(site.path, digest, at)
        const ends = await Promise.all([drain(read()), drain(read()), drain(read())])
        for (const { received, error } of ends) {
          assert.ok(error instanceof ContentMismatchError)
          assert.ok(received.length < BYTES.length)
        }
        assert.deepEqual(integrity.faults, [[digest, 'digest']], 'reported once')
        assert.equal(await isHere(site, digest), false)
      }))
  }

  test(`who reads at his own pace is right as well, and all of them are one check (${where})`, () =>
    withOld(maxBytes, async (_site, integrity, open) => {
      const { digest, read } = await open()
      const slow = read()
      const first = Buffer.from((await slow.next()).value ?? '')
      const fast = await drain(read())
      assert.ok(fast.received.equals(BYTES))
      const rest = await drain(slow)
      assert.ok(Buffer.concat([first, rest.received]).equals(BYTES))
      const last = await drain((await open()).read())
      assert.ok(last.received.equals(BYTES))
      assert.deepEqual(integrity.verified, [digest])
      await integrity.recorder.flush()
      assert.equal(integrity.recorder.isDue(digest, undefined), true, 'nothing is kept in memory')
      assert.deepEqual(integrity.failures, [])
    }))
}

test('chunks in memory do not hide what has become of the file', () =>
  withOld(64 * MIB, async (site, integrity, open) => {
    const { digest, read } = await open()
    for (let index = 0; index * MIB < BYTES.length; index++) {
      integrity.chunks.put(
        digest,
        index,
        Buffer.from(BYTES.subarray(index * MIB, (index + 1) * MIB)),
      )
    }
    await flipByte(site.path, digest, 3 * MIB)
    assert.ok((await drain(read())).error instanceof ContentMismatchError)
  }))

test('a reader that is left before the end neither verifies nor condemns', () =>
  withOld(0, async (site, integrity, open) => {
    const { digest, read } = await open()
    const reading = read()
    await reading.next()
    await reading.return()
    assert.deepEqual(integrity.verified, [])
    assert.ok(await isHere(site, digest))
    assert.ok((await drain(read())).received.equals(BYTES))
    assert.deepEqual(integrity.verified, [digest])
  }))

test('what is found to be damaged meanwhile is cut off, and comes not back to memory', () =>
  withOld(64 * MIB, async (site, integrity, open) => {
    const { digest, read } = await open()
    const part = read({ start: 5, end: BYTES.length - 1 })
    await part.next()
    await flipByte(site.path, digest, 3 * MIB)
    await integrity.checker.check(
      { digest, size: BYTES.length, verifiedAt: site.time.now - 8 * DAY },
      { signal: new AbortController().signal },
    )
    assert.deepEqual(integrity.faults, [[digest, 'digest']])
    assert.ok((await drain(part)).error instanceof ContentMismatchError)
    await setImmediate()
    for (let index = 0; index < 5; index++) {
      assert.equal(integrity.chunks.peek(digest, index), undefined)
    }
    await pullBlob(site, BYTES)
    const again = await drain((await open()).read())
    assert.ok(again.received.equals(BYTES))
    assert.equal(integrity.faults.length, 1, 'the old readers say nothing of the new file')
  }))

test('pieces that overlap, in any order of readers, are hashed once and without a gap', async () => {
  await using site = await openCappedSite({ cap: 2 ** 30 })
  const digest = await pullBlob(site, BYTES)
  const check = new SharedCheck(digest)
  check.take(0, BYTES.subarray(0, 100))
  check.take(50, BYTES.subarray(50, 300))
  check.take(0, BYTES.subarray(0, 200))
  check.take(300, BYTES.subarray(300))
  assert.equal(check.finish(), true)
  assert.equal(check.finish(), false, 'it was known before')
})
