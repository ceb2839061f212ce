import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'

import type { Response } from 'express'

import { sendBytes } from '../../src/admin/byte-stream.ts'
import { Exchange } from '../../src/cli/admin-exchange.ts'
import { remoteTransport, type Transport } from '../../src/cli/admin-transport.ts'
import { localTransport } from '../../src/cli/local-transport.ts'

const PIECE_BYTES = 1024 * 1024
const PIECES = 24

/** All in the same memory: each piece is overwritten when the next one is asked for. */
async function* lent(): AsyncGenerator<Buffer, void, undefined> {
  const buffer = Buffer.alloc(PIECE_BYTES)
  for (let number = 1; number <= PIECES; number++) yield buffer.fill(number)
}

/** Each is overwritten when the one after the next is asked for. */
async function* lentForLonger(): AsyncGenerator<Buffer, void, undefined> {
  const buffers = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)]
  for (let number = 1; number <= PIECES; number++) {
    yield buffers[number % 2]?.fill(number) ?? assert.fail()
  }
}

/** What was sent is sent back, once all of it has come. */
const answer: RequestListener = async (request, response) => {
  if (request.method === 'POST') response.end(Buffer.concat(await request.toArray()))
  else await sendBytes(response as Response, 'application/octet-stream', () => lent())
}

/** Each piece to its last byte. */
function assertWhole(bytes: Buffer): void {
  assert.equal(bytes.length, PIECES * PIECE_BYTES)
  for (let at = 0; at < PIECES; at++) {
    const piece = bytes.subarray(at * PIECE_BYTES, (at + 1) * PIECE_BYTES)
    assert.ok(piece.equals(Buffer.alloc(PIECE_BYTES, at + 1)), `piece ${at + 1} is another`)
  }
}

async function overPort(): Promise<Transport> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const transport = remoteTransport(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return {
    ...transport,
    close: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}

async function withinProcess(): Promise<Transport> {
  return localTransport({ name: 'here', handler: answer, close: async () => {} })
}

for (const open of [overPort, withinProcess]) {
  test(`bytes that are lent for one piece at a time come as they were: ${open.name}`, async () => {
    const transport = await open()
    try {
      const request = transport.begin({ path: '/' })
      const raw: Buffer[] = []
      // Whoever reads the connection may keep what comes.
      request.once('socket', (socket) => socket.on('data', (bytes: Buffer) => raw.push(bytes)))
      request.end()
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      // They are looked at when all have come: until then each has to be its reader's.
      assertWhole(Buffer.concat(await response.toArray()))
      for (let at = 0; at < PIECES; at++) {
        const part = Buffer.alloc(1024, at + 1)
        assert.ok(
          raw.some((came) => came.includes(part)),
          `piece ${at + 1} was overwritten`,
        )
      }
    } finally {
      await transport.close()
    }
  })

  test(`bytes that are lent while the next are read are sent as they were: ${open.name}`, async () => {
    const transport = await open()
    try {
      const sending = { method: 'POST', path: '/', headers: {}, patienceMs: 60_000 } as const
      const exchange = new Exchange(transport, { ...sending, body: lentForLonger() })
      assertWhole(Buffer.concat(await (await exchange.answer()).toArray()))
    } finally {
      await transport.close()
    }
  })
}
