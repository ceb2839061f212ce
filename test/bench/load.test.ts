import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

import { LoadClient } from './load.ts'

const skip = spawnSync('cc', ['--version']).error !== undefined && 'no C compiler is here'

describe('the load client', { skip }, () => {
  let folder: string
  let client: LoadClient

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'larder-load-'))
    client = await LoadClient.compile(folder)
  })
  after(() => rm(folder, { recursive: true, force: true }))

  test('counts every byte of every body over connections it keeps', async () => {
    const body = Buffer.alloc(3_000_001, 'x')
    let sockets = 0
    await using server = await serve((_request, response) => response.end(body))
    server.onConnection(() => sockets++)

    const report = await client.run({ ...server, paths: ['/a'], connections: 3, requests: 4 })

    assert.equal(report.requests, 12)
    assert.equal(report.bytes, 12 * body.length)
    assert.deepEqual(report.status, { 200: 12 })
    assert.equal(sockets, 3)
    assert.ok(report.firstByteUs.p50 <= report.totalUs.p50)
  })

  test('asks for each path in turn, with the range and the headers it was given', async () => {
    const seen: string[] = []
    await using server = await serve((request, response) => {
      seen.push(`${request.url} ${request.headers.range} ${request.headers.accept}`)
      response.writeHead(206, { 'content-length': 2 }).end('ab')
    })

    await client.run({
      ...server,
      paths: ['/a', '/b'],
      connections: 1,
      requests: 3,
      range: 'bytes=0-1',
      headers: ['Accept: text/plain'],
    })

    const rest = 'bytes=0-1 text/plain'
    assert.deepEqual(seen, [`/a ${rest}`, `/b ${rest}`, `/a ${rest}`])
  })

  test('asks for the range that stands behind a path', async () => {
    const seen: string[] = []
    await using server = await serve((request, response) => {
      seen.push(`${request.url} ${request.headers.range}`)
      response.writeHead(206, { 'content-length': 2 }).end('ab')
    })

    const paths = ['/a bytes=0-1', '/b']
    await client.run({ ...server, paths, connections: 1, requests: 2 })

    assert.deepEqual(seen, ['/a bytes=0-1', '/b undefined'])
  })

  test('lets each connection walk through all paths, if it is told to', async () => {
    const seen = new Map<number | undefined, string>()
    await using server = await serve((request, response) => {
      const { remotePort } = request.socket
      seen.set(remotePort, `${seen.get(remotePort) ?? ''}${request.url}`)
      response.writeHead(200, { 'content-length': 2 }).end('ab')
    })

    const paths = ['/a', '/b', '/c']
    await client.run({ ...server, paths, connections: 3, requests: 3, isWalk: true })

    assert.deepEqual([...seen.values()], ['/a/b/c', '/a/b/c', '/a/b/c'])
  })

  test('waits for no body after HEAD', async () => {
    await using server = await serve((_request, response) =>
      response.writeHead(200, { 'content-length': 5 }).end(),
    )

    const load = { paths: ['/'], connections: 1, requests: 2, method: 'HEAD' } as const
    const report = await client.run({ ...server, ...load })

    assert.equal(report.requests, 2)
    assert.equal(report.bytes, 0)
  })

  test('a body that ends early is an error, not a quick answer', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 10 })
      response.write('short', () => response.destroy())
    })

    await assert.rejects(
      client.run({ ...server, paths: ['/'], connections: 1, requests: 1 }),
      /1 requests failed: closed before the end of a body/,
    )
  })

  test('an answer other than 200 and 206 is an error', async () => {
    await using server = await serve((_request, response) =>
      response.writeHead(404, { 'content-length': 0 }).end(),
    )

    await assert.rejects(
      client.run({ ...server, paths: ['/'], connections: 1, requests: 1 }),
      /answers \{"404":1\}/,
    )
  })
})

async function serve(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return {
    port: address.port,
    onConnection: (listen: () => void) => server.on('connection', listen),
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
