import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'

import { Crew, type CrewEvents } from '../../src/workers/crew.ts'
import { startTestApp } from '../support/app.ts'
import { send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const SETUP = {
  socketPath: '',
  secret: '',
  path: '',
  chunkCacheBytes: 0,
  material: undefined,
  connections: {},
}
const NO_EVENTS: CrewEvents = {
  ready: () => undefined,
  ended: () => undefined,
  counted: () => undefined,
  rejected: () => undefined,
  full: () => undefined,
}

test('workers that cannot be started are tried again less and less often, and hold up no start', async () => {
  const dir = await makeTempDir('larder-crew-')
  const program = join(dir.path, 'fails.mjs')
  await writeFile(program, 'process.exit(3)')
  const delays: number[] = []
  const enough = Promise.withResolvers<void>()
  const crew = new Crew({
    count: 1,
    program,
    flags: [],
    environment: {},
    setup: () => SETUP,
    events: {
      ...NO_EVENTS,
      ended(_, { code }, delayMs) {
        assert.equal(code, 3)
        delays.push(delayMs)
        if (delays.length === 5) enough.resolve()
      },
    },
  })
  await crew.start()
  assert.equal(crew.take({} as Socket), false)
  assert.equal(crew.isComplete, false)
  await enough.promise
  await crew.drain(0)
  assert.deepEqual(delays, [0, 100, 200, 400, 800])
  await dir.remove()
})

test('without a worker the main process has the connections itself, and says that something is wrong', async () => {
  await using hub = await startHub()
  const upstream = { name: 'docker.io', url: hub.registry.origin, default: true }
  // What Node does not know it does not start with.
  const workerEnvironment = { NODE_OPTIONS: '--no-such-option' }
  await using app = await startTestApp({ upstreams: [upstream], workers: 2, workerEnvironment })
  const got = await app.get(`${APP}/blobs/${hub.blob.digest}`)
  assert.equal(got.status, 200)
  assert.deepEqual(got.body, hub.blob.bytes)
  const ready = await send(app.adminUrl, '/readyz?verbose')
  assert.equal(ready.status, 200)
  assert.match(ready.body.toString(), /0 of 2 workers are running/)
  assert.ok(app.logs.some(({ msg }) => msg === 'a worker has ended: another takes its place'))
  await app.until('larder_worker_restarts_total', 3)
})

test('a worker that ends by itself is replaced, and the others have the connections meanwhile', async () => {
  await using hub = await startHub()
  const upstream = { name: 'docker.io', url: hub.registry.origin, default: true }
  await using app = await startTestApp({ upstreams: [upstream], workers: 2 })
  const ready = app.logs.filter(({ msg }) => msg === 'a worker is ready')
  assert.equal(ready.length, 2)
  for (const { pid } of ready) {
    process.kill(Number(pid), 'SIGTERM')
    process.kill(Number(pid), 'SIGHUP')
  }
  // Signals are for the process that decides; one that nobody can ignore is another matter.
  assert.equal((await app.get('/v2/')).status, 200)
  assert.equal(await app.metric('larder_worker_restarts_total'), 0)
  process.kill(Number(ready[0]?.['pid']), 'SIGKILL')
  await app.until('larder_worker_restarts_total', 1)
  assert.equal((await app.get(`${APP}/blobs/${hub.blob.digest}`)).status, 200)
  await app.until('larder_workers_running', 2)
})

test('a connection that a worker was to be given, and can no longer be, is ended and not kept', async () => {
  const dir = await makeTempDir('larder-crew-')
  const program = join(dir.path, 'silent.mjs')
  // It is ready, and takes what it is given to its end.
  await writeFile(
    program,
    `process.on('message', ({ kind }) => {
      if (kind === 'setup') process.send({ kind: 'ready' })
      else process.kill(process.pid, 'SIGKILL')
    })`,
  )
  const crew = new Crew({
    count: 1,
    program,
    flags: [],
    environment: {},
    setup: () => SETUP,
    events: NO_EVENTS,
  })
  await crew.start()
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    if (!crew.take(socket)) socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  await Promise.all(Array.from({ length: 5 }, () => endOf(server)))
  server.close()
  await crew.drain(0)
  await dir.remove()
})

/** Settles when the other side has ended the connection. */
async function endOf(server: Server): Promise<void> {
  const { port } = server.address() as { readonly port: number }
  await send(`http://127.0.0.1:${port}`, '/').then(
    () => assert.fail('nobody can have answered'),
    () => undefined,
  )
}
