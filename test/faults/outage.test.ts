/**
 * A registry that is gone for days, row 18 of the fault table. Elsewhere:
 *
 * | row | what | where |
 * |---|---|---|
 * | 18 | lists in an outage | `test/pull/lists.test.ts` |
 * | 18 | offline by configuration, after a restart | `test/api/outages.test.ts`, 55 and 56 |
 * | 18 | callers' rights in an outage | `test/access/gate.test.ts` |
 * | 32 | a clock that jumps | `test/steady-clock.test.ts`, `test/pull/freshness.test.ts` |
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { putBlob, startSite } from '../pull/site.ts'
import { ALWAYS, EXPIRED, IMPATIENT } from '../support/app.ts'
import { send } from '../support/http-client.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
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

const DAY_MS = 24 * 3_600_000

for (const [policy, tags] of [
  ['Always', ALWAYS],
  ['IfNotPresent, and expired', EXPIRED],
] as const) {
  test(`row 18: a registry that is gone for days (${policy}): digests always, tags for a week, ready all the time`, async () => {
    const clock = new SkippingClock()
    const upstream = { tags, limits: IMPATIENT, staleIfErrorMs: 7 * DAY_MS }
    await using site = await startSite({ registry: OPEN, upstream, app: { clock } })
    const { registry, app } = site
    const { manifest, layer, byDigest } = putImage(site)
    for (const path of [TAG, layer.path]) assert.equal((await app.get(path)).status, 200)
    const kept = { digests: [manifest.digest, layer.digest], manifests: 1, tags: 1 }
    const { port } = registry
    await registry.close()
    for (let day = 1; day <= 8; day++) {
      clock.skip(DAY_MS)
      // Whoever starts needs no registry.
      if (day === 4) await app.restart()
      const got = await within(AT_ONCE_MS, app.get(TAG))
      if (day <= 6) {
        assertWhole(got, manifest.bytes, 'stale')
        const days = Number(got.headers['age']) / (DAY_MS / 1000)
        assert.ok(days >= day && days < day + 0.1, `${days} days`)
      } else assertRefused(got, 502, 'UPSTREAM_FAILED')
      assertWhole(await app.get(byDigest), manifest.bytes, 'hit')
      assertWhole(await app.get(layer.path), layer.bytes, 'hit')
      assert.equal((await send(app.adminUrl, '/readyz')).status, 200)
    }
    await assertCounted(app, {
      // Since the start on the fourth day.
      'requests_total{result="stale"}': 3,
      'requests_total{result="error"}': 2,
      'requests_total{result="hit"}': 10,
      'upstream_errors_total{reason="connect"}': 5,
    })
    await assertKept(site, kept)
    await registry.start(port)
    clock.skip(60_000)
    assertWhole(await app.get(TAG), manifest.bytes, 'revalidated')
    await assertKept(site, kept)
  })
}

test('row 18: misses of a registry that is gone are told so at once, and the operators by a gauge', async () => {
  const clock = new SkippingClock()
  await using site = await startSite({
    registry: OPEN,
    upstream: { limits: IMPATIENT },
    app: { clock },
  })
  const { registry, app } = site
  const blobs = Array.from({ length: 20 }, (_, i) => putBlob(site, 100, i))
  const { port } = registry
  await registry.close()
  await assertCounted(app, { upstream_up: 1 })
  for (let hour = 0; hour < 48; hour++) {
    for (const { path } of blobs.slice(0, 5)) {
      assertRefused(await within(AT_ONCE_MS, app.get(path)), 502, 'UPSTREAM_FAILED')
    }
    clock.skip(3_600_000)
  }
  await assertCounted(app, { upstream_up: 0, 'upstream_circuit_state{state="open"}': 1 })
  await assertCounted(app, { 'requests_total{result="error"}': 48 * 5 })
  // Five that find out at first, and one each hour that finds out again.
  assert.equal(await app.metric('larder_upstream_errors_total', { reason: 'connect' }), 5 + 47)
  await assertKept(site)
  await registry.start(port)
  for (const { path, bytes } of blobs) assertWhole(await app.get(path), bytes)
  await assertCounted(app, { upstream_up: 1, 'upstream_circuit_state{state="closed"}': 1 })
  await assertKept(site, { digests: blobs.map(({ digest }) => digest) })
})
