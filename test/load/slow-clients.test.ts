import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'

import { BodyWriter } from '../../src/api/body.ts'
import { stallOn } from './clients.ts'
import { connectTo, drip, startListener } from './listener.ts'

const MIB = 1024 * 1024
const LIMITS = { headersMs: 150, keepAliveMs: 100, stalledMs: 200, lookMs: 20 }
/** More than the kernel takes for a connection. */
const MUCH = Buffer.alloc(48 * MIB)

test('headers that never end, or never begin, are told so and cut', async () => {
  await using listener = await startListener((_, response) => response.end(), { limits: LIMITS })
  const dripping = await connectTo(listener.port)
  dripping.socket.write('GET /v2/ HTTP/1.1\r\n')
  assert.match(await drip(dripping, 'X-A: 1\r\n'), /^HTTP\/1\.1 408 /)
  const line = await connectTo(listener.port)
  assert.match(await drip(line, 'GETGETGET'), /^HTTP\/1\.1 4\d\d /)
  const silent = await connectTo(listener.port)
  assert.match(await silent.ended, /^HTTP\/1\.1 408 /)
})

test('a body without an end that nobody wanted does not keep a connection', async () => {
  await using listener = await startListener((_, response) => response.end('{}'), {
    limits: LIMITS,
  })
  const client = await connectTo(listener.port)
  client.socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
  const got = await drip(client, '1\r\na\r\n')
  assert.match(got, /^HTTP\/1\.1 200 /)
  assert.equal(got.match(/HTTP\/1\.1/g)?.length, 1)
})

test('an idle connection is ended after the keep-alive time', async () => {
  await using listener = await startListener((_, response) => response.end('{}'), {
    limits: LIMITS,
  })
  const client = await connectTo(listener.port)
  client.socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.match(await client.ended, /^HTTP\/1\.1 200 /)
})

test('a client that takes nothing of an answer is let go, whatever the answer is', async () => {
  const answered = Promise.withResolvers<boolean>()
  await using listener = await startListener(
    (_, response) => {
      response.once('close', () => answered.resolve(response.writableFinished))
      response.end(MUCH)
    },
    { limits: LIMITS },
  )
  await stallOn(listener.port, '/v2/')
  assert.equal(await answered.promise, false)
})

test('a client that waits for an answer which takes its time is not let go', async () => {
  await using listener = await startListener(
    (_, response) => void setTimeout(() => response.end('{}'), 5 * LIMITS.stalledMs),
    { limits: LIMITS },
  )
  const client = await connectTo(listener.port)
  client.socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.match(await client.ended, /^HTTP\/1\.1 200 /)
})

test('a client that takes a little now and then is let go, and one that takes enough is not', async () => {
  const patience = { bytes: MIB, ms: 300 }
  const outcomes = new EventEmitter<{ outcome: [boolean] }>()
  const bodies = new BodyWriter(patience)
  const server = createServer((_, response) => {
    void bodies
      .write(response, pieces(), () => undefined)
      .then((isWhole) => {
        outcomes.emit('outcome', isWhole)
        response.end()
      })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const cut = once(outcomes, 'outcome')
  const slow = await stallOn(port, '/')
  // So little that the next MiB takes it longer than it has.
  const sips = setInterval(() => slow.socket.read(1), 50)
  assert.deepEqual(await cut, [false])
  clearInterval(sips)
  slow.leave()
  const whole = once(outcomes, 'outcome')
  const steady = await stallOn(port, '/')
  // In all it lets wait for longer than a MiB may take, but for none of them so long.
  const startedAt = performance.now()
  let taken = 0
  steady.socket.on('data', (piece: Buffer) => {
    taken += piece.length
    if (taken < 2 * MIB) return
    taken = 0
    steady.socket.pause()
    setTimeout(() => steady.socket.resume(), 40)
  })
  assert.deepEqual(await whole, [true])
  assert.ok(performance.now() - startedAt > patience.ms)
  steady.leave()
  server.close()
})

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < MUCH.length; at += MIB) yield MUCH.subarray(at, at + MIB)
}
