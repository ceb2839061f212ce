import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { send } from '../support/http-client.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { metric, until } from './metrics.ts'
import { countGets, type RealRegistry, startRealRegistry } from './real-registry.ts'
import { makeImage, makeLargeImage } from './site.ts'
import { skopeoCopy } from './skopeo.ts'

const MIB = 1024 * 1024
/** Beyond the middle is more than the kernel takes in advance. */
const LARGE = 40 * MIB
const MIDDLE = 18 * MIB
const BLOBS = { upstream: 'paused.test', type: 'blob' }
const FETCHED = 'larder_fetched_bytes_total'
const RESUMES = 'larder_upstream_resumes_total'

let paused: RealRegistry
let other: RealRegistry
let containerd: Containerd

before(async () => {
  paused = await startRealRegistry()
  other = await startRealRegistry()
  containerd = await startContainerd()
})

after(async () => {
  await containerd?.[Symbol.asyncDispose]()
  await paused?.stop()
  await other?.stop()
})

test('a registry that stands still in the middle of a pull holds up nothing else', async () => {
  await using larder = await start({ bandwidth: '16MiB' })
  const { image, layer } = makeLargeImage('standstill', LARGE)
  await paused.push('team/large', 'v1', image)
  await paused.push('team/cached', 'v1', makeImage('cached before'))
  await other.push('team/app', 'v1', makeImage('of the other'))
  await skopeoCopy(`${hostOf(larder)}/paused.test/team/cached:v1`)
  await paused.forget()
  const pull = containerd.pull('paused.test/team/large:v1')
  // Also where the test fails before it is waited for.
  pull.catch(() => undefined)
  await until(larder, FETCHED, MIDDLE, BLOBS)
  paused.pause()
  try {
    await skopeoCopy(`${hostOf(larder)}/paused.test/team/cached:v1`)
    await containerd.pull('paused.test/team/cached:v1')
    await containerd.pull('other.test/team/app:v1')
    assert.ok((await metric(larder, FETCHED, BLOBS)) < layer.size, 'it is still in the middle')
  } finally {
    paused.resume()
  }
  await pull
  assert.ok((await containerd.listContent('default')).includes(layer.digest))
  assert.equal(await metric(larder, RESUMES), 0)
  assert.equal(countGets(await paused.requests(), 'blobs', layer.digest), 1)
})

test('one that stands still for too long is left, and the pull goes on when it moves', async () => {
  const patience = { connectTimeout: '500ms', headersTimeout: '500ms', idleTimeout: '500ms' }
  await using larder = await start({ bandwidth: '16MiB', ...patience })
  const { image, layer } = makeLargeImage('too long', LARGE)
  await paused.push('long/large', 'v1', image)
  const reference = `${hostOf(larder)}/paused.test/long/large:v1`
  const pulls = Promise.all([containerd.pull('paused.test/long/large:v1'), skopeoCopy(reference)])
  // Also where the test fails before it is waited for.
  pulls.catch(() => undefined)
  await until(larder, FETCHED, MIDDLE, BLOBS)
  paused.pause()
  try {
    const startedAt = performance.now()
    const miss = await send(larder.url, '/v2/long/absent/manifests/v1?ns=paused.test')
    assert.equal(miss.status, 504, miss.body.toString())
    assert.ok(performance.now() - startedAt < 3_000)
    await until(larder, 'larder_upstream_errors_total', 2, { upstream: 'paused.test' })
    assert.ok((await metric(larder, FETCHED, BLOBS)) < layer.size, 'it is still in the middle')
  } finally {
    paused.resume()
  }
  await pulls
  assert.ok((await containerd.listContent('default')).includes(layer.digest))
  assert.ok((await metric(larder, RESUMES)) >= 1)
  assert.equal(await metric(larder, FETCHED, BLOBS), layer.size + image.config.size)
})

async function start(limits: Readonly<Record<string, string>>): Promise<RunningLarder> {
  const larder = await startLarder({
    upstreams: [
      { name: 'paused.test', url: paused.url, limits },
      { name: 'other.test', url: other.url },
    ],
  })
  for (const name of ['paused.test', 'other.test']) await containerd.setMirror(name, larder.url)
  return larder
}

function hostOf({ url }: RunningLarder): string {
  return new URL(url).host
}
