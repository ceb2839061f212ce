import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { stall } from '../support/faults.ts'
import { open, readResponse, send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { type LarderOptions, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const MIB = 1024 * 1024

/** A download that is stalled in its middle, and the client that waits for it. */
async function startStalled(t: TestContext, more: Partial<LarderOptions> = {}) {
  const registry = await new FaultRegistry().start()
  t.after(() => registry.close())
  const dir = await makeTempDir('larder-drain-')
  t.after(() => dir.remove())
  const image = buildImage({ seed: 'drain', layers: [3 * MIB] })
  registry.add('team/app', image, 'v1')
  const layer = image.blobs.entries().find(([, bytes]) => bytes.length >= 3 * MIB)
  assert.ok(layer)
  const [digest, bytes]: readonly [Digest, Buffer] = layer
  const barrier = new Barrier()
  registry.script({ path: /\/blobs\// }, stall(2 * MIB, barrier), { times: 1 })
  const upstreams = [{ name: 'reg.test', url: registry.origin, default: true, access: 'public' }]
  const options = { upstreams, dataDir: join(dir.path, 'data'), ...more }
  const larder = await startLarder(options)
  t.after(() => larder.close())
  const path = `/v2/team/app/blobs/${digest}`
  const answer = await open(larder.url, path)
  const reading = readResponse(answer)
  await barrier.arrived()
  return { registry, larder, options, barrier, path, bytes, reading }
}

test('SIGTERM lets a pull under way end, takes no new connections, and exits 0', async (t) => {
  const { larder, barrier, bytes, reading } = await startStalled(t)
  const closing = larder.close()
  await larder.logged('draining')
  await assert.rejects(send(larder.url, '/v2/'), { code: 'ECONNREFUSED' })
  const ready = await send(larder.adminUrl, '/readyz')
  assert.equal(ready.status, 503)
  assert.equal((await send(larder.adminUrl, '/livez')).status, 200)
  barrier.release()
  const got = await reading
  assert.equal(got.complete, true)
  assert.ok(got.body.equals(bytes))
  assert.equal(await closing, 0)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`a second signal, ${signal}, cuts what is under way: never a short body that looks whole`, async (t) => {
    const { larder, reading } = await startStalled(t)
    const closing = larder.close()
    await larder.logged('draining')
    process.kill(larder.pid, signal)
    const got = await reading
    assert.equal(got.complete, false)
    assert.equal(await closing, 0)
  })
}

test('after drainTimeout what is under way is cut, and its part is resumed by the next start', async (t) => {
  const { larder, options, registry, path, bytes, reading } = await startStalled(t, {
    server: { drainTimeout: '100ms' },
  })
  const closing = larder.close()
  const got = await reading
  assert.equal(got.status, 200)
  assert.equal(got.complete, false)
  assert.ok(got.body.length < bytes.length)
  assert.equal(await closing, 0)

  const ingest = join(options.dataDir, 'ingest')
  const [part = ''] = await readdir(ingest)
  assert.match(part, /\.part$/)
  const { size } = await stat(join(ingest, part))
  assert.ok(size > 0)
  registry.forget()
  const again = await startLarder(options)
  t.after(() => again.close())
  const whole = await send(again.url, path)
  assert.ok(whole.complete && whole.body.equals(bytes))
  const [asked] = registry.find({ path })
  assert.equal(asked?.headers.range, `bytes=${size}-`)
})

test('drainTimeout is the one of the last reload, and a SIGHUP during the drain changes nothing', async (t) => {
  const { larder, options, reading } = await startStalled(t, { server: { drainTimeout: '1h' } })
  await larder.writeConfig({ ...options, server: { drainTimeout: '2s' } })
  process.kill(larder.pid, 'SIGHUP')
  await larder.logged('the configuration was read again and is in use')
  const closing = larder.close()
  await larder.logged('draining')
  await larder.writeConfig({ ...options, server: { drainTimeout: '1h' } })
  process.kill(larder.pid, 'SIGHUP')
  await larder.logged('the configuration is not read again: the server is stopping')
  assert.equal((await send(larder.adminUrl, '/readyz')).status, 503)
  assert.equal((await reading).complete, false)
  assert.equal(await closing, 0)
})

test('an idle connection is closed at once, and does not hold up the end', async (t) => {
  const { larder, barrier, reading } = await startStalled(t)
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const idle = await open(larder.url, '/v2/', { agent })
  const { socket } = idle
  await readResponse(idle)
  assert.equal(socket.destroyed, false)
  const ended = once(socket, 'close')
  const closing = larder.close()
  await ended
  barrier.release()
  assert.equal((await reading).complete, true)
  assert.equal(await closing, 0)
})

test('on a connection that is in use the registry port says that it is not ready', async (t) => {
  const { larder, barrier, path, bytes, reading } = await startStalled(t)
  const socket = connect(larder.port, '127.0.0.1')
  t.after(() => socket.destroy())
  let received = ''
  socket.setEncoding('latin1').on('data', (data: string) => {
    received += data
  })
  socket.on('error', () => undefined)
  const host = 'Host: larder\r\n'
  socket.write(`GET ${path} HTTP/1.1\r\n${host}\r\n`)
  await once(socket, 'data')
  const closing = larder.close()
  await larder.logged('draining')
  socket.write(`GET /readyz HTTP/1.1\r\n${host}\r\n`)
  const closed = once(socket, 'close')
  // The admin port answers after what was written before has come, on the same machine.
  assert.equal((await send(larder.adminUrl, '/readyz')).status, 503)
  barrier.release()
  await closed
  const [head = ''] = received.split('\r\n\r\n', 1)
  const rest = received.slice(head.length + 4 + bytes.length)
  assert.match(head, /^HTTP\/1\.1 200 /)
  assert.match(rest, /^HTTP\/1\.1 503 /)
  assert.equal((await reading).complete, true)
  assert.equal(await closing, 0)
})
