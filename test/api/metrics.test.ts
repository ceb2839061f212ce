import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { ALWAYS, IMPATIENT } from '../support/app.ts'
import { answer } from '../support/faults.ts'
import type { ClientRequest, ClientResponse } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'
import { buildImage } from '../support/images.ts'
import { sumOf } from '../support/samples.ts'

const upstream = 'docker.io'

test('every pull has exactly one result, and every byte one source', async () => {
  const passing = { tags: ALWAYS, limits: IMPATIENT, writes: 'passthrough' } as const
  await using hub = await startHub({ upstream: passing })
  const { app, registry, blob } = hub
  const expected = new Map<string, number>()
  const bytes = { cache: 0, upstream: 0 }
  let pulls = 0
  const expect = (type: string, result: string, count = 1) => {
    pulls += count
    expected.set(`${type} ${result}`, (expected.get(`${type} ${result}`) ?? 0) + count)
  }
  const pull = async (
    path: string,
    type: string,
    result: string,
    source?: keyof typeof bytes,
    options?: ClientRequest,
  ): Promise<ClientResponse> => {
    expect(type, result)
    const got = await app.get(`${APP}/${path}`, options)
    if (source !== undefined) bytes[source] += got.body.length
    return got
  }

  await pull('manifests/v1', 'manifest', 'miss', 'upstream')
  await pull('manifests/v1', 'manifest', 'revalidated', 'cache')
  await pull(`manifests/${hub.index.manifest.digest}`, 'manifest', 'hit', 'cache')
  await pull('manifests/v1', 'manifest', 'revalidated', undefined, { method: 'HEAD' })
  await pull('tags/list', 'tags', 'miss', 'upstream')
  await pull('tags/list?n=1', 'tags', 'hit', 'cache')
  await pull(`referrers/${blob.digest}`, 'referrers', 'miss', 'upstream')

  const held = registry.hold({ path: /blobs/ }, { times: 1 })
  const together = [app.get(`${APP}/blobs/${blob.digest}`), app.get(`${APP}/blobs/${blob.digest}`)]
  await app.until('larder_http_requests_in_flight', 2)
  held.release()
  for (const { body } of await Promise.all(together)) bytes.upstream += body.length
  expect('blob', 'miss')
  expect('blob', 'coalesced')
  await pull(`blobs/${blob.digest}`, 'blob', 'hit', 'cache')
  await pull(`blobs/${blob.digest}`, 'blob', 'hit', 'cache', { range: 'bytes=5-14' })
  await pull(`blobs/${blob.digest}`, 'blob', 'hit', undefined, { range: 'bytes=9999-' })
  await pull(`blobs/${blob.digest}`, 'blob', 'hit', undefined, { method: 'HEAD' })

  await pull('manifests/absent', 'manifest', 'miss')
  await pull('manifests/absent', 'manifest', 'negative')
  const { bytes: body } = buildImage({ seed: 'pushed' }).manifest
  const put = { method: 'PUT', headers: { 'Content-Type': OCI_MANIFEST }, body }
  await pull('manifests/pushed', 'manifest', 'bypass', undefined, put)

  registry.script({}, answer(503))
  await pull('manifests/v1', 'manifest', 'stale', 'cache')
  await pull('manifests/docker', 'manifest', 'error')
  registry.clearScripts()
  registry.script({}, answer(403))
  await pull('manifests/sha512', 'manifest', 'denied')

  // No pull: neither is about content of a registry.
  await app.get('/v2/')
  await app.get('/v2/library/app/manifests/v1?ns=unknown')
  await app.get('/nowhere')

  assert.equal(await app.metric('larder_requests_total'), pulls)
  const samples = await app.samples()
  const counted = samples
    .filter(({ name, value }) => name === 'larder_requests_total' && value > 0)
    .map(({ labels, value }) => [`${labels['type']} ${labels['result']}`, value] as const)
  assert.deepEqual(new Map(counted.toSorted()), new Map([...expected].toSorted()))
  for (const [source, count] of Object.entries(bytes)) {
    assert.equal(sumOf(samples, 'larder_served_bytes_total', { source }), count, source)
  }
})

test('fetched bytes are those that the registry sent', async () => {
  await using hub = await startHub()
  const manifest = await hub.app.get(`${APP}/manifests/v1`)
  await hub.app.get(`${APP}/manifests/v1`)
  for (let i = 0; i < 3; i++) await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  const fetched = (type: string) => hub.app.metric('larder_fetched_bytes_total', { upstream, type })
  assert.equal(await fetched('manifest'), manifest.body.length)
  assert.equal(await fetched('blob'), hub.blob.bytes.length)
})

test('a 304 serves no bytes, and is a result', async () => {
  await using hub = await startHub()
  await hub.app.get(`${APP}/manifests/v1`)
  const served = await hub.app.metric('larder_served_bytes_total')
  const headers = { 'If-None-Match': `"${hub.index.manifest.digest}"` }
  assert.equal((await hub.app.get(`${APP}/manifests/v1`, { headers })).status, 304)
  assert.equal(await hub.app.metric('larder_served_bytes_total'), served)
  assert.equal(await hub.app.metric('larder_requests_total'), 2)
})

test('requests to the registry are counted by what they were for and how they ended', async () => {
  await using hub = await startHub()
  await hub.app.get(`${APP}/manifests/v1`)
  await hub.app.get(`${APP}/manifests/absent`)
  await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  const count = (endpoint: string, code: string) =>
    hub.app.metric('larder_upstream_requests_total', { upstream, endpoint, code })
  assert.equal(await count('manifest', '200'), 1)
  assert.equal(await count('manifest', '404'), 1)
  assert.equal(await count('blob', '200'), 1)
  assert.equal(await hub.app.metric('larder_upstream_requests_total'), hub.registry.count())
})

test('no label is chosen by a caller', async () => {
  await using hub = await startHub()
  for (const name of ['canary-one', 'canary-two']) {
    await hub.app
      .get(`/v2/library/${name}/manifests/${name}`, { method: name.toUpperCase() })
      .catch(() => undefined)
    await hub.app.get(`/v2/${name}/x/manifests/v1?ns=${name}`)
    await hub.app.get(`/v2/library/${name}/manifests/${name}`, {
      headers: { 'User-Agent': name, 'X-Request-Id': name },
    })
  }
  for (const { labels } of await hub.app.samples()) {
    assert.doesNotMatch(Object.values(labels).join(' '), /canary/i)
  }
})

test('store, flights and process are measured', async () => {
  await using hub = await startHub()
  await hub.app.get(`${APP}/manifests/v1`)
  await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  // The client has the last byte before the disk does.
  await hub.app.until('larder_store_blobs', 2)
  const stored = hub.blob.bytes.length + hub.index.manifest.bytes.length
  assert.equal(await hub.app.metric('larder_store_bytes'), stored)
  assert.equal(await hub.app.metric('larder_store_quota_bytes'), 2 ** 30)
  assert.equal(await hub.app.metric('larder_store_tags'), 1)
  assert.equal(await hub.app.metric('larder_inflight_fetches'), 0)
  assert.ok((await hub.app.metric('process_resident_memory_bytes')) > 0)
  const firstByte = 'larder_http_time_to_first_byte_seconds_count'
  assert.equal(await hub.app.metric(firstByte, { result: 'miss' }), 2)
})
