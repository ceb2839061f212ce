import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import type { Digest } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { stall } from '../support/faults.ts'
import type { ClientResponse } from '../support/http-client.ts'
import { open, readResponse } from '../support/http-client.ts'
import { APP, EMPTY_BLOB, type Hub, startHub } from '../support/hub.ts'
import { seededBytes } from '../support/images.ts'

const MIB = 1024 * 1024

/** Each is asked cold, of a Larder that has nothing, and warm. */
const SINGLE = [
  ['21', 'bytes=500-1499', 500, 1499],
  ['22', 'bytes=0-', 0, 2047],
  ['23', 'bytes=500-', 500, 2047],
  ['23', 'bytes=-500', 1548, 2047],
  ['23', 'bytes=-5000', 0, 2047],
  ['24', 'bytes=2000-5000', 2000, 2047],
  ['29', 'bytes=0-1,9000-9001', 0, 1],
  ['29', 'bytes=9000-9001, 0-1', 0, 1],
] as const

for (const [number, range, start, end] of SINGLE) {
  test(`${number} ${range} is 206 cold and warm alike`, async () => {
    await using hub = await startHub()
    for (const state of ['cold', 'warm']) {
      const got = await hub.app.get(`${APP}/blobs/${hub.blob.digest}`, { range })
      assert.equal(got.status, 206, state)
      assert.equal(got.headers['content-range'], `bytes ${start}-${end}/2048`)
      assert.equal(got.headers['content-length'], String(end - start + 1))
      assert.equal(got.headers['content-type'], 'application/octet-stream')
      assert.equal(got.headers['docker-content-digest'], hub.blob.digest)
      assert.deepEqual(got.body, hub.blob.bytes.subarray(start, end + 1))
    }
    assert.equal(hub.registry.countBlobs(), 1)
  })
}

test('25 what is not within the blob is 416 with its size, cold and warm', async () => {
  const ranges = ['bytes=500-0', 'bytes=5000-10000', 'bytes=2048-', 'bytes=-0', 'bytes=9-8,3000-']
  for (const range of ranges) {
    await using hub = await startHub()
    for (const state of ['cold', 'warm']) {
      const got = await hub.app.get(`${APP}/blobs/${hub.blob.digest}`, { range })
      assert.equal(got.status, 416, `${range} ${state}`)
      assert.equal(got.headers['content-range'], 'bytes */2048')
      assert.equal(got.headers['content-length'], String(got.body.length))
      assert.equal(got.headers['content-type'], 'application/json')
    }
  }
})

test('26 what is no range of bytes is ignored', async () => {
  await using hub = await startHub()
  for (const range of ['items=0-1', 'bytes=abc', 'bytes=', 'bytes=-', 'bytes=1-2-3', '0-1', '']) {
    assertWhole(hub, await get(hub, { Range: range }), range)
  }
  assertWhole(hub, await get(hub, { Range: ['bytes=0-1', 'bytes=2-3'] }), 'two lines')
})

test('27 HEAD ignores Range', async () => {
  await using hub = await startHub()
  for (const range of ['bytes=0-9', 'bytes=5000-']) {
    const got = await hub.app.head(`${APP}/blobs/${hub.blob.digest}`, { range })
    assert.equal(got.status, 200)
    assert.equal(got.headers['content-length'], '2048')
    assert.equal(got.headers['content-range'], undefined)
  }
})

test('28 several ranges are as many parts, in their order, never merged', async () => {
  await using hub = await startHub()
  const asked = [
    [0, 9],
    [100, 109],
    [110, 119],
  ] as const
  for (const state of ['cold', 'warm']) {
    const got = await get(hub, { Range: 'bytes=0-9,100-109,110-119' })
    assert.equal(got.status, 206, state)
    assertParts(got, hub.blob.bytes, asked)
  }
  assert.equal(hub.registry.countBlobs(), 1)
})

test('28 parts are in the order they were asked for', async () => {
  await using hub = await startHub()
  const got = await get(hub, { Range: 'bytes=-10, 5-6,100-100' })
  assertParts(got, hub.blob.bytes, [
    [2038, 2047],
    [5, 6],
    [100, 100],
  ])
})

test('30 a thousand ranges are 200 whole', async () => {
  await using hub = await startHub()
  const many = Array.from({ length: 1000 }, (_, i) => `${i * 2}-${i * 2}`).join(',')
  assertWhole(hub, await get(hub, { Range: `bytes=${many}` }), 'a thousand')
  const overlapping = Array.from({ length: 100 }, () => '0-').join(',')
  assertWhole(hub, await get(hub, { Range: `bytes=${overlapping}` }), 'a hundred times the whole')
  const spaces = `bytes=0-1${' '.repeat(30_000)}`
  const padded = await get(hub, { Range: spaces })
  assert.ok(padded.status === 200 || padded.status === 206)
})

test('30 the hundred and more ranges of a lazy snapshotter are answered part by part', async () => {
  await using hub = await startHub()
  const asked = Array.from({ length: 128 }, (_, i) => [i * 16, i * 16 + 7] as const)
  const got = await get(hub, { Range: `bytes=${asked.map((one) => one.join('-')).join(',')}` })
  assert.equal(got.status, 206)
  assertParts(got, hub.blob.bytes, asked)
})

test('31 a suffix of the empty blob is 200, any other range of it 416', async () => {
  await using hub = await startHub()
  for (const state of ['cold', 'warm']) {
    const suffix = await hub.app.get(`${APP}/blobs/${EMPTY_BLOB}`, { range: 'bytes=-500' })
    assert.equal(suffix.status, 200, state)
    assert.equal(suffix.headers['content-length'], '0')
    for (const range of ['bytes=0-0', 'bytes=0-', 'bytes=-0']) {
      const other = await hub.app.get(`${APP}/blobs/${EMPTY_BLOB}`, { range })
      assert.equal(other.status, 416, range)
      assert.equal(other.headers['content-range'], 'bytes */0')
    }
  }
})

test('32 a Range is only for those whose If-Range is the digest', async () => {
  await using hub = await startHub()
  const Range = 'bytes=0-9'
  const { digest } = hub.blob
  const date = new Date().toUTCString()
  for (const validator of ['"wrong"', `W/"${digest}"`, date, digest]) {
    assertWhole(hub, await get(hub, { Range, 'If-Range': validator }), validator)
  }
  const right = await get(hub, { Range, 'If-Range': `"${digest}"` })
  assert.equal(right.status, 206)
})

test('a range of a blob on its way is served as soon as its bytes are here', async () => {
  await using hub = await startHub()
  const bytes = seededBytes('growing', 4 * MIB)
  const digest = hub.registry.content.putBlob('library/app', bytes)
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(2 * MIB + 1, barrier))
  const near = await hub.app.get(`${APP}/blobs/${digest}`, { range: 'bytes=0-1' })
  assert.equal(near.status, 206)
  assert.deepEqual(near.body, bytes.subarray(0, 2))
  const parts = await hub.app.get(`${APP}/blobs/${digest}`, { range: 'bytes=9-10,1048570-1048580' })
  assertParts(parts, bytes, [
    [9, 10],
    [1_048_570, 1_048_580],
  ])
  barrier.release()
  const far = await hub.app.get(`${APP}/blobs/${digest}`, { range: 'bytes=-3' })
  assert.deepEqual(far.body, bytes.subarray(-3))
  assert.equal(hub.registry.countBlobs(), 1)
})

test('any range of a blob, cold or warm or on its way, is what slicing gives', async () => {
  await using hub = await startHub()
  let number = 0
  const size = fc.integer({ min: 1, max: MIB + 100_000 })
  const spec = fc.tuple(
    fc.nat(MIB + 200_000),
    fc.nat(MIB + 200_000),
    fc.constantFrom('-', '..', '<'),
  )
  await fc.assert(
    fc.asyncProperty(
      size,
      fc.array(spec, { minLength: 1, maxLength: 4 }),
      async (length, specs) => {
        const bytes = seededBytes(`property ${number++}`, length)
        const digest = hub.registry.content.putBlob('library/app', bytes)
        const answers = specs.map(async ([a, b, form]) => {
          const range = form === '-' ? `${a}-` : form === '<' ? `-${a}` : `${a}-${b}`
          await assertSliced(hub, digest, bytes, range)
        })
        await Promise.all(answers)
        for (const [a, b] of specs) await assertSliced(hub, digest, bytes, `${a}-${b}`)
      },
    ),
    { numRuns: 15 },
  )
})

async function assertSliced(hub: Hub, digest: Digest, bytes: Buffer, range: string) {
  const response = await open(hub.app.url, `${APP}/blobs/${digest}`, { range: `bytes=${range}` })
  const got = await readResponse(response)
  const [first = '', last = ''] = range.split('-')
  const start = first === '' ? Math.max(0, bytes.length - Number(last)) : Number(first)
  const asked = first === '' || last === '' ? bytes.length - 1 : Number(last)
  const end = Math.min(asked, bytes.length - 1)
  if (start > end) {
    assert.equal(got.status, 416, range)
    assert.equal(got.headers['content-range'], `bytes */${bytes.length}`)
    return
  }
  assert.equal(got.status, 206, range)
  assert.equal(got.headers['content-range'], `bytes ${start}-${end}/${bytes.length}`)
  assert.ok(got.body.equals(bytes.subarray(start, end + 1)), range)
}

function get({ app, blob }: Hub, headers: Record<string, string | readonly string[]>) {
  return app.get(`${APP}/blobs/${blob.digest}`, { headers })
}

function assertWhole({ blob }: Hub, got: ClientResponse, message: string): void {
  assert.equal(got.status, 200, message)
  assert.equal(got.headers['content-range'], undefined)
  assert.equal(got.headers['content-length'], '2048')
  assert.deepEqual(got.body, blob.bytes)
}

/** RFC 9110 §14.6, as strictly as containers-image reads it. */
function assertParts(
  got: ClientResponse,
  whole: Buffer,
  asked: readonly (readonly [number, number])[],
): void {
  assert.equal(got.status, 206)
  assert.equal(got.headers['content-range'], undefined)
  assert.equal(got.headers['content-length'], String(got.body.length))
  const type = got.headers['content-type'] ?? ''
  const boundary = /^multipart\/byteranges; boundary=([A-Za-z0-9]{1,70})$/.exec(type)?.[1]
  assert.ok(boundary, type)
  const pieces = got.body.toString('latin1').split(`\r\n--${boundary}`)
  assert.equal(pieces.shift(), '')
  assert.equal(pieces.pop(), '--\r\n')
  const parts = pieces.map((piece) => {
    const [, head = '', body = ''] = /^\r\n(.*?)\r\n\r\n(.*)$/s.exec(piece) ?? []
    assert.match(head, /^content-type: application\/octet-stream$/im)
    const range = /^content-range: bytes (\d+)-(\d+)\/(\d+)$/im.exec(head)
    assert.equal(Number(range?.[3]), whole.length)
    return { range: [Number(range?.[1]), Number(range?.[2])], body: Buffer.from(body, 'latin1') }
  })
  assert.deepEqual(
    parts.map(({ range }) => range),
    asked,
  )
  for (const { range, body } of parts) {
    const [start = 0, end = 0] = range
    assert.deepEqual(body, whole.subarray(start, end + 1))
  }
}
