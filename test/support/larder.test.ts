import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'

import { FaultRegistry } from './fault-registry.ts'
import { send } from './http-client.ts'
import { buildImage } from './images.ts'
import { startLarder } from './larder.ts'
import { makeTempDir } from './temp-dir.ts'

test('larder runs as a process of its own, and ends with 0 and nothing left behind', async () => {
  await using registry = await new FaultRegistry().start()
  const image = buildImage({ seed: 'larder' })
  registry.add('team/app', image, 'v1')
  const larder = await startLarder({ upstreams: [{ name: 'reg.test', url: registry.origin }] })
  const { status, body } = await send(larder.url, '/v2/team/app/manifests/v1?ns=reg.test')
  assert.equal(status, 200)
  assert.deepEqual(body, image.manifest.bytes)
  assert.equal((await send(larder.adminUrl, '/metrics')).status, 200)
  assert.equal(
    larder.logs().some((line) => line['msg'] === 'listening'),
    true,
  )
  assert.equal(await larder.close(), 0)
  assert.equal(existsSync(larder.dataDir), false)
})

test('a data directory of the test survives a kill, and the next start', async () => {
  await using dir = await makeTempDir()
  await using registry = await new FaultRegistry().start()
  registry.add('team/app', buildImage({ seed: 'kept' }), 'v1')
  const options = {
    upstreams: [{ name: 'reg.test', url: registry.origin }],
    dataDir: `${dir.path}/data`,
  }
  const path = '/v2/team/app/manifests/v1?ns=reg.test'
  const first = await startLarder(options)
  assert.equal((await send(first.url, path)).status, 200)
  await first.kill()
  await assert.rejects(send(first.url, path))
  registry.forget()
  await using second = await startLarder(options)
  assert.equal((await send(second.url, path)).status, 200)
  assert.equal(registry.count(), 0)
})

test('a start that fails tells what the program said', async () => {
  const upstreams = [{ name: 'reg.test', url: 'http://127.0.0.1:1', accss: 'public' }]
  await assert.rejects(startLarder({ upstreams }), /ended with 2 before it listened\n.*accss/s)
})
