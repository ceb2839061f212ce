import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import type { FailAt } from '../../src/store/failpoints.ts'
import { stallOn } from '../load/clients.ts'
import { startTestApp } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { corrupt, cut } from '../support/faults.ts'
import { send } from '../support/http-client.ts'
import { seededBytes } from '../support/images.ts'
import { WorkerSite } from './site.ts'

const MIB = 2 ** 20
const CLIENTS = 12

test('a download of many clients passes the main process once, on its way to the disk', async () => {
  await using site = await startDownload('rollout', 32 * MIB + 3)
  const { app, path, bytes, registry } = site
  const before = bytesWritten(process.pid)
  const parts = [[0, bytes.length - 1] as const, [5_000_000, 30 * MIB], [9 * MIB - 2, 20 * MIB]]
  const answers = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      const [start = 0, end = 0] = parts[client % parts.length] ?? []
      const got = await app.get(path, { range: `bytes=${start}-${end}` })
      assert.equal(got.status, 206)
      assert.ok(got.complete && got.body.equals(bytes.subarray(start, end + 1)), `client ${client}`)
      return got
    }),
  )
  assert.equal(registry.countBlobs(), 1)
  const passed = bytesWritten(process.pid) - before
  const sent = answers.reduce((sum, { body }) => sum + body.length, 0)
  // From the registry, which is in this process, and to the file.
  assert.ok(passed < 2.5 * bytes.length, `${passed} bytes written, ${sent} sent`)
  assert.equal(await app.metric('larder_served_bytes_total'), sent)
})

test('a client that stands still while others go on gets the rest when it goes on, too', async () => {
  await using site = await WorkerSite.start()
  const blob = site.addBlob('slow', 40 * MIB)
  const slow = await stallOn(site.larder.port, blob.path)
  const fast = await send(site.larder.url, blob.path)
  assert.ok(fast.complete && fast.body.equals(blob.bytes))
  let received = 0
  slow.socket.on('data', (piece: Buffer) => {
    received += piece.length
    if (received >= blob.bytes.length) slow.leave()
  })
  await slow.ended
  assert.ok(received >= blob.bytes.length)
  assert.equal(site.registry.countBlobs(blob.digest), 1)
})

for (const appends of [1, 3, 6]) {
  test(`a disk that refuses at write ${appends} of a download costs the copy, and no client anything`, async () => {
    let count = 0
    const failAt: FailAt = (point) => {
      if (point !== 'ingest.append' || ++count < appends) return
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    }
    await using site = await startDownload('refused', 24 * MIB, failAt)
    const { app, path, bytes, registry } = site
    const answers = await Promise.all(Array.from({ length: CLIENTS }, () => app.get(path)))
    for (const { complete, body } of answers) assert.ok(complete && body.equals(bytes))
    assert.equal(registry.countBlobs(), 1)
  })
}

test('wrong bytes of a registry are never sent to their end, whoever of many clients asks', async () => {
  await using site = await startDownload('wrong', 6 * MIB)
  const { app, path, registry } = site
  registry.script({ path: /\/blobs\// }, corrupt(5 * MIB))
  const answers = await Promise.all(
    Array.from({ length: CLIENTS }, () => app.get(path).catch(() => undefined)),
  )
  for (const answer of answers)
    assert.ok(answer === undefined || !answer.complete || answer.status === 502)
})

test('a registry that breaks off in the middle is asked for the rest, and nobody who follows notices', async () => {
  await using site = await startDownload('resumed', 8 * MIB)
  const { app, path, bytes, registry } = site
  registry.script({ path: /\/blobs\// }, cut(4 * MIB + 77, 'rst'), { times: 1 })
  const answers = await Promise.all(Array.from({ length: 4 }, () => app.get(path)))
  for (const { complete, body } of answers) assert.ok(complete && body.equals(bytes))
  assert.equal(registry.countBlobs(), 2)
})

async function startDownload(seed: string, size: number, failAt?: FailAt) {
  const registry = await new FaultRegistry().start()
  const bytes = seededBytes(seed, size)
  const digest = registry.content.putBlob('library/app', bytes)
  const upstream = { name: 'docker.io', url: registry.origin, default: true }
  // Every client is to read the file, however busy the machine is.
  const options = { filePatienceMs: 60_000, ...(failAt === undefined ? {} : { failAt }) }
  const app = await startTestApp({ upstreams: [upstream], workers: 2, ...options })
  return {
    registry,
    app,
    bytes,
    path: `/v2/library/app/blobs/${digest}`,
    async [Symbol.asyncDispose]() {
      await app.close()
      await registry.close()
    },
  }
}

/** By whatever system call, to files and to sockets. */
function bytesWritten(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
}
