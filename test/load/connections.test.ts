import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, connect as dial, type Socket } from 'node:net'
import { test } from 'node:test'

import { Connections, connectionCap, type RejectReason } from '../../src/listener/connections.ts'
import { connectTo, startListener } from './listener.ts'

const PING = 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'

test('connections beyond the cap are closed at once, and said so once', async () => {
  const rejected: RejectReason[] = []
  const full: boolean[] = []
  let open = 0
  const emptied = Promise.withResolvers<void>()
  await using listener = await startListener((_, response) => response.end('{}'), {
    connections: { total: 10 },
    onConnections: {
      counted: (count) => {
        open = count
        if (count === 0) emptied.resolve()
      },
      rejected: (reason) => void rejected.push(reason),
      full: (isFull) => void full.push(isFull),
    },
  })
  const clients = await Promise.all(Array.from({ length: 10 }, () => connectTo(listener.port)))
  // Who has an answer has been counted.
  for (const { socket } of clients) {
    socket.write(PING)
    await once(socket, 'data')
  }
  assert.equal(open, 10)
  for (let i = 0; i < 5; i++) assert.equal(await (await connectTo(listener.port)).ended, '')
  assert.deepEqual(rejected, Array(5).fill('total'))
  assert.deepEqual(full, [true])
  for (const { socket } of clients) socket.destroy()
  await emptied.promise
  const next = await connectTo(listener.port)
  next.socket.write(PING)
  await once(next.socket, 'data')
  next.socket.destroy()
  assert.deepEqual(full, [true, false])
})

test('an address has as much as there is while nobody else wants it, and then its share', async () => {
  const rejected: RejectReason[] = []
  const server = createServer()
  new Connections(
    server,
    { total: 12, perAddress: 2 },
    {
      counted: () => undefined,
      rejected: (reason) => void rejected.push(reason),
      full: () => undefined,
    },
  )
  server.listen(0, '0.0.0.0')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const sockets: Socket[] = []
  const from = async (localAddress: string) => {
    const accepted = once(server, 'connection')
    const socket = dial({ port, host: '127.0.0.1', localAddress })
    sockets.push(socket.on('error', () => undefined))
    const [inside] = (await accepted) as [Socket]
    return !inside.destroyed
  }
  for (let i = 0; i < 6; i++) assert.equal(await from('127.0.0.2'), true)
  assert.equal(await from('127.0.0.2'), false)
  assert.equal(await from('127.0.0.3'), true)
  assert.equal(await from('127.0.0.3'), true)
  assert.equal(await from('127.0.0.3'), false)
  assert.deepEqual(rejected, ['address', 'address'])
  for (const socket of sockets) socket.destroy()
  server.close()
})

test('the cap leaves descriptors for files', () => {
  assert.equal(connectionCap(Number.POSITIVE_INFINITY), 4096)
  assert.equal(connectionCap(20_000), 4096)
  assert.equal(connectionCap(1024), 393)
  assert.equal(connectionCap(10), 16)
})

test('a process without descriptors survives, does not spin, and serves when it has some again', async () => {
  const listener = new URL('./listener.ts', import.meta.url).href
  const program = `
    import { startListener } from '${listener}'
    const { port } = await startListener((_, response) => response.end('{}'), {
      connections: { total: 4096 },
    })
    console.log(port)
    process.stdin.on('data', () => console.log(process.cpuUsage().user + process.cpuUsage().system))
  `
  const child = spawn(
    'sh',
    ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, program],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const ask = async () => Number(String((await once(child.stdout, 'data'))[0]))
  const port = await ask()
  const clients = await Promise.all(Array.from({ length: 200 }, () => connectTo(port)))
  const cpuUsed = () => {
    child.stdin.write('?')
    return ask()
  }
  const before = await cpuUsed()
  const startedAt = performance.now()
  // What it is refused it learns, or waits for: either way the process has to be at rest.
  await Promise.race([clients.at(-1)?.ended, new Promise((resolve) => setTimeout(resolve, 500))])
  const spentMs = ((await cpuUsed()) - before) / 1000
  assert.ok(spentMs < 100 + (performance.now() - startedAt) / 2, `${spentMs} ms of CPU`)
  assert.equal(child.exitCode, null)
  for (const { socket } of clients) socket.destroy()
  // Whoever comes before it has noticed that they have left may be refused as they were.
  let answer = ''
  for (const endsAt = performance.now() + 20_000; answer === '' && performance.now() < endsAt; ) {
    const next = await connectTo(port)
    next.socket.write(`${PING.slice(0, -2)}Connection: close\r\n\r\n`)
    answer = await next.ended
  }
  assert.match(answer, /^HTTP\/1\.1 200 /)
  child.kill()
  await once(child, 'close')
})
