import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { Socket } from 'node:net'
import { test } from 'node:test'

import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { runSecure } from './secure-client.ts'

async function serve(listener: RequestListener) {
  const server = createServer({ cert: LOOPBACK_CERT, key: LOOPBACK_KEY }, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return {
    port: address.port,
    onConnection: (listen: (socket: Socket) => void) => server.on('secureConnection', listen),
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

for (const threads of [1, 2]) {
  test(`${threads} threads count every byte of every body over connections they keep`, async () => {
    const body = Buffer.alloc(1_000_001, 'x')
    const seen: string[] = []
    let sockets = 0
    await using server = await serve((request, response) => {
      seen.push(`${request.url} ${request.headers.accept}`)
      response.writeHead(200, { 'content-length': body.length }).end(body)
    })
    server.onConnection(() => sockets++)

    const paths = ['/a', '/b']
    const headers = ['Accept: text/plain']
    const load = { port: server.port, paths, connections: 3, requests: 4, headers }
    const report = await runSecure(load, threads)

    assert.equal(report.requests, 12)
    assert.equal(report.bytes, 12 * body.length)
    assert.equal(sockets, 3)
    assert.ok(report.firstByteUs.p50 <= report.totalUs.p50)
    const turns = Object.groupBy(seen, (line) => line)
    assert.deepEqual(Object.keys(turns).sort(), ['/a text/plain', '/b text/plain'])
    assert.equal(turns['/a text/plain']?.length, 6)
  })
}

test('a header block may come in pieces, and a body with it or be none', async () => {
  const bodies = ['', 'short']
  await using server = await serve((request) => {
    const body = bodies[request.url === '/a' ? 0 : 1] ?? ''
    const { socket } = request
    socket.write('HTTP/1.1 200 OK\r\nContent-Le', () => {
      socket.write(`ngth: ${body.length}\r\n\r\n${body}`)
    })
  })
  const load = { port: server.port, paths: ['/a', '/b'], connections: 1, requests: 4 }
  const report = await runSecure(load)
  assert.deepEqual([report.requests, report.bytes], [4, 10])
})

test('over TLS, too, a body that ends early is an error, and an answer other than 200', async () => {
  await using server = await serve((request, response) => {
    if (request.url === '/none') return response.writeHead(404, { 'content-length': 0 }).end()
    response.writeHead(200, { 'content-length': 10 })
    return response.write('short', () => response.destroy())
  })
  const ask = (path: string) => runSecure({ port: server.port, paths: [path], connections: 1 })
  await assert.rejects(ask('/short'), /closed before the end of an answer/)
  await assert.rejects(ask('/none'), /answered 'HTTP\/1\.1 404 Not Found'/)
})
