import assert from 'node:assert/strict'
import { type FileHandle, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'
import fc from 'fast-check'

import type { Digest } from '../../src/oci/digest.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import {
  type CappedSite,
  DAY,
  HUB,
  isHere,
  layerOf,
  openCappedSite,
  pullBlob,
  pullManifest,
} from './capped-site.ts'
import {
  cutFile,
  flipByte,
  type Integrity,
  type IntegrityOptions,
  integrityOf,
  pathOf,
} from './integrity-site.ts'

const MIB = 1024 * 1024
const MONTH = 31 * DAY

interface ScrubSite {
  readonly site: CappedSite
  readonly integrity: Integrity
}

async function withSite(
  run: (site: ScrubSite) => Promise<void>,
  options: Partial<IntegrityOptions> = {},
): Promise<void> {
  await using site = await openCappedSite({ cap: 2 ** 30 })
  await run({ site, integrity: integrityOf(site, { maxBytes: 64 * MIB, ...options }) })
}

async function checkedAt({ catalog }: CappedSite, digest: Digest): Promise<number | undefined> {
  return (await catalog.getBlob(digest))?.verifiedAt
}

test('a pass checks what is due, and writes down when', () =>
  withSite(async ({ site, integrity }) => {
    const old = await pullBlob(site, layerOf('old', 3 * MIB + 5))
    const then = site.time.now
    site.time.now += 20 * DAY
    const recent = await pullBlob(site, layerOf('recent', 1000))
    site.time.now += 11 * DAY
    await integrity.scrub.pass()
    assert.deepEqual(integrity.verified, [old])
    assert.equal(await checkedAt(site, old), site.time.now)
    assert.equal(await checkedAt(site, recent), then + 20 * DAY)
    await integrity.scrub.pass()
    assert.deepEqual(integrity.verified, [old], 'once in everyMs')
    site.time.now += MONTH
    await integrity.scrub.pass()
    assert.deepEqual(integrity.verified, [old, recent, old], 'longest ago first')
    assert.deepEqual(integrity.faults, [])
  }))

test('what was never checked comes first, and a great many are all checked once', () =>
  withSite(async ({ site, integrity }) => {
    const known: Digest[] = []
    for (let index = 0; index < 70; index++) {
      site.time.now += 1000
      known.push(await pullBlob(site, layerOf(`known ${index}`, 10 + index)))
    }
    const found = Array.from({ length: 40 }, (_, index) => layerOf(`found ${index}`, 100 + index))
    for (const bytes of found) await site.files.put(digestOf(bytes), bytes)
    const adopted = found.map((bytes) => ({ digest: digestOf(bytes), size: bytes.length }))
    await site.catalog.adopt(
      adopted.map((one) => ({ ...one, manifest: undefined })),
      site.time.now,
    )
    site.time.now += MONTH
    await integrity.scrub.pass()
    const expected = adopted.map(({ digest }) => digest).sort()
    assert.deepEqual(integrity.verified.slice(0, 40), expected)
    assert.deepEqual(integrity.verified.slice(40), known)
  }))

test('with `every: never` nothing is read', () =>
  withSite(async ({ site, integrity }) => {
    await pullBlob(site, layerOf('a', 1000))
    site.time.now += 10 * MONTH
    integrity.scrubbing.everyMs = undefined
    await integrity.scrub.pass()
    assert.deepEqual(integrity.verified, [])
  }))

for (const [where, at] of [
  ['first', 0],
  ['middle', MIB + MIB / 2],
  ['last', 3 * MIB],
] as const) {
  test(`a flipped byte, the ${where}, is found: put aside, without a row, and out of memory`, () =>
    withSite(async ({ site, integrity }) => {
      const bytes = layerOf('layer', 3 * MIB + 1)
      const digest = await pullBlob(site, bytes)
      integrity.chunks.put(digest, 0, bytes.subarray(0, MIB))
      await flipByte(site.path, digest, at)
      site.time.now += MONTH
      await integrity.scrub.pass()
      assert.deepEqual(integrity.faults, [[digest, 'digest']])
      assert.equal(await isHere(site, digest), false)
      assert.equal(integrity.chunks.peek(digest, 0), undefined)
      assert.equal((await readdir(join(site.path, 'quarantine'))).length, 1)
      assert.ok(
        (await site.catalog.getMember(HUB, digest, 'blob'))?.isProven,
        'may be served again',
      )
      assert.equal(await pullBlob(site, bytes), digest)
      assert.ok(await isHere(site, digest))
    }))
}

test('a damaged manifest is put aside, and what it said stays known', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullManifest(site, { children: [], tag: 'v1' })
    await flipByte(site.path, digest, 7)
    site.time.now += MONTH
    await integrity.scrub.pass()
    assert.deepEqual(integrity.faults, [[digest, 'digest']])
    assert.equal(await isHere(site, digest), false)
    assert.ok(await site.catalog.getManifest(HUB, digest))
  }))

test('damage is found though an earlier check of the same content is written down meanwhile', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('checked before', 1000))
    const verifiedAt = await checkedAt(site, digest)
    await flipByte(site.path, digest, 500)
    const before = async () => {
      site.time.now += 1000
      await site.catalog.putChecks(new Map([[digest, site.time.now]]))
    }
    let looks = 0
    const run = {
      signal: new AbortController().signal,
      before: async () => (looks++ === 0 ? before() : undefined),
    }
    const found = await integrity.checker.check({ digest, size: 1000, verifiedAt }, run)
    assert.deepEqual([found, looks], ['digest', 2])
    assert.equal(await isHere(site, digest), false)
  }))

test('a file that is cut short, or gone, is found', () =>
  withSite(async ({ site, integrity }) => {
    const cut = await pullBlob(site, layerOf('cut', 2 * MIB))
    const gone = await pullBlob(site, layerOf('gone', 2 * MIB))
    await cutFile(site.path, cut, MIB)
    await unlink(pathOf(site.path, gone))
    site.time.now += MONTH
    await integrity.scrub.pass()
    assert.deepEqual(
      new Map(integrity.faults),
      new Map([
        [cut, 'size'],
        [gone, 'missing'],
      ]),
    )
    for (const digest of [cut, gone]) assert.equal(await isHere(site, digest), false)
  }))

test('a file that is cut short while it is read is found', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('cut', 3 * MIB))
    site.time.now += MONTH
    integrity.scrubbing.bytesPerSecond = MIB
    integrity.scrubbing.onSleep = () => cutFile(site.path, digest, 1)
    await integrity.scrub.pass()
    assert.deepEqual(integrity.faults, [[digest, 'size']])
  }))

test('what the disk cannot read is damaged, what only it cannot open now is not', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('layer', 2 * MIB))
    const other = await pullBlob(site, layerOf('other', MIB))
    site.time.now += MONTH
    {
      using _ = await interceptFiles((operation, path) => {
        if (operation === 'open' && path?.includes('blobs')) throw systemError('EMFILE')
      })
      await integrity.scrub.pass()
    }
    assert.deepEqual(integrity.faults, [])
    assert.match(integrity.failures.join(), /EMFILE/)
    {
      using _ = await failReads('EIO')
      await integrity.scrub.pass()
      await integrity.scrub.pass()
    }
    const faults = new Map<Digest, string>([
      [digest, 'io'],
      [other, 'io'],
    ])
    assert.deepEqual(new Map(integrity.faults), faults)
    assert.equal(await isHere(site, digest), false)
  }))

test('damaged content that the disk does not let go of is not here all the same', () =>
  withSite(async ({ site, integrity }) => {
    const bytes = layerOf('layer', 1000)
    const digest = await pullBlob(site, bytes)
    await flipByte(site.path, digest, 0)
    site.time.now += MONTH
    await refuseToMove(() => integrity.scrub.pass())
    assert.equal(await site.files.stat(digest), undefined)
    assert.equal(await site.files.read(digest, 1000), undefined)
    assert.equal(await site.catalog.getBlob(digest), undefined)
    await pullBlob(site, bytes)
    assert.deepEqual(await site.files.read(digest, 1000), bytes)
  }))

test('content that is removed while it is read is no fault', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('layer', 3 * MIB))
    const unopened = await pullBlob(site, layerOf('zunopened', 2 * MIB))
    site.time.now += MONTH
    integrity.scrubbing.bytesPerSecond = MIB
    integrity.scrubbing.onSleep = async () => {
      for (const one of [digest, unopened]) {
        await site.catalog.deleteBlob(one)
        await site.files.delete(one)
      }
    }
    await integrity.scrub.pass()
    assert.deepEqual(integrity.faults, [])
    assert.deepEqual(integrity.verified, [])
    assert.equal(await site.catalog.getBlob(digest), undefined)
  }))

test('what is read is in use: eviction leaves it alone', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('layer', 2 * MIB))
    site.time.now += MONTH
    integrity.scrubbing.bytesPerSecond = MIB
    let wasHeld = false
    integrity.scrubbing.onSleep = () => {
      wasHeld = site.leases.has(digest)
    }
    await integrity.scrub.pass()
    assert.ok(wasHeld)
    assert.equal(site.leases.has(digest), false)
  }))

test('it reads no faster than it may, and another rate counts at once', () =>
  withSite(async ({ site, integrity }) => {
    await pullBlob(site, layerOf('layer', 40 * MIB))
    site.time.now += MONTH
    const { scrubbing, scrub } = integrity
    scrubbing.bytesPerSecond = 4 * MIB
    const before = site.time.elapsed
    scrubbing.onSleep = () => {
      if (site.time.elapsed - before >= 5_000) scrubbing.bytesPerSecond = 20 * MIB
    }
    await scrub.pass()
    const took = site.time.elapsed - before
    // 20 MiB in 5 s, 20 MiB in 1 s; the first chunk goes at once.
    assert.ok(took > 5_600 && took < 6_200, `${took} ms`)
  }))

test('it waits while there is load, and goes on with a chunk now and then if that does not end', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('layer', 2 * MIB))
    site.time.now += MONTH
    const { scrubbing, scrub } = integrity
    const reads = await countReads()
    using _ = reads
    scrubbing.isBusy = true
    const seen: number[] = []
    const before = site.time.elapsed
    scrubbing.onSleep = () => {
      seen.push(reads.count)
      if (site.time.elapsed - before >= 15_000) scrubbing.isBusy = false
    }
    await scrub.pass()
    assert.deepEqual(integrity.verified, [digest])
    const waits = seen.slice(0, 40)
    assert.deepEqual(
      waits,
      waits.map(() => 0),
      'nothing for ten seconds',
    )
    assert.equal(seen[45], 1, 'then a chunk, and the rest when the load ends')
    const took = site.time.elapsed - before
    assert.ok(took >= 15_000 && took < 16_000, `${took} ms`)
  }))

test('stopped in the middle, it ends at once, and the next run begins that content anew', () =>
  withSite(async ({ site, integrity }) => {
    const first = await pullBlob(site, layerOf('first', 2 * MIB))
    site.time.now += 1000
    const second = await pullBlob(site, layerOf('second', 8 * MIB))
    site.time.now += MONTH
    const { scrubbing, scrub } = integrity
    scrubbing.bytesPerSecond = MIB
    let naps = 0
    const { promise, resolve } = Promise.withResolvers<void>()
    scrubbing.onSleep = () => {
      if (++naps === 5) resolve(scrub.stop())
    }
    scrub.start()
    await promise
    assert.deepEqual(integrity.verified, [first])
    assert.equal(await checkedAt(site, first), site.time.now, 'what was done is written down')
    assert.equal(site.leases.has(second), false)
    assert.deepEqual(integrity.failures, [])
    const next = integrityOf(site, { maxBytes: 0 })
    await next.scrub.pass()
    assert.deepEqual(next.verified, [second])
  }))

test('a restart keeps when contents were checked', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('layer', 1000))
    site.time.now += MONTH
    await integrity.scrub.pass()
    await site.catalog.close()
    const again = new SqliteCatalog(openDatabase(join(site.path, 'larder.db')).database)
    assert.equal((await again.getBlob(digest))?.verifiedAt, site.time.now)
    await again.close()
  }))

test('damaged content is fetched again where that is possible', async () => {
  const bytes = layerOf('layer', 2 * MIB)
  const asked: string[] = []
  const refetch = async ({ upstream, repository, kind }: { [key: string]: string }) => {
    asked.push(`${kind} of ${upstream}/${repository}`)
    await pullBlob(current, bytes)
    return true
  }
  await using current = await openCappedSite({ cap: 2 ** 30 })
  const integrity = integrityOf(current, { maxBytes: 0, refetch: refetch as never })
  const digest = await pullBlob(current, bytes)
  await flipByte(current.path, digest, 5)
  current.time.now += MONTH
  await integrity.scrub.pass()
  assert.deepEqual(integrity.faults, [[digest, 'digest']])
  assert.deepEqual(asked, ['blob of docker.io/library/app'])
  assert.ok(await isHere(current, digest))
})

test('killed between the putting aside and the row, it leaves a miss', async () => {
  for (const point of ['scrub.damaged', 'scrub.quarantined']) {
    await withSite(
      async ({ site, integrity }) => {
        const digest = await pullBlob(site, layerOf('layer', 1000))
        await flipByte(site.path, digest, 5)
        site.time.now += MONTH
        await integrity.scrub.pass()
        assert.equal(integrity.failures.length, 1)
        const hasFile = (await site.files.stat(digest)) !== undefined
        const hasRow = (await site.catalog.getBlob(digest)) !== undefined
        assert.deepEqual(
          [hasFile, hasRow],
          point === 'scrub.damaged' ? [true, false] : [false, true],
        )
      },
      {
        failAt: (reached) => {
          if (reached === point) throw new Error(point)
        },
      },
    )
  }
})

test('any flipped byte of any content is found', async () => {
  const size = fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 3 * MIB }))
  const scenario = fc.tuple(size, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))
  const run = ([bytes, share]: readonly [number, number]) =>
    withSite(async ({ site, integrity }) => {
      const digest = await pullBlob(site, layerOf('any', bytes))
      await flipByte(site.path, digest, Math.floor(bytes * share))
      site.time.now += MONTH
      await integrity.scrub.pass()
      assert.deepEqual(integrity.faults, [[digest, 'digest']])
      assert.equal(await isHere(site, digest), false)
    })
  await fc.assert(fc.asyncProperty(scenario, run), { numRuns: 25 })
})

test('the event loop is free while a large content is hashed', () =>
  withSite(async ({ site, integrity }) => {
    const digest = await pullBlob(site, layerOf('large', 64 * MIB))
    site.time.now += MONTH
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    await integrity.scrub.pass()
    delay.disable()
    assert.deepEqual(integrity.verified, [digest])
    const p90 = delay.percentile(90) / 1e6
    assert.ok(p90 < 10, `${p90} ms at the 90th percentile`)
  }))

/** Every read of an open file fails. */
async function failReads(code: string): Promise<Disposable> {
  return interceptReads(() => {
    throw systemError(code)
  })
}

async function countReads(): Promise<Disposable & { readonly count: number }> {
  let count = 0
  const undo = await interceptReads(() => void count++)
  return {
    get count() {
      return count
    },
    [Symbol.dispose]: () => undo[Symbol.dispose](),
  }
}

async function interceptReads(before: () => void): Promise<Disposable> {
  const handle = await open('/dev/null')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const { read } = prototype
  const replacement = async function (this: FileHandle, ...args: unknown[]) {
    before()
    return Reflect.apply(read, this, args)
  }
  Object.assign(prototype, { read: replacement })
  return { [Symbol.dispose]: () => void Object.assign(prototype, { read }) }
}

/** Neither renames nor deletes files meanwhile. */
async function refuseToMove(run: () => Promise<void>): Promise<void> {
  const { default: fs } = await import('node:fs/promises')
  const { syncBuiltinESMExports } = await import('node:module')
  const { rename, unlink: remove } = fs
  const refuse = async () => {
    throw systemError('EROFS')
  }
  Object.assign(fs, { rename: refuse, unlink: refuse })
  syncBuiltinESMExports()
  try {
    await run()
  } finally {
    Object.assign(fs, { rename, unlink: remove })
    syncBuiltinESMExports()
  }
}
