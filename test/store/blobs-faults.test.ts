import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, statSync } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import type { BlobStore } from '../../src/store/ports.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const BYTES = randomBytes(5000)
const DIGEST = digestOf(BYTES)

const WAYS = {
  put: (blobs: BlobStore) => blobs.put(DIGEST, BYTES),
  commit: async (blobs: BlobStore) => {
    const ingest = await blobs.ingest(DIGEST)
    try {
      const rest = BYTES.subarray(ingest.size)
      await ingest.append([rest.subarray(0, 1000)])
      await ingest.append([rest.subarray(1000)])
      await ingest.commit()
      await ingest.close()
    } catch (error) {
      await ingest.discard()
      throw error
    }
  },
} as const

for (const way of ['put', 'commit'] as const) {
  for (const mode of ['once', 'from then on'] as const) {
    test(`a ${way} whose nth operation fails, ${mode}, stores all or nothing, and can be repeated`, async () => {
      for (let failAt = 1, isDone = false; !isDone; failAt++) {
        await using dir = await makeTempDir()
        const blobs = await FileBlobs.open({ path: dir.path })
        let count = 0
        const hook = () => {
          count++
          if (mode === 'once' ? count === failAt : count >= failAt) throw systemError('ENOSPC')
        }
        let isStored = false
        {
          using _ = await interceptFiles(hook)
          await WAYS[way](blobs).then(
            () => {
              isStored = true
            },
            (error: unknown) => assert.match(String(error), /ENOSPC: injected/),
          )
        }
        isDone = count < failAt
        if (isDone) assert.ok(isStored)
        const size = await blobs.stat(DIGEST)
        assert.ok(size === BYTES.length || (size === undefined && !isStored))
        const left = await readdir(join(dir.path, 'ingest'))
        if (mode === 'once') assert.ok(left.every((name) => name.endsWith('.part')))
        const again = await FileBlobs.open({ path: dir.path })
        await WAYS[way](again)
        assert.deepEqual(await again.read(DIGEST, 5000), BYTES)
        if (isDone) assert.ok(failAt > 8, `${failAt} operations`)
      }
    })
  }
}

test('a part whose fsync failed is not kept to be resumed', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  const ingest = await blobs.ingest(DIGEST)
  await ingest.append([BYTES])
  {
    using _ = await interceptFiles((operation) => {
      if (operation === 'sync') throw systemError('EIO')
    })
    await assert.rejects(ingest.commit(), /EIO/)
  }
  await ingest.close()
  assert.deepEqual(await blobs.listParts(), [])
  assert.equal(await blobs.stat(DIGEST), undefined)
})

test('a part that an interrupted commit made read-only is resumed', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  const first = await blobs.ingest(DIGEST)
  await first.append([BYTES])
  await first.close()
  const [name = ''] = await readdir(join(dir.path, 'ingest'))
  chmodSync(join(dir.path, 'ingest', name), 0o444)
  // The superuser may write to anything, so the kernel would not refuse it in every test run.
  using _ = await interceptFiles((operation, path) => {
    if (operation !== 'open' || path === undefined || !path.endsWith('.part')) return
    if ((statSync(path).mode & 0o200) === 0) throw systemError('EACCES')
  })
  const second = await blobs.ingest(DIGEST)
  assert.equal(second.size, 5000)
  await second.commit()
  await second.close()
  assert.equal(await blobs.stat(DIGEST), 5000)
})

test('short writes and short reads are gone on with', async () => {
  await using dir = await makeTempDir()
  const blobs = await FileBlobs.open({ path: dir.path })
  using _ = await limitTransfers(777)
  const ingest = await blobs.ingest(DIGEST)
  await ingest.append([BYTES.subarray(0, 10), BYTES.subarray(10, 2000), BYTES.subarray(2000)])
  assert.equal(ingest.size, 5000)
  assert.deepEqual(await ingest.read(1, 4999), BYTES.subarray(1))
  await ingest.discard()
})

/** Makes every read and write of this process move at most `bytes`. */
async function limitTransfers(bytes: number): Promise<Disposable> {
  const handle = await open('/dev/null')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const { read, writev } = prototype
  const readSome = function (this: FileHandle, ...args: [Buffer, number, number, number]) {
    const [into, offset, length, position] = args
    return Reflect.apply(read, this, [into, offset, Math.min(length, bytes), position])
  }
  const writeSome = function (this: FileHandle, buffers: Buffer[], position: number) {
    return Reflect.apply(writev, this, [buffers.slice(0, 1).map(firstOf), position])
  }
  const firstOf = (buffer: Buffer) => buffer.subarray(0, bytes)
  Object.assign(prototype, { read: readSome, writev: writeSome })
  const restore = () => void Object.assign(prototype, { read, writev })
  return { [Symbol.dispose]: restore }
}
