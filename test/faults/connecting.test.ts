/**
 * Registries that cannot be reached, rows 1, 2, 16 and 17 of the fault table. Elsewhere:
 *
 * | row | what | where |
 * |---|---|---|
 * | 1, 2 | the order of mirrors, and how long a dead one is asked last | `test/upstream/retry.test.ts` |
 * | 1, 2 | each state of the circuit breaker | `test/upstream/breaker.test.ts` |
 * | 2 | of a tag, and of a HEAD | `test/api/outages.test.ts`, 53 |
 * | 17 | a realm without TLS, a forward proxy, a client certificate | `test/upstream/redirects.test.ts`, `proxy.test.ts` |
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { putBlob, type Site, startSite } from '../pull/site.ts'
import { ALWAYS, IMPATIENT } from '../support/app.ts'
import { startBlackhole } from '../support/blackhole.ts'
import { resolveNames } from '../support/names.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import {
  AT_ONCE_MS,
  assertCounted,
  assertKept,
  assertRefused,
  assertWhole,
  OPEN,
  within,
} from './evidence.ts'
import { EXPIRED_CERT } from './expired-tls.ts'
import { putImage, TAG } from './image.ts'

test('row 1: a registry that takes no connection costs its connect timeout and no more', async () => {
  await using hole = await startBlackhole()
  await using site = await startSite({ upstream: { url: hole.origin } })
  const { path } = putBlob(site, 10)
  for (const one of [TAG, path]) {
    assertRefused(await within(AT_ONCE_MS, site.app.get(one)), 504, 'UPSTREAM_FAILED')
  }
  await assertCounted(site.app, {
    'upstream_errors_total{reason="connect"}': 2,
    'upstream_requests_total{code="0"}': 2,
    upstream_retries_total: 0,
    'requests_total{result="error"}': 2,
  })
  await assertKept(site)
})

test('row 1: what takes no connection is passed over, and not waited for again', async () => {
  await using hole = await startBlackhole()
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const mirrored = { name: 'test', url: registry.origin, mirrors: [hole.origin] }
  const upstream = { ...mirrored, default: true, limits: { connectTimeoutMs: 1_000 } }
  await app.restart({ upstreams: [upstream] })
  const [first, second] = [putBlob(site, 10, 'first'), putBlob(site, 10, 'second')]
  assertWhole(await within(AT_ONCE_MS, app.get(first.path)), first.bytes)
  const startedAt = performance.now()
  assertWhole(await app.get(second.path), second.bytes)
  assert.ok(performance.now() - startedAt < 1_000, 'the mirror is asked last for a while')
  await assertCounted(app, {
    'upstream_errors_total{reason="connect"}': 1,
    upstream_retries_total: 1,
    'requests_total{result="miss"}': 2,
  })
  await assertKept(site, { digests: [first.digest, second.digest] })
})

test('row 1: of several addresses the one that works is found', async (t) => {
  resolveNames(t, () => ['::1', '127.0.0.1'])
  await using site = await startNamed()
  const blob = putBlob(site, 1000)
  assertWhole(await within(AT_ONCE_MS, site.app.get(blob.path)), blob.bytes)
  await assertCounted(site.app, { upstream_errors_total: 0, 'requests_total{result="miss"}': 1 })
  await assertKept(site, { digests: [blob.digest] })
})

test('row 1: a registry that refuses connections is 502 at once; a tag that is here is stale', async () => {
  const clock = new SkippingClock()
  await using site = await startSite({ registry: OPEN, upstream: { tags: ALWAYS }, app: { clock } })
  const { registry, app } = site
  const { digest, bytes } = putImage(site).manifest
  assertWhole(await app.get(TAG), bytes)
  const { port } = registry
  await registry.close()
  const absent = `/v2/acme/app/manifests/absent`
  assertRefused(await within(AT_ONCE_MS, app.get(absent)), 502, 'UPSTREAM_FAILED')
  assertWhole(await within(AT_ONCE_MS, app.get(TAG)), bytes, 'stale')
  await assertCounted(app, {
    'upstream_errors_total{reason="connect"}': 2,
    'requests_total{result="error"}': 1,
    'requests_total{result="stale"}': 1,
  })
  await assertKept(site, { digests: [digest], manifests: 1, tags: 1 })
  await registry.start(port)
  clock.skip(30_000)
  assertWhole(await app.get(TAG), bytes, 'revalidated')
})

test('row 2: a registry that takes a question and says nothing is 504 in its time, and five times open its circuit', async () => {
  const clock = new SkippingClock()
  const limits = { ...IMPATIENT, headersTimeoutMs: 150 }
  await using site = await startSite({ registry: OPEN, upstream: { limits }, app: { clock } })
  const { registry, app } = site
  const silence = registry.hold({})
  const blobs = Array.from({ length: 5 }, (_, i) => putBlob(site, 1000, i))
  const all = Promise.all(blobs.map(({ path }) => app.get(path)))
  for (const got of await within(AT_ONCE_MS, all)) assertRefused(got, 504, 'UPSTREAM_FAILED')
  const state = 'upstream_circuit_state{state="open"}'
  await assertCounted(app, {
    'upstream_errors_total{reason="timeout"}': 5,
    upstream_retries_total: 0,
    'requests_total{type="blob",result="error"}': 5,
    [state]: 1,
    upstream_up: 0,
  })
  registry.forget()
  const fast: number[] = []
  for (const { path } of blobs) {
    const startedAt = performance.now()
    assertRefused(await app.get(path), 502, 'UPSTREAM_FAILED')
    fast.push(performance.now() - startedAt)
  }
  assert.ok(Math.min(...fast) < 100, `a miss takes ${Math.min(...fast)} ms`)
  assert.equal(registry.count(), 0, 'it is not asked')
  await assertCounted(app, { 'upstream_errors_total{reason="circuit_open"}': 5 })
  await assertKept(site)
  silence.release()
  registry.clearScripts()
  clock.skip(10_000)
  for (const { path, bytes } of blobs) assertWhole(await app.get(path), bytes)
  await assertCounted(app, { [state]: 0, upstream_up: 1 })
  await assertKept(site, { digests: blobs.map(({ digest }) => digest) })
})

for (const [what, answer, status, reason] of [
  ['does not exist', 'ENOTFOUND', 502, 'dns'],
  ['cannot be resolved for now', 'EAI_AGAIN', 502, 'dns'],
  ['is not answered for', 'silence', 504, 'connect'],
] as const) {
  test(`row 16: a name that ${what} is ${status} in its time, and looked up again the next time`, async (t) => {
    let isThere = true
    const asked = resolveNames(t, () => (isThere ? ['127.0.0.1'] : answer))
    await using site = await startNamed()
    const { registry, app } = site
    const { digest, bytes } = putImage(site).manifest
    const blob = putBlob(site, 1000)
    assertWhole(await app.get(TAG), bytes)
    // A name is looked up for a connection, so those that are open have to go.
    const { port } = registry
    await registry.close()
    await registry.start(port)
    isThere = false
    assertRefused(await within(AT_ONCE_MS, app.get(blob.path)), status, 'UPSTREAM_FAILED')
    assertWhole(await within(AT_ONCE_MS, app.get(TAG)), bytes, 'stale')
    assertWhole(await app.get(`/v2/acme/app/manifests/${digest}`), bytes)
    await assertCounted(app, {
      [`upstream_errors_total{reason="${reason}"}`]: 2,
      'requests_total{result="error"}': 1,
      'requests_total{result="stale"}': 1,
      'requests_total{result="hit"}': 1,
    })
    await assertKept(site, { digests: [digest], manifests: 1, tags: 1 })
    const before = asked.length
    isThere = true
    assertWhole(await app.get(blob.path), blob.bytes)
    assert.ok(asked.length > before, 'what the resolver failed with is not remembered')
    assert.deepEqual(new Set(asked), new Set(['registry.test']))
  })
}

interface BadCertificate {
  readonly cert: string
  readonly host: string
  /** The file of authorities that Larder is given. */
  readonly ca: string | undefined
}

const BAD_CERTIFICATES: Readonly<Record<string, BadCertificate>> = {
  'has expired': { cert: EXPIRED_CERT, host: '127.0.0.1', ca: EXPIRED_CERT },
  'nobody known has signed': { cert: LOOPBACK_CERT, host: '127.0.0.1', ca: undefined },
  'is for another name': { cert: LOOPBACK_CERT, host: 'elsewhere.test', ca: LOOPBACK_CERT },
}

for (const [what, { cert, host, ca }] of Object.entries(BAD_CERTIFICATES)) {
  test(`row 17: a certificate that ${what} is 502, once, and never plain http`, async (t) => {
    resolveNames(t, () => ['127.0.0.1'])
    await using dir = await makeTempDir()
    const caFile = join(dir.path, 'ca.pem')
    await writeFile(caFile, ca ?? '')
    const registry = { ...OPEN, tls: { cert, key: LOOPBACK_KEY } }
    await using site = await startSite({ registry })
    const url = `https://${host}:${site.registry.port}`
    const upstream = { name: 'test', url, default: true, ...(ca === undefined ? {} : { caFile }) }
    // Patient, so that it would be asked again if that were thought to help.
    await site.app.restart({ upstreams: [upstream] })
    const { path } = putBlob(site, 10)
    const got = await within(AT_ONCE_MS, site.app.get(path))
    assertRefused(got, 502, 'UPSTREAM_FAILED')
    assert.match(got.body.toString(), /no trusted TLS connection/)
    assert.equal(site.registry.count(), 0, 'not a word is said to it')
    await assertCounted(site.app, {
      'upstream_errors_total{reason="tls"}': 1,
      'upstream_requests_total{code="0"}': 1,
      upstream_retries_total: 0,
      'requests_total{result="error"}': 1,
    })
    await assertKept(site)
  })
}

test('row 17: a certificate that is not trusted any more costs no cached image, and a renewed one heals', async (t) => {
  resolveNames(t, () => ['127.0.0.1'])
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  const tls = { cert: LOOPBACK_CERT, key: LOOPBACK_KEY }
  await using site = await startSite({ registry: { ...OPEN, tls } })
  const { registry, app } = site
  const { digest, bytes } = putImage(site).manifest
  const trusted = { name: 'test', url: registry.origin, default: true, caFile, tags: ALWAYS }
  const distrusted = { ...trusted, url: `https://elsewhere.test:${registry.port}` }
  await app.restart({ upstreams: [trusted] })
  assertWhole(await app.get(TAG), bytes)
  await app.restart({ upstreams: [distrusted] })
  assertWhole(await within(AT_ONCE_MS, app.get(TAG)), bytes, 'stale')
  assertWhole(await app.get(`/v2/acme/app/manifests/${digest}`), bytes)
  await assertCounted(app, {
    'upstream_errors_total{reason="tls"}': 1,
    'requests_total{result="stale"}': 1,
    'requests_total{result="hit"}': 1,
  })
  await assertKept(site, { digests: [digest], manifests: 1, tags: 1 })
  await app.restart({ upstreams: [trusted] })
  assertWhole(await app.get(TAG), bytes, 'revalidated')
})

/** A registry that is known by a name. */
async function startNamed(): Promise<Site> {
  const site = await startSite({ registry: OPEN })
  const url = `http://registry.test:${site.registry.port}`
  const upstream = { name: 'test', url, default: true, tags: ALWAYS, limits: IMPATIENT }
  await site.app.restart({ upstreams: [upstream] })
  return site
}
