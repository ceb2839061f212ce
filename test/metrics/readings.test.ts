import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { Metrics } from '../../src/metrics.ts'
import { send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'
import { samplesOf } from '../support/samples.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'

const MIB = 1024 * 1024

test('what an operator asks for is counted, what is only asked about is not', async () => {
  await using hub = await startHub()
  const { app } = hub
  const gc = (body: object) =>
    send(app.adminUrl, '/api/v1/gc', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  assert.equal((await gc({ dryRun: true })).status, 200)
  assert.equal(await app.metric('larder_gc_runs_total'), 0)
  assert.ok(Number.isNaN(await app.metric('larder_gc_last_success_timestamp_seconds')))
  assert.equal((await gc({})).status, 200)
  assert.equal(await app.metric('larder_gc_runs_total', { result: 'ok' }), 1)
  assert.equal(await app.metric('larder_gc_duration_seconds_count'), 1)
  assert.ok((await app.metric('larder_gc_last_success_timestamp_seconds')) > 1e9)
})

test('the database is measured as it is asked and written to', async () => {
  await using hub = await startHub()
  await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)
  await hub.app.until('larder_store_blobs', 1)
  for (const op of ['read', 'write']) {
    assert.ok((await hub.app.metric('larder_db_query_duration_seconds_count', { op })) > 0, op)
  }
  assert.ok((await hub.app.metric('larder_db_size_bytes')) > 0)
  assert.ok((await hub.app.metric('larder_db_wal_size_bytes')) > 0)
})

test('a certificate says when it expires, and none says nothing', async () => {
  await using dir = await makeTempDir()
  const [certFile, keyFile] = [join(dir.path, 'cert.pem'), join(dir.path, 'key.pem')]
  await writeFile(certFile, LOOPBACK_CERT)
  await writeFile(keyFile, LOOPBACK_KEY)
  const tls = { certFile, keyFile, clientCaFile: undefined }
  await using hub = await startHub({ app: { tls } })
  const name = 'larder_tls_certificate_expiry_timestamp_seconds'
  const expiresAt = new X509Certificate(LOOPBACK_CERT).validToDate.getTime() / 1000
  assert.equal(await hub.app.metric(name, { cert: 'server' }), expiresAt)
  await using plain = await startHub()
  assert.ok((await plain.app.samples()).every((sample) => sample.name !== name))
})

test('downloads are told apart by their size', async () => {
  const metrics = new Metrics({ version: '0' }, ['docker.io'])
  for (const mebibytes of [0, 4.9, 5, 99, 100, 1023, 1024, 9000]) {
    metrics.upstreams.downloaded('docker.io', mebibytes * MIB, 1)
  }
  const counted = samplesOf(await metrics.render())
    .filter(({ name }) => name === 'larder_upstream_download_duration_seconds_count')
    .map(({ labels, value }) => [labels['size_class'], value])
  const expected = { lt5MiB: 2, lt100MiB: 2, lt1GiB: 2, ge1GiB: 2 }
  assert.deepEqual(Object.fromEntries(counted), expected)
})

test('a client that has left waits no more, and has had no answer', async () => {
  await using hub = await startHub()
  const { app, registry, blob } = hub
  const held = registry.hold({ path: /blobs/ }, { times: 1 })
  const leaving = new AbortController()
  const path = `${APP}/blobs/${blob.digest}`
  const first = app.get(path)
  await registry.seen({ path: /blobs/ })
  const second = app.get(path, { signal: leaving.signal })
  await app.until('larder_http_requests_in_flight', 2)
  leaving.abort()
  await assert.rejects(second)
  await app.until('larder_http_requests_total', 1, { code: '499' })
  held.release()
  await first
  assert.equal(await app.metric('larder_coalesced_waiters'), 0)
  assert.equal(await app.metric('larder_http_requests_total', { handler: 'blob' }), 2)
})

test('what operators ask for is counted apart from what nodes do', async () => {
  await using hub = await startHub()
  const { app } = hub
  for (const path of ['/', '/ui/main.js', '/api/v1/overview', '/api/v1/nothing', '/livez']) {
    await send(app.adminUrl, path)
  }
  await send(app.adminUrl, '/api/v1/overview', { method: 'PROPFIND' })
  await app.until('larder_http_requests_total', 4, { handler: 'admin' })
  const count = (handler: string, code: string, method = 'GET') =>
    app.metric('larder_http_requests_total', { handler, method, code })
  assert.equal(await count('ui', '200'), 2)
  assert.equal(await count('admin', '200'), 2)
  assert.equal(await count('admin', '404'), 1)
  assert.equal(await count('admin', '405', 'other'), 1)
  assert.equal(await app.metric('larder_http_requests_in_flight'), 0)
  const timed = await app.metric('larder_http_request_duration_seconds_count', { handler: 'ui' })
  assert.equal(timed, 2)
})

test('every series of a counter is there before its first event, for each upstream', async () => {
  const samples = samplesOf(await new Metrics({ version: '0' }, ['a', 'b']).render())
  const families = (upstream: string) =>
    samples
      .filter(({ labels }) => labels['upstream'] === upstream)
      .map(({ name, labels, value }) => JSON.stringify([name, { ...labels, upstream: '' }, value]))
  assert.deepEqual(families('a'), families('b'))
  for (const name of [
    'larder_requests_total',
    'larder_served_bytes_total',
    'larder_fetched_bytes_total',
    'larder_upstream_requests_total',
    'larder_upstream_errors_total',
    'larder_upstream_retries_total',
    'larder_upstream_resumes_total',
    'larder_upstream_throttled_total',
    'larder_upstream_token_requests_total',
    'registry_proxy_requests_total',
    'registry_proxy_pulled_bytes_total',
    'larder_http_requests_total',
    'larder_preload_images_total',
    'larder_gc_runs_total',
    'larder_store_errors_total',
    'larder_store_not_stored_total',
    'larder_evictions_total',
    'larder_integrity_checks_total',
    'larder_auth_failures_total',
    'larder_connections_rejected_total',
  ]) {
    const values = samples.filter((sample) => sample.name === name).map(({ value }) => value)
    assert.ok(values.length > 0 && values.every((value) => value === 0), name)
  }
})
