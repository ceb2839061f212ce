/**
 * Answers that are wrong, failures, limits and redirects, rows 9 to 11, 14 and 15 of the fault table.
 * Elsewhere:
 *
 * | row | what | where |
 * |---|---|---|
 * | 9 | HEAD, and digests of other algorithms | `test/upstream/manifests.test.ts` |
 * | 10 | how long the pauses are; which failures are asked again | `test/upstream/retry.test.ts` |
 * | 10 | every 5xx and 418, of tags, blobs and lists | `test/api/outages.test.ts`, 53 |
 * | 11 | Docker Hub's 403; quota in the metrics | `test/api/outages.test.ts`, 52 and 86 |
 * | 14 | no credential follows; private networks; other schemes | `test/upstream/redirects.test.ts`, `test/api/downloads.test.ts`, 43 |
 * | 15 | a URL that runs out in the middle of a download | `test/api/downloads.test.ts`, 44 |
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { DOCKER_MANIFEST } from '../../src/oci/media-types.ts'
import { putBlob, startSite } from '../pull/site.ts'
import { ALWAYS, IMPATIENT } from '../support/app.ts'
import { answer, cut, type Fault, headers, redirect, redirectLoop } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
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
import { putImage, TAG } from './image.ts'

const MIB = 1024 * 1024
const OTHER = digestOf(Buffer.from('other'))

interface Header {
  readonly fault: Fault
  /** What comes of a pull by tag, of one by digest and of a blob; `served`: 200. */
  readonly tag: 'served' | 'refused'
  readonly digest: 'served' | 'refused'
}

const HEADERS: Readonly<Record<string, Header>> = {
  'another Docker-Content-Digest': {
    fault: headers({ 'docker-content-digest': OTHER }),
    tag: 'refused',
    digest: 'served',
  },
  'no Docker-Content-Digest': {
    fault: headers({ 'docker-content-digest': undefined }),
    tag: 'served',
    digest: 'served',
  },
  'another media type than the manifest says': {
    fault: headers({ 'content-type': DOCKER_MANIFEST }),
    tag: 'refused',
    digest: 'refused',
  },
  'a media type that is none of a manifest': {
    fault: headers({ 'content-type': 'text/html' }),
    tag: 'served',
    digest: 'served',
  },
}

for (const [what, { fault, tag, digest }] of Object.entries(HEADERS)) {
  test(`row 9: ${what}: the bytes decide, by tag ${tag}, by digest ${digest}`, async () => {
    for (const by of ['tag', 'digest'] as const) {
      await using site = await startSite({ registry: OPEN })
      const { registry, app } = site
      const { manifest } = putImage(site)
      const path = by === 'tag' ? TAG : `/v2/acme/app/manifests/${manifest.digest}`
      registry.script({ path: /\/manifests\// }, fault)
      const got = await within(AT_ONCE_MS, app.get(path))
      if ({ tag, digest }[by] === 'served') {
        assertWhole(got, manifest.bytes)
        assert.equal(got.headers['docker-content-digest'], manifest.digest)
        assert.equal(got.headers['content-type'], manifest.mediaType)
        await assertCounted(app, { upstream_errors_total: 0, 'requests_total{result="miss"}': 1 })
      } else {
        assertRefused(got, 502, 'UPSTREAM_FAILED')
        await assertCounted(app, { 'requests_total{result="error"}': 1 })
        await assertKept(site)
      }
      registry.clearScripts()
      assertWhole(await app.get(path), manifest.bytes)
      const tags = by === 'tag' ? 1 : 0
      await assertKept(site, { digests: [manifest.digest], manifests: 1, tags })
    }
  })
}

test('row 9: of a blob only the bytes count, whatever its headers say', async () => {
  await using site = await startSite({ registry: OPEN })
  const blob = putBlob(site, 1000)
  const lie = headers({ 'docker-content-digest': OTHER, 'content-type': 'text/html' })
  site.registry.script({ path: blob.path }, lie)
  const got = await within(AT_ONCE_MS, site.app.get(blob.path))
  assertWhole(got, blob.bytes)
  assert.equal(got.headers['docker-content-digest'], blob.digest)
  assert.equal(got.headers['content-type'], 'application/octet-stream')
  await assertCounted(site.app, { upstream_errors_total: 0, 'requests_total{result="miss"}': 1 })
  await assertKept(site, { digests: [blob.digest] })
})

test('row 9: bytes of another digest than was asked for are 502, and counted', async () => {
  await using site = await startSite({ registry: OPEN })
  const { manifest } = putImage(site)
  const path = `/v2/acme/app/manifests/${manifest.digest}`
  const other = buildImage({ seed: 'other' }).manifest
  const lie = answer(200, { 'content-type': other.mediaType }, other.bytes)
  site.registry.script({ path }, lie)
  assertRefused(await within(AT_ONCE_MS, site.app.get(path)), 502, 'UPSTREAM_FAILED')
  await assertCounted(site.app, {
    'upstream_errors_total{reason="digest_mismatch"}': 1,
    'requests_total{result="error"}': 1,
  })
  await assertKept(site)
})

test('row 10: a registry that fails twice is asked a third time, and its node notices nothing', async () => {
  await using site = await startSite({ registry: OPEN, upstream: { limits: PATIENT } })
  const blob = putBlob(site, 1000)
  site.registry.script({ path: blob.path }, answer(503), { times: 1 })
  site.registry.script({ path: blob.path }, answer(500), { times: 1 })
  const startedAt = performance.now()
  // Twice 2 s of patience at most.
  assertWhole(await within(4_000 + AT_ONCE_MS, site.app.get(blob.path)), blob.bytes)
  assert.ok(performance.now() - startedAt >= 400, 'nobody asks again at once')
  assert.equal(site.registry.countBlobs(), 3)
  await assertCounted(site.app, {
    'upstream_errors_total{reason="http_5xx"}': 2,
    upstream_retries_total: 2,
    upstream_up: 1,
    'requests_total{result="miss"}': 1,
  })
  await assertKept(site, { digests: [blob.digest] })
})

test('row 10: after its first byte a blob is not asked for anew, but gone on with', async () => {
  await using site = await startSite({ registry: OPEN, upstream: { limits: PATIENT } })
  const blob = putBlob(site, 2 * MIB)
  site.registry.script({ path: blob.path }, cut(MIB + 1), { times: 1 })
  site.registry.script({ path: blob.path }, answer(500), { times: 1 })
  assertWhole(await within(4_000 + AT_ONCE_MS, site.app.get(blob.path)), blob.bytes)
  const ranges = site.registry.find({ path: blob.path }).map((one) => one.headers.range)
  const rest = `bytes=${MIB + 1}-`
  assert.deepEqual(ranges, [undefined, rest, rest])
  await assertCounted(site.app, {
    'upstream_errors_total{reason="http_5xx"}': 1,
    upstream_retries_total: 1,
    upstream_resumes_total: 1,
  })
  await assertKept(site, { digests: [blob.digest] })
})

test('row 10: five failures open the circuit: a miss fails at once, what is here is served, one question closes it', async () => {
  const clock = new SkippingClock()
  const upstream = { limits: IMPATIENT, tags: ALWAYS }
  await using site = await startSite({ registry: OPEN, upstream, app: { clock } })
  const { registry, app } = site
  const { digest, bytes } = putImage(site).manifest
  assertWhole(await app.get(TAG), bytes)
  registry.script({}, answer(500))
  for (let i = 0; i < 5; i++) {
    const got = await within(AT_ONCE_MS, app.get(`/v2/acme/app/manifests/absent-${i}`))
    assertRefused(got, 502, 'UPSTREAM_FAILED')
  }
  registry.forget()
  assertRefused(await app.get('/v2/acme/app/manifests/absent'), 502, 'UPSTREAM_FAILED')
  const stale = await app.get(TAG)
  assertWhole(stale, bytes, 'stale')
  assert.equal(registry.count(), 0)
  await assertCounted(app, {
    'upstream_errors_total{reason="http_5xx"}': 5,
    'upstream_errors_total{reason="circuit_open"}': 2,
    'upstream_circuit_state{state="open"}': 1,
    upstream_up: 0,
    'requests_total{result="error"}': 6,
    'requests_total{result="stale"}': 1,
  })
  await assertKept(site, { digests: [digest], manifests: 1, tags: 1 })
  registry.clearScripts()
  clock.skip(10_000)
  assertWhole(await app.get(TAG), bytes, 'revalidated')
  await assertCounted(app, { 'upstream_circuit_state{state="closed"}': 1, upstream_up: 1 })
})

/** Of 90 s from now, in the three forms that are seen. */
const RETRY_AFTER: Readonly<Record<string, (now: number) => string>> = {
  seconds: () => '90',
  'a date': (now) => new Date(now + 90_000).toUTCString(),
  'seconds since 1970': (now) => String(Math.round(now / 1000) + 90),
}

for (const [form, write] of Object.entries(RETRY_AFTER)) {
  test(`row 11: a registry that limits requests is left alone for as long as it says, in ${form}`, async () => {
    const clock = new SkippingClock()
    const upstream = { tags: ALWAYS }
    await using site = await startSite({ registry: OPEN, upstream, app: { clock } })
    const { registry, app } = site
    const { digest, bytes } = putImage(site).manifest
    const blob = putBlob(site, 1000)
    assertWhole(await app.get(TAG), bytes)
    const limit = answer(429, { 'retry-after': write(clock.now()) }, 'slow down')
    registry.script({}, limit)
    registry.forget()
    for (let i = 0; i < 3; i++) {
      const got = await within(AT_ONCE_MS, app.get(blob.path))
      assertRefused(got, 503, 'TOOMANYREQUESTS')
      const seconds = Number(got.headers['retry-after'])
      assert.ok(seconds >= 85 && seconds <= 91, `${seconds} s`)
    }
    const stale = await within(AT_ONCE_MS, app.get(TAG))
    assertWhole(stale, bytes, 'stale')
    assertWhole(await app.get(`/v2/acme/app/manifests/${digest}`), bytes)
    assert.equal(registry.count(), 1)
    await assertCounted(app, {
      upstream_throttled_total: 1,
      'upstream_errors_total{reason="throttled"}': 4,
      upstream_retries_total: 0,
      upstream_up: 1,
      'requests_total{result="error"}': 3,
      'requests_total{result="stale"}': 1,
      'requests_total{result="hit"}': 1,
    })
    await assertKept(site, { digests: [digest], manifests: 1, tags: 1 })
    registry.clearScripts()
    clock.skip(91_000)
    assertWhole(await app.get(blob.path), blob.bytes)
  })
}

test('row 14: the sixth redirect in a row is not followed', async () => {
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const blob = putBlob(site, 1000)
  for (const path of [blob.path, TAG]) {
    registry.forget()
    registry.script({ path }, redirectLoop())
    assertRefused(await within(AT_ONCE_MS, app.get(path)), 502, 'UPSTREAM_FAILED')
    assert.equal(registry.count(), 6)
  }
  await assertCounted(app, {
    'upstream_errors_total{reason="redirect"}': 2,
    upstream_retries_total: 0,
    'requests_total{result="error"}': 2,
  })
  await assertKept(site)
  registry.clearScripts()
  assertWhole(await app.get(blob.path), blob.bytes)
})

test('row 14: five redirects are followed, relative ones too', async () => {
  await using site = await startSite({ registry: OPEN })
  const { registry, app } = site
  const blob = putBlob(site, 1000)
  const hops = ['/a/b', '../c', '?d', `//${registry.host}/e`, blob.path]
  for (const [i, hop] of hops.entries()) registry.script({}, redirect(hop), { skip: i, times: 1 })
  assertWhole(await within(AT_ONCE_MS, app.get(blob.path)), blob.bytes)
  assert.deepEqual(
    registry.requests.map(({ url }) => url),
    [blob.path, '/a/b', '/c', '/c?d', '/e', blob.path],
  )
  await assertCounted(app, { upstream_errors_total: 0, 'requests_total{result="miss"}': 1 })
  await assertKept(site, { digests: [blob.digest] })
})

test('row 14: a redirect from https to http is 502, and the plain host is not asked', async () => {
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  const tls = { cert: LOOPBACK_CERT, key: LOOPBACK_KEY }
  // The store has no TLS.
  await using site = await startSite({ registry: { ...OPEN, tls, redirectBlobs: true } })
  const { registry, app } = site
  const url = registry.origin
  await app.restart({ upstreams: [{ name: 'test', url, default: true, caFile }] })
  const blob = putBlob(site, 1000)
  assertRefused(await within(AT_ONCE_MS, app.get(blob.path)), 502, 'UPSTREAM_FAILED')
  assert.equal(registry.cdn.count(), 0)
  await assertCounted(app, {
    'upstream_errors_total{reason="redirect"}': 1,
    upstream_retries_total: 0,
    'requests_total{result="error"}': 1,
  })
  await assertKept(site)
})

test('row 15: a signed URL that has run out is asked for again at the registry, once', async () => {
  await using site = await startSite({ registry: { ...OPEN, redirectBlobs: true } })
  const { registry, app } = site
  const blob = putBlob(site, 1000)
  registry.cdn.script({}, answer(403, {}, 'Request has expired'), { times: 1 })
  assertWhole(await within(AT_ONCE_MS, app.get(blob.path)), blob.bytes)
  assert.deepEqual([registry.count(), registry.cdn.count()], [2, 2])
  await assertCounted(app, {
    upstream_errors_total: 0,
    'upstream_requests_total{code="403"}': 1,
    'requests_total{result="miss"}': 1,
  })
  await assertKept(site, { digests: [blob.digest] })
})

test('row 15: a store that refuses each signed URL is 502, no refusal of the registry, and forgotten at once', async () => {
  await using site = await startSite({ registry: { ...OPEN, redirectBlobs: true } })
  const { registry, app } = site
  const blob = putBlob(site, 1000)
  registry.cdn.script({}, answer(403, {}, 'Request has expired'))
  const got = await within(AT_ONCE_MS, app.get(blob.path))
  assertRefused(got, 502, 'UPSTREAM_FAILED')
  assert.doesNotMatch(got.body.toString(), /secret-of-the-cdn/)
  assert.deepEqual([registry.count(), registry.cdn.count()], [2, 2])
  await assertCounted(app, {
    'upstream_errors_total{reason="redirect"}': 1,
    'requests_total{result="error"}': 1,
    'requests_total{result="denied"}': 0,
  })
  await assertKept(site)
  registry.cdn.clearScripts()
  assertWhole(await app.get(blob.path), blob.bytes)
  assert.equal(app.log.join('').includes('secret-of-the-cdn'), false)
})

/** As it is configured by default: what failed is tried again after a while. */
const PATIENT = { connectTimeoutMs: 10_000 } as const
