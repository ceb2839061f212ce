import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { encodedOf } from '../../src/oci/digest.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { startContainerd } from './containerd.ts'
import { metric, until } from './metrics.ts'
import { createLinkedNetwork } from './network.ts'
import { freePort } from './programs.ts'
import { countGets, startRealRegistry } from './real-registry.ts'
import { makeLargeImage } from './site.ts'
import { skopeoCopy } from './skopeo.ts'

const MIB = 1024 * 1024
const BLOBS = { type: 'blob' }
const FETCHED = 'larder_fetched_bytes_total'

test('a cold pull of 256 MiB survives three crashes of its registry', async () => {
  await using network = await createLinkedNetwork()
  await using registry = await startRealRegistry('open', { network })
  const { image, layer } = makeLargeImage('survivor', 256 * MIB)
  await registry.push('team/large', 'v1', image)
  // Slow enough that there is a middle to crash in.
  const limits = { bandwidth: '64MiB' }
  const upstream = { name: 'reg.test', url: registry.url, plainHttp: true, limits }
  await using larder = await startLarder({ upstreams: [upstream] })
  await using containerd = await startContainerd()
  await containerd.setMirror('reg.test', larder.url)
  await registry.forget()
  const before = await network.sent()

  const pulls = Promise.all([
    containerd.pull('reg.test/team/large:v1'),
    skopeoCopy(`${new URL(larder.url).host}/reg.test/team/large:v1`),
  ])
  // Also where the test fails before it is waited for.
  pulls.catch(() => undefined)
  for (const megabytes of [64, 128, 192]) {
    await until(larder, FETCHED, megabytes * MIB, BLOBS)
    await registry.crash()
  }
  await pulls

  // Both clients have hashed what they got; here it is by that name.
  assert.ok((await containerd.listContent('default')).includes(layer.digest))
  assert.ok((await metric(larder, 'larder_upstream_resumes_total')) >= 3)
  const blobBytes = layer.size + image.config.size
  assert.equal(await metric(larder, FETCHED, BLOBS), blobBytes)
  // On the wire: what was on its way at a crash is lost, and packets have headers.
  const wire = (await network.sent()).bytes - before.bytes
  assert.ok(wire < 1.1 * blobBytes, `${wire} bytes left the registry for ${blobBytes}`)
  const asked = await registry.requests()
  const last = asked.findLast(({ path }) => path.includes(layer.digest))
  assert.equal(last?.status, 206, JSON.stringify(asked))
})

test('Larder, killed in the middle of a cold pull, goes on where it was', async () => {
  await using data = await makeTempDir('larder-e2e-data-')
  await using registry = await startRealRegistry()
  const { image, layer } = makeLargeImage('victim', 48 * MIB)
  await registry.push('team/large', 'v1', image)
  const limits = { bandwidth: '16MiB' }
  const options = {
    upstreams: [{ name: 'reg.test', url: registry.url, limits }],
    server: { listen: `127.0.0.1:${await freePort()}` },
    dataDir: data.path,
  }
  const first = await startLarder(options)
  await using containerd = await startContainerd()
  await containerd.setMirror('reg.test', first.url)
  const broken = assert.rejects(containerd.pull('reg.test/team/large:v1'))
  try {
    await until(first, FETCHED, 24 * MIB, BLOBS)
  } finally {
    await first.kill()
  }
  await broken
  const part = await stat(join(data.path, 'ingest', `${encodedOf(layer.digest)}.part`))
  assert.ok(part.size >= 16 * MIB, `${part.size} bytes were kept`)

  await using larder = await startLarder(options)
  await registry.forget()
  await containerd.pull('reg.test/team/large:v1')
  await skopeoCopy(`${new URL(larder.url).host}/reg.test/team/large:v1`)
  assert.ok((await containerd.listContent('default')).includes(layer.digest))
  assert.equal(countGets(await registry.requests(), 'blobs', layer.digest), 1)
  const fetched = await metric(larder, FETCHED, BLOBS)
  const missing = layer.size - part.size
  // The small one may have been lost with the process.
  const expected = fetched === missing ? missing : missing + image.config.size
  assert.equal(fetched, expected, `${part.size} of ${layer.size} bytes were there already`)
})
