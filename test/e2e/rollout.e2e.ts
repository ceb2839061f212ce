import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'

import { open, send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { countGets, type RealRegistry, startRealRegistry } from './real-registry.ts'

const CLIENTS = 50
const BLOB_BYTES = 128 * 1024 * 1024

let registry: RealRegistry
let larder: RunningLarder

before(async () => {
  registry = await startRealRegistry()
  larder = await startLarder({ upstreams: [{ name: 'reg.test', url: registry.url }] })
})

after(async () => {
  await larder?.close()
  await registry?.stop()
})

test('50 clients at once cost the upstream one download of a 128 MiB layer', async () => {
  const image = buildImage({ layers: [BLOB_BYTES], seed: 'rollout' })
  const digest = image.layers[0]?.digest ?? ''
  await registry.push('team/large', 'v1', image)
  await registry.forget()
  const manifest = await send(larder.url, '/v2/team/large/manifests/v1?ns=reg.test')
  assert.equal(manifest.status, 200, manifest.body.toString())
  const path = `/v2/team/large/blobs/${digest}?ns=reg.test`
  const digests = await Promise.all(Array.from({ length: CLIENTS }, () => pull(path)))
  assert.deepEqual(digests, Array(CLIENTS).fill(digest))
  assert.equal(countGets(await registry.requests(), 'blobs'), 1)
  assert.equal(await pull(path), digest)
  assert.equal(countGets(await registry.requests(), 'blobs'), 1)
})

/** The digest of what came; nothing is kept. */
async function pull(path: string): Promise<string> {
  const response = await open(larder.url, path)
  assert.equal(response.statusCode, 200)
  const hash = createHash('sha256')
  let received = 0
  for await (const chunk of response) {
    hash.update(chunk as Buffer)
    received += (chunk as Buffer).length
  }
  assert.equal(received, BLOB_BYTES)
  return `sha256:${hash.digest('hex')}`
}
