import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'

import { larder } from './admin.ts'

/** Ports of other protocols, which what browsers do refuses to ask: X11, SIP, IRC, Amanda. */
const REFUSED_BY_FETCH = [6000, 5060, 5061, 6665, 6666, 6667, 6668, 6669, 10080] as const

/** @param ports the first of these that is free */
async function answering(status: number, ports: readonly number[]): Promise<Server> {
  for (const port of ports) {
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/livez' ? status : 404).end()
    })
    const isTaken = once(server.listen(port, '127.0.0.1'), 'listening').then(
      () => false,
      () => true,
    )
    if (!(await isTaken)) return server
  }
  throw new Error('none of the ports is free')
}

function check(server: Server, t: TestContext) {
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return larder(['healthcheck', '--server', `http://127.0.0.1:${port}`])
}

test('a server that lives is healthy on whatever port it listens', async (t) => {
  for (const ports of [[0], REFUSED_BY_FETCH]) {
    const ended = await check(await answering(200, ports), t)
    assert.deepEqual(ended, { code: 0, stdout: 'ok\n', stderr: '' })
  }
})

test('one that answers otherwise, or not at all, is exit 1 and one line', async (t) => {
  const { code, stderr } = await check(await answering(503, [0]), t)
  assert.equal(code, 1)
  assert.match(stderr, /^http:\/\/127\.0\.0\.1:\d+ answers 503\n$/)
  const nobody = await answering(200, [0])
  const { port } = nobody.address() as AddressInfo
  nobody.close()
  const ended = await larder(['healthcheck', '-c', 'larder.yaml'], {
    files: { 'larder.yaml': `version: 1\nserver: { adminListen: "127.0.0.1:${port}" }\n` },
  })
  const stderrOf = `no answer from http://127.0.0.1:${port}: is the server running?\n`
  assert.deepEqual(ended, { code: 1, stdout: '', stderr: stderrOf })
})
