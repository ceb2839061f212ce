import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'

import { BodyWriter } from '../../src/api/body.ts'

const PIECE_BYTES = 1024 * 1024
const PIECES = 24

/** All in the same memory: each piece is overwritten when the next one is asked for. */
async function* lent(pieceBytes: number): AsyncGenerator<Buffer, void, undefined> {
  const memory = Buffer.alloc(pieceBytes)
  for (let number = 1; number <= PIECES; number++) yield memory.fill(number)
}

async function serve(pieceBytes: number) {
  const bodies = new BodyWriter()
  const server = createServer((_request, response) => {
    response.setHeader('content-length', pieceBytes * PIECES)
    void bodies.write(response, lent(pieceBytes), () => undefined).then(() => response.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

for (const pieceBytes of [1000, 20_000, PIECE_BYTES]) {
  test(`pieces of ${pieceBytes} bytes are not overwritten before a slow client has them`, async () => {
    const server = await serve(pieceBytes)
    const { port } = server.address() as AddressInfo
    const asked = request({ host: '127.0.0.1', port, agent: false })
    asked.end()
    const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream]
    let at = 0
    for await (const bytes of response as AsyncIterable<Buffer>) {
      for (const byte of bytes.subarray(0, 16)) {
        assert.equal(byte, Math.floor(at++ / pieceBytes) + 1)
      }
      at += Math.max(0, bytes.length - 16)
      // Others have a turn, so that the kernel's buffers fill.
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(at, pieceBytes * PIECES)
    server.close()
  })
}
