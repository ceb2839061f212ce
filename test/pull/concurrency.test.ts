import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import fc from 'fast-check'

import { encodedOf } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { cut, drip, stall } from '../support/faults.ts'
import { type ClientRequest, open, readResponse, send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import type { RecordedRequest } from '../support/scripted-server.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { runs } from './runs.ts'
import {
  allLanded,
  assertStoreRight,
  partsOf,
  pull,
  putBlob,
  type Site,
  startSite,
} from './site.ts'

const MIB = 1024 * 1024
const SIZE = 8 * MIB

const client: fc.Arbitrary<ClientRequest> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constant({ method: 'HEAD' }) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: SIZE }).map((abortAfter) => ({ abortAfter })) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.nat(SIZE - 1), fc.nat(SIZE - 1))
      .map(([a, b]) => ({ range: `bytes=${Math.min(a, b)}-${Math.max(a, b)}` })),
  },
  { weight: 1, arbitrary: fc.nat(SIZE - 1).map((from) => ({ range: `bytes=${from}-` })) },
)

test('50 clients of one cold blob, some leaving: one download, and right bytes for all', async () => {
  await using site = await startSite()
  let seed = 0
  const property = fc.asyncProperty(
    fc.array(client, { minLength: 50, maxLength: 50 }),
    fc.constantFrom(0, 1000 * 100),
    async (clients, pieceBytes) => {
      const wanted = putBlob(site, SIZE, ++seed)
      const matcher = { method: 'GET', path: wanted.path, where: hasCredential }
      site.registry.script(matcher, drip(pieceBytes))
      const answers = await Promise.all(clients.map((one) => pull(site, wanted, one)))
      for (const [index, got] of answers.entries()) {
        const one = clients[index]
        assert.ok(got !== undefined && got.status < 300, `${got?.status}`)
        if (one?.abortAfter !== undefined) {
          const { length } = got.body
          assert.ok(got.body.equals(wanted.bytes.subarray(0, length)))
        } else if (one?.method === undefined) {
          assert.equal(got.complete, true)
          const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(one?.range ?? '') ?? []
          const end = to === '' ? SIZE : Number(to) + 1
          assert.ok(got.body.equals(wanted.bytes.subarray(Number(from), end)))
        }
      }
      await allLanded(site)
      // Those who left may have been all: the flight goes on without them.
      if (clients.some(({ method }) => method === undefined)) {
        assert.equal(site.registry.count(matcher), 1)
      }
      await assertStoreRight(site)
      site.registry.clearScripts()
    },
  )
  await fc.assert(property, { ...runs(4), endOnFailure: true })
})

test('a client that leaves at a tenth does not stop the download: the next is a hit', async () => {
  await using site = await startSite()
  const wanted = putBlob(site, SIZE)
  const { barrier, matcher } = stallAt(site, wanted.path, SIZE / 4)
  await pull(site, wanted, { abortAfter: SIZE / 10 })
  await barrier.arrived()
  barrier.release()
  await allLanded(site)
  const next = await pull(site, wanted)
  assert.equal(next?.headers['cache-status'], 'larder; hit')
  assert.equal(next.complete, true)
  assert.equal(site.registry.count(matcher), 1)
})

test('those who follow a leader that has left get everything', async () => {
  await using site = await startSite()
  const wanted = putBlob(site, SIZE)
  const { barrier, matcher } = stallAt(site, wanted.path, SIZE / 2)
  const leader = pull(site, wanted, { abortAfter: SIZE / 10 })
  await barrier.arrived()
  const followers = [{}, { range: `bytes=${SIZE / 4}-` }, {}].map((one) => pull(site, wanted, one))
  await leader
  barrier.release()
  for (const got of await Promise.all(followers)) {
    assert.equal(got?.complete, true)
    assert.ok(got.status < 300)
  }
  assert.equal(site.registry.count(matcher), 1)
})

test('two repositories that ask for one digest at once share its download', async () => {
  await using site = await startSite()
  const { registry } = site
  const wanted = putBlob(site, SIZE)
  registry.content.putBlob('other/app', wanted.bytes)
  registry.content.putBlob('empty/app', Buffer.from('something else'))
  const { barrier } = stallAt(site, wanted.path, SIZE / 2)
  const at = (repository: string) => ({
    ...wanted,
    path: `/v2/${repository}/blobs/${wanted.digest}`,
  })
  const first = pull(site, wanted)
  await barrier.arrived()
  const other = pull(site, at('other/app'))
  // The digest alone opens nothing, though its bytes are passing by.
  const stranger = await pull(site, at('empty/app'))
  assert.equal(stranger?.status, 404)
  await registry.seen({ method: 'HEAD', path: at('other/app').path })
  barrier.release()
  for (const got of await Promise.all([first, other])) {
    assert.equal(got?.status, 200)
    assert.equal(got.complete, true)
  }
  const gets = registry.find({ method: 'GET', path: /\/blobs\//, where: hasCredential })
  assert.deepEqual(
    gets.map(({ path }) => path),
    [wanted.path],
  )
})

test('a registry that goes down on the way and stays down: all are cut, none is told it is whole', async () => {
  const clock = new SkippingClock()
  await using site = await startSite({ app: { clock } })
  const { registry } = site
  const wanted = putBlob(site, SIZE)
  const { barrier } = stallAt(site, wanted.path, SIZE / 2)
  const clients = [{}, {}, { range: 'bytes=-10' }, { range: `bytes=${5 * MIB}-` }]
  const pulls = clients.map((one) => pull(site, wanted, one))
  await barrier.arrived()
  const { port } = registry
  await registry.close()
  barrier.release()
  for (const got of await Promise.all(pulls)) {
    assert.ok(got === undefined || !got.complete || got.status >= 500, `${got?.status}`)
  }
  const next = await pull(site, wanted)
  assert.ok(next?.status === 502 || next?.status === 504, `${next?.status}`)
  await assertStoreRight(site, [wanted.digest])
  registry.clearScripts()
  registry.forget()
  await registry.start(port)
  clock.skip(10_000)
  const back = await pull(site, wanted)
  assert.equal(back?.status, 200)
  assert.equal(back.complete, true)
  const asked = registry.find({ path: wanted.path, where: hasCredential })
  assert.match(asked.at(-1)?.headers.range ?? '', /^bytes=\d{7}-$/)
})

test('a request that comes as a download fails begins a new one', async () => {
  await using site = await startSite()
  const { registry } = site
  for (const size of [1000, 3 * MIB]) {
    const wanted = putBlob(site, size, 'late')
    registry.script({ path: wanted.path, where: hasCredential }, cut(-1), { times: 3 })
    let isServed = false
    for (let i = 0; i < 10 && !isServed; i++) {
      const got = await pull(site, wanted)
      isServed = got?.status === 200 && got.complete
    }
    assert.equal(isServed, true)
  }
})

/** Found in review: the file was left when the first range had been read. */
test('a slow client of several ranges gets all of them, though the blob has landed meanwhile', async () => {
  await using site = await startSite()
  const wanted = putBlob(site, 24 * MIB)
  const range = `bytes=${8 * MIB}-${20 * MIB - 1},0-9`
  const answer = await open(site.app.url, wanted.path, { range })
  answer.pause()
  await allLanded(site)
  const reading = readResponse(answer)
  answer.resume()
  const got = await reading
  assert.equal(got.status, 206)
  assert.equal(got.complete, true)
  assert.ok(got.body.includes(wanted.bytes.subarray(0, 10)))
})

test('after 404s nothing is left in ingest', async () => {
  await using site = await startSite()
  const { digest } = putBlob(site, 10)
  const got = await site.app.get(`/v2/nobody/app/blobs/${digest}`)
  assert.equal(got.status, 404)
  assert.deepEqual(await partsOf(site), [])
})

test('killed in the middle of a download, it goes on from there at the next start', async () => {
  await using dir = await makeTempDir()
  await using registry = await new FaultRegistry().start()
  const options = {
    upstreams: [{ name: 'test', url: registry.origin, default: true, access: 'public' }],
    dataDir: join(dir.path, 'data'),
  }
  const site = { registry } as unknown as Site
  const wanted = putBlob(site, SIZE)
  const barrier = new Barrier()
  registry.script({ method: 'GET', path: wanted.path }, stall(5 * MIB + 100, barrier), { times: 1 })
  const first = await startLarder(options)
  const cutOff = send(first.url, wanted.path).catch(() => undefined)
  await barrier.arrived()
  const part = join(options.dataDir, 'ingest', `${encodedOf(wanted.digest)}.part`)
  while ((await stat(part)).size < 4 * MIB) await setImmediate()
  await first.kill()
  barrier.release()
  assert.notEqual((await cutOff)?.complete, true)
  const { size } = await stat(part)
  registry.forget()
  await using second = await startLarder(options)
  const got = await send(second.url, wanted.path)
  assert.equal(got.status, 200)
  assert.ok(got.complete && got.body.equals(wanted.bytes))
  const asked = registry.find({ method: 'GET', path: wanted.path })
  assert.deepEqual(
    asked.map(({ headers }) => headers.range),
    [`bytes=${size}-`],
  )
})

function stallAt({ registry }: Site, path: string, after: number) {
  const barrier = new Barrier()
  const matcher = { method: 'GET', path, where: hasCredential }
  registry.script(matcher, stall(after, barrier), { times: 1 })
  return { barrier, matcher }
}

function hasCredential({ headers: { authorization } }: RecordedRequest): boolean {
  return authorization !== undefined
}
