import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientRequest } from 'node:http'
import { createServer } from 'node:net'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'

import { Exchange, type Sending } from '../../src/cli/admin-exchange.ts'
import { remoteTransport, type Transport } from '../../src/cli/admin-transport.ts'
import { MIB, pieces, StreamSite, TAPE } from '../admin/stream-site.ts'

const PATIENCE_MS = 1_000
const COPY: Sending = {
  method: 'POST',
  path: '/api/v1/copy',
  headers: { 'Content-Type': 'application/json' },
  body: '{}',
  patienceMs: PATIENCE_MS,
}

/** Shows the request, whose `timeout` says that nothing went to and fro for so long. */
function watched(url: string): { transport: Transport; request: Promise<ClientRequest> } {
  const { promise: request, resolve } = Promise.withResolvers<ClientRequest>()
  const remote = remoteTransport(url)
  const begin: Transport['begin'] = (options) => {
    const outgoing = remote.begin(options)
    resolve(outgoing)
    return outgoing
  }
  return { transport: { ...remote, begin }, request }
}

describe('a connection on which nothing happens', { concurrency: true }, () => {
  test('is given up when it is the turn of the other side', async () => {
    const server = createServer((socket) => socket.resume()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const address = server.address()
      assert.ok(typeof address === 'object' && address !== null)
      const url = `http://127.0.0.1:${address.port}`
      for (const body of ['{}', Readable.from(pieces(1))]) {
        const exchange = new Exchange(remoteTransport(url), { ...COPY, body, patienceMs: 100 })
        await assert.rejects(exchange.answer(), {
          name: 'ExitError',
          exitCode: 1,
          message: `${url} took the request and gave no answer in time: see its log`,
        })
      }
    } finally {
      server.close()
    }
  })

  test('is kept for whoever reads slowly', async () => {
    await using site = await StreamSite.start()
    site.giving = () => pieces(32)
    const { transport, request } = watched(site.url)
    const answer = await new Exchange(transport, COPY).answer()
    let bytes = 0
    for await (const piece of answer as AsyncIterable<Buffer>) {
      if (bytes === 0) await once(await request, 'timeout')
      bytes += piece.length
    }
    assert.equal(bytes, 32 * MIB)
  })

  test('is kept while what is sent is slow to come', async () => {
    await using site = await StreamSite.start()
    const { transport, request } = watched(site.url)
    const slow = async function* () {
      yield* pieces(1)
      await once(await request, 'timeout')
      yield* pieces(1)
    }
    const body = Readable.from(slow())
    const headers = { 'Content-Type': TAPE }
    const sending = { ...COPY, path: '/api/v1/tape', headers, body }
    const answer = await new Exchange(transport, sending).answer()
    assert.deepEqual(await Array.fromAsync(answer as AsyncIterable<Buffer>, String), [
      `{"bytes":${2 * MIB}}`,
    ])
  })
})
