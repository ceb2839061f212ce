import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'

import { type Digest, digestOf, EMPTY_SHA256 } from '../../src/oci/digest.ts'
import type { BlobStore } from '../../src/store/ports.ts'

/** A store of the test's own, gone at the end. */
export interface TestBlobStore extends AsyncDisposable {
  readonly blobs: BlobStore
}

/** What every blob store does, whatever it keeps its bytes in. */
export function testBlobStore(name: string, createStore: () => Promise<TestBlobStore>): void {
  const contract = (sentence: string, run: (blobs: BlobStore) => Promise<void>) =>
    test(`${name}: ${sentence}`, async () => {
      await using store = await createStore()
      await run(store.blobs)
    })

  contract('what is not here is undefined', async (blobs) => {
    const { digest } = sample(10)
    assert.equal(await blobs.stat(digest), undefined)
    assert.equal(await blobs.open(digest), undefined)
    assert.equal(await blobs.read(digest, 100), undefined)
    assert.deepEqual(await scanned(blobs), new Map())
  })

  for (const algorithm of ['sha256', 'sha512'] as const) {
    contract(`what is put under a ${algorithm} digest is there, whole`, async (blobs) => {
      const bytes = randomBytes(5000)
      const digest = digestOf(bytes, algorithm)
      await blobs.put(digest, bytes)
      assert.equal(await blobs.stat(digest), 5000)
      assert.deepEqual(await blobs.read(digest, 5000), bytes)
      assert.deepEqual(await scanned(blobs), new Map([[digest, 5000]]))
    })
  }

  contract('put again is no error, together or in turn', async (blobs) => {
    const { digest, bytes } = sample(100)
    await Promise.all([blobs.put(digest, bytes), blobs.put(digest, bytes)])
    await blobs.put(digest, bytes)
    assert.deepEqual(await blobs.read(digest, 100), bytes)
  })

  contract(
    'what is staged is there once it is committed, whoever stores the same',
    async (blobs) => {
      const { digest, bytes } = sample(3000)
      const [one, other, third] = await Promise.all([1, 2, 3].map(() => blobs.stage(3000)))
      for (const staged of [one, other, third]) {
        await staged?.append([bytes.subarray(0, 7), bytes.subarray(7, 9)])
        await staged?.append([bytes.subarray(9)])
        assert.equal(staged?.size, 3000)
      }
      assert.equal(await blobs.stat(digest), undefined)
      await third?.discard()
      assert.equal(await blobs.stat(digest), undefined)
      await Promise.all([one?.commit(digest), other?.commit(digest)])
      await one?.discard()
      assert.deepEqual(await blobs.read(digest, 3000), bytes)
      assert.deepEqual(await scanned(blobs), new Map([[digest, 3000]]))
    },
  )

  contract('content with no bytes is content', async (blobs) => {
    await blobs.put(EMPTY_SHA256, Buffer.alloc(0))
    assert.equal(await blobs.stat(EMPTY_SHA256), 0)
    assert.deepEqual(await blobs.read(EMPTY_SHA256, 0), Buffer.alloc(0))
  })

  contract('read gives nothing that is larger than asked for', async (blobs) => {
    const { digest, bytes } = sample(100)
    await blobs.put(digest, bytes)
    assert.equal(await blobs.read(digest, 99), undefined)
  })

  contract('an open blob reads exactly what is asked for, and not past its end', async (blobs) => {
    const { digest, bytes } = sample(3000)
    await blobs.put(digest, bytes)
    const blob = await blobs.open(digest)
    assert.ok(blob)
    assert.equal(blob.size, 3000)
    assert.deepEqual(await blob.read(0, 3000), bytes)
    assert.deepEqual(await blob.read(2999, 1), bytes.subarray(2999))
    assert.deepEqual(await blob.read(17, 0), Buffer.alloc(0))
    await assert.rejects(blob.read(2999, 2))
    await assert.rejects(blob.read(5000, 1))
    await blob.close()
  })

  contract('a read under way when the blob is closed still gives its bytes', async (blobs) => {
    const { digest, bytes } = sample(2_000_000)
    await blobs.put(digest, bytes)
    const blob = await blobs.open(digest)
    assert.ok(blob)
    const [read] = await Promise.all([blob.read(0, 2_000_000), blob.close()])
    assert.ok(read.equals(bytes))
    await assert.rejects(blob.read(0, 1))
    await blob.close()
  })

  contract('an open blob is readable after it was deleted', async (blobs) => {
    const { digest, bytes } = sample(3000)
    await blobs.put(digest, bytes)
    const blob = await blobs.open(digest)
    assert.ok(blob)
    await blobs.delete(digest)
    assert.equal(await blobs.stat(digest), undefined)
    assert.deepEqual(await blob.read(0, 3000), bytes)
    await blob.close()
  })

  contract('to delete or quarantine what is not here is no error', async (blobs) => {
    const { digest } = sample(10)
    await blobs.delete(digest)
    await blobs.quarantine(digest)
  })

  contract('what is quarantined is not here, and can be stored again', async (blobs) => {
    const { digest, bytes } = sample(10)
    await blobs.put(digest, bytes)
    await blobs.quarantine(digest)
    assert.equal(await blobs.stat(digest), undefined)
    assert.deepEqual(await scanned(blobs), new Map())
    await blobs.put(digest, bytes)
    assert.equal(await blobs.stat(digest), 10)
  })

  contract('a download is here once it is committed, and not before', async (blobs) => {
    const { digest, bytes } = sample(3000)
    const ingest = await blobs.ingest(digest)
    assert.equal(ingest.digest, digest)
    assert.equal(ingest.size, 0)
    await ingest.append([bytes.subarray(0, 1000), bytes.subarray(1000, 1000)])
    await ingest.append([bytes.subarray(1000, 1001), bytes.subarray(1001)])
    assert.equal(ingest.size, 3000)
    assert.equal(await blobs.stat(digest), undefined)
    assert.deepEqual(await scanned(blobs), new Map())
    await ingest.commit()
    assert.equal(await blobs.stat(digest), 3000)
    assert.deepEqual(await ingest.read(0, 3000), bytes, 'readers of the download go on')
    await ingest.close()
    assert.deepEqual(await blobs.read(digest, 3000), bytes)
  })

  contract('a download reads what is written so far, and not more', async (blobs) => {
    const { digest, bytes } = sample(3000)
    const ingest = await blobs.ingest(digest)
    await ingest.append([bytes.subarray(0, 2000)])
    assert.deepEqual(await ingest.read(500, 1500), bytes.subarray(500, 2000))
    await assert.rejects(ingest.read(500, 1501))
    await ingest.discard()
  })

  contract('a download that was closed is resumed with its bytes', async (blobs) => {
    const { digest, bytes } = sample(3000)
    const first = await blobs.ingest(digest)
    await first.append([bytes.subarray(0, 1234)])
    await first.close()
    const second = await blobs.ingest(digest)
    assert.equal(second.size, 1234)
    assert.deepEqual(await second.read(0, 1234), bytes.subarray(0, 1234))
    await second.append([bytes.subarray(1234)])
    await second.commit()
    await second.close()
    assert.deepEqual(await blobs.read(digest, 3000), bytes)
  })

  contract('a download that is reset starts at 0', async (blobs) => {
    const { digest, bytes } = sample(3000)
    const ingest = await blobs.ingest(digest)
    await ingest.append([randomBytes(5000)])
    await ingest.reset()
    assert.equal(ingest.size, 0)
    await ingest.append([bytes])
    await ingest.commit()
    await ingest.close()
    assert.deepEqual(await blobs.read(digest, 5000), bytes)
  })

  contract('a download that is discarded leaves nothing', async (blobs) => {
    const { digest, bytes } = sample(3000)
    const ingest = await blobs.ingest(digest)
    await ingest.append([bytes])
    await ingest.discard()
    assert.equal(await blobs.stat(digest), undefined)
    const again = await blobs.ingest(digest)
    assert.equal(again.size, 0)
    await again.discard()
  })

  contract('discard after a commit only closes', async (blobs) => {
    const { digest, bytes } = sample(30)
    const ingest = await blobs.ingest(digest)
    await ingest.append([bytes])
    await ingest.commit()
    await ingest.discard()
    assert.deepEqual(await blobs.read(digest, 30), bytes)
  })

  contract('a scan finds everything once', async (blobs) => {
    const samples = Array.from({ length: 150 }, (_, index) => sample(index))
    await Promise.all(samples.map(({ digest, bytes }) => blobs.put(digest, bytes)))
    const expected = new Map(samples.map(({ digest, bytes }) => [digest, bytes.byteLength]))
    assert.deepEqual(await scanned(blobs), expected)
  })
}

function sample(length: number): { readonly digest: Digest; readonly bytes: Buffer } {
  const bytes = randomBytes(length)
  return { digest: digestOf(bytes), bytes }
}

async function scanned(blobs: BlobStore): Promise<Map<Digest, number>> {
  const found = new Map<Digest, number>()
  for await (const digests of blobs.digests()) {
    for (const digest of digests) {
      assert.ok(!found.has(digest), `${digest} twice`)
      found.set(digest, (await blobs.stat(digest)) ?? -1)
    }
  }
  return found
}
