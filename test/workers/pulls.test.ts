import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'

import { encodedOf } from '../../src/oci/digest.ts'
import { stallOn } from '../load/clients.ts'
import { descriptorsOf } from '../load/process.ts'
import { send } from '../support/http-client.ts'
import { type SiteBlob, WorkerSite } from './site.ts'

const MIB = 2 ** 20
/** Of a blob that is left to a worker next to nothing passes the main process. */
const MOST_PASSED = 0.1

test('fifty clients of two workers share one download, and each has the right bytes', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('cold', 5 * MIB + 17)
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => send(site.larder.url, blob.path)),
  )
  for (const { status, complete, body } of answers) {
    assert.ok(status === 200 && complete && body.equals(blob.bytes))
  }
  assert.equal(site.registry.countBlobs(blob.digest), 1)
})

test('connections are given to all workers, and no worker has many more than another', async () => {
  await using site = await WorkerSite.start({ workers: 3 })
  const agents = Array.from({ length: 30 }, () => new Agent({ keepAlive: true }))
  const before = site.pids().map((pid) => descriptorsOf(pid).sockets)
  for (const agent of agents) await send(site.larder.url, '/v2/', { agent })
  await site.until('larder_connections', (open) => open === 30)
  const held = site.pids().map((pid, index) => descriptorsOf(pid).sockets - (before[index] ?? 0))
  for (const agent of agents) agent.destroy()
  // Each has ten, and a connection or two of its own.
  for (const count of held) assert.ok(count >= 10 && count <= 12, held.join(' '))
  await site.until('larder_connections', (open) => open === 0)
})

test('whatever a blob is answered with, its connection between the processes is used again', async () => {
  await using site = await WorkerSite.start()
  const small = site.addBlob('small', 20_000)
  const large = site.addBlob('large', 2 * MIB)
  const unknown = `${small.path.slice(0, -6)}abcdef`
  await stored(site, small)
  await stored(site, large)
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  const round = (path: string, range?: string) =>
    Promise.all(
      Array.from({ length: 20 }, () =>
        send(site.larder.url, path, { agent, ...(range !== undefined && { range }) }),
      ),
    )
  const rounds = async () => {
    await round(small.path)
    await round(small.path, 'bytes=1-4')
    await round(small.path, 'bytes=90000-')
    await round(unknown)
    await round(large.path)
    await round(`${large.path}?x=${'y'.repeat(2000)}`)
  }
  await rounds()
  const before = descriptorsOf(site.larder.pid).sockets
  for (let i = 0; i < 4; i++) await rounds()
  const after = descriptorsOf(site.larder.pid).sockets
  agent.destroy()
  assert.ok(after <= before + 8, `${before} sockets after 120 requests, ${after} after 600`)
})

test('a stored blob goes from a worker to its client, whole and in part, and is counted once', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('warm', 24 * MIB + 5)
  await stored(site, blob)
  const passedBefore = bytesWritten(site.larder.pid)
  const servedBefore = await site.metric('larder_served_bytes_total')
  for (let round = 0; round < 4; round++) {
    const got = await send(site.larder.url, blob.path)
    assert.ok(got.complete && got.body.equals(blob.bytes))
    assert.equal(got.headers['cache-status'], 'larder; hit')
    assert.equal(got.headers['content-length'], String(blob.bytes.length))
  }
  const part = await send(site.larder.url, blob.path, { range: `bytes=${MIB - 3}-${9 * MIB}` })
  assert.equal(part.status, 206)
  assert.equal(part.headers['content-range'], `bytes ${MIB - 3}-${9 * MIB}/${blob.bytes.length}`)
  assert.ok(part.complete && part.body.equals(blob.bytes.subarray(MIB - 3, 9 * MIB + 1)))
  const sent = 4 * blob.bytes.length + part.body.length
  const passed = bytesWritten(site.larder.pid) - passedBefore
  assert.ok(passed < sent * MOST_PASSED, `${passed} of ${sent} bytes passed the main process`)
  const isCounted = (bytes: number) => bytes === servedBefore + sent
  await site.until('larder_served_bytes_total', isCounted)
  await site.until('larder_http_requests_in_flight', (count) => count === 0)
  const lines = site.larder
    .logs()
    .filter(({ msg, result, method }) => msg === 'request' && result === 'hit' && method === 'GET')
  assert.deepEqual(
    lines.map(({ bytes, status, unfinished }) => [bytes, status, unfinished]),
    [...Array(4).fill([blob.bytes.length, 200, undefined]), [part.body.length, 206, undefined]],
  )
  const labels = { type: 'blob', result: 'hit' }
  // One of them is HEAD.
  assert.equal(await site.metric('larder_requests_total', labels), 6)
})

test('a client that leaves in the middle has its bytes counted, and is no longer waited for', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('left', 40 * MIB)
  await stored(site, blob)
  const got = await send(site.larder.url, blob.path, { abortAfter: 3 * MIB })
  assert.equal(got.complete, false)
  await site.until('larder_http_requests_in_flight', (count) => count === 0)
  const line = site.larder.logs().findLast(({ msg }) => msg === 'request')
  assert.equal(line?.['unfinished'], true)
  assert.equal(line?.['result'], 'hit')
  assert.ok(Number(line?.['bytes']) >= 3 * MIB && Number(line?.['bytes']) < blob.bytes.length)
})

test('a stored blob whose file was cut is healed for the very pull that finds it', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('cut', 4 * MIB)
  await stored(site, blob)
  await truncate(fileOf(site, blob), MIB)
  const got = await send(site.larder.url, blob.path)
  assert.ok(got.complete && got.body.equals(blob.bytes))
  assert.equal(site.registry.countBlobs(blob.digest), 2)
})

test('what was kept of a damaged file is not taken for the one that has replaced it', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('rotten', 4 * MIB)
  await stored(site, blob)
  const file = fileOf(site, blob)
  const rotten = await readFile(file)
  rotten[2 * MIB] = (rotten[2 * MIB] ?? 0) ^ 1
  await writeFile(file, rotten)
  // Nobody can know yet; each worker now has the wrong bytes in memory.
  for (let round = 0; round < 4; round++) await send(site.larder.url, blob.path)
  await verify(site)
  for (let round = 0; round < 4; round++) {
    const got = await send(site.larder.url, blob.path)
    assert.ok(got.complete && got.body.equals(blob.bytes), `round ${round}`)
  }
  assert.equal(site.registry.countBlobs(blob.digest), 2)
})

test('whoever is being sent what is found to be damaged is cut off before its end', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('condemned', 64 * MIB)
  await stored(site, blob)
  const reader = await stallOn(site.larder.port, blob.path)
  const file = fileOf(site, blob)
  const rotten = await readFile(file)
  rotten[60 * MIB] = (rotten[60 * MIB] ?? 0) ^ 1
  await writeFile(file, rotten)
  await verify(site)
  let received = 0
  reader.socket.on('data', (piece: Buffer) => {
    received += piece.length
  })
  await reader.ended
  assert.ok(received < blob.bytes.length)
  await site.until('larder_http_requests_in_flight', (count) => count === 0)
})

test('nobody but a worker is believed what a worker says', async () => {
  await using site = await WorkerSite.start()
  const name = readFileSync('/proc/net/unix', 'utf8').match(/@(larder-\S+)/g) ?? []
  assert.ok(name.length > 0)
  for (const one of name) {
    for (const headers of [{}, { 'larder-relayed': `${'a'.repeat(43)} e30=` }]) {
      const socketPath = one.replace('@', '\0')
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      request({ socketPath, path: '/v2/', headers, agent: false }, () =>
        reject(new Error('it was answered')),
      )
        .once('error', () => resolve())
        .end()
      await promise
    }
  }
  // Nor is a client who says it by way of one.
  const forged = Buffer.from('{"address":"6.6.6.6"}').toString('base64')
  await send(site.larder.url, '/v2/', { headers: { 'Larder-Relayed': `x ${forged}` } })
  const [line] = await site.larder.logged('request')
  assert.equal(line?.['client'], '127.0.0.1')
})

async function verify({ larder }: WorkerSite): Promise<void> {
  const headers = { 'Content-Type': 'application/json' }
  const options = { method: 'POST', headers, body: '{}' }
  const { status, body } = await send(larder.adminUrl, '/api/v1/verify', options)
  assert.equal(status, 200, body.toString())
}

/** Pulled, and under its final name. */
async function stored(site: WorkerSite, { path, digest }: SiteBlob): Promise<void> {
  const got = await send(site.larder.url, path)
  assert.equal(got.status, 200)
  await site.until('larder_store_blobs', (count) => count > 0)
  await site.until('larder_inflight_fetches', (count) => count === 0)
  assert.equal((await send(site.larder.url, path, { method: 'HEAD' })).status, 200, digest)
}

function fileOf({ larder }: WorkerSite, { digest }: SiteBlob): string {
  const hex = encodedOf(digest)
  return join(larder.dataDir, 'blobs/sha256', hex.slice(0, 2), hex)
}

/** By whatever system call, to files and to sockets. */
function bytesWritten(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
}
