/**
 * Tokens that run out and credentials that are refused, rows 12, 13 and 19 of the fault table.
 * Elsewhere:
 *
 * | row | what | where |
 * |---|---|---|
 * | 12 | the skew, lives that are not said, revoked tokens | `test/api/upstream-auth.test.ts`, 45 |
 * | 12 | an expiry that is said with 400 or 403 | `test/api/upstream-auth.test.ts`, 49 |
 * | 13 | several credentials, of which some are refused | `test/upstream/auth.test.ts` |
 * | 19 | a caller's right that is revoked; a repository that turns private | `test/access/gate.test.ts` |
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CANARY, type PutBlob, putBlob, type Site, startSite, USER } from '../pull/site.ts'
import { ALWAYS, EXPIRED, type TestUpstream } from '../support/app.ts'
import { Barrier } from '../support/barrier.ts'
import { cut, hold, stall } from '../support/faults.ts'
import { open, readResponse } from '../support/http-client.ts'
import type { AuthOptions } from '../support/registry-auth.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { StandingClock } from '../support/standing-clock.ts'
import {
  AT_ONCE_MS,
  assertCounted,
  assertKept,
  assertRefused,
  assertWhole,
  within,
} from './evidence.ts'
import { putImage, TAG } from './image.ts'

const MIB = 1024 * 1024
const TOKENS = { kind: 'token', users: { [USER]: CANARY } } as const satisfies AuthOptions

/** The registry's clock is Larder's: a token of one second lives for one second of it. */
function startWithTokens(clock: StandingClock): Promise<Site> {
  const auth = { ...TOKENS, expiresIn: 1, now: () => clock.now() }
  return startSite({ registry: { auth }, app: { clock } })
}

test('row 12: 200 pulls across a token that lives for one second ask for one token a second', async () => {
  const clock = new StandingClock()
  await using site = await startWithTokens(clock)
  const { registry, app } = site
  const blobs = Array.from({ length: 200 }, (_, i) => putBlob(site, 100, i))
  for (let second = 0; second < 4; second++) {
    const some = blobs.slice(second * 50, (second + 1) * 50)
    const all = Promise.all(some.map(({ path }) => app.get(path)))
    for (const [i, got] of (await within(AT_ONCE_MS, all)).entries()) {
      assertWhole(got, some[i]?.bytes ?? Buffer.alloc(0))
    }
    assert.equal(registry.countTokens(), second + 1)
    clock.skip(1_001)
  }
  await assertCounted(app, {
    'upstream_token_requests_total{result="fetched"}': 4,
    'upstream_token_requests_total{result="error"}': 0,
    upstream_errors_total: 0,
    'requests_total{result="miss"}': 200,
  })
  await assertKept(site, { digests: blobs.map(({ digest }) => digest) })
})

test('row 12: a token that runs out while its bodies are on the way is asked for once, and all go on', async () => {
  const clock = new StandingClock()
  await using site = await startWithTokens(clock)
  const { registry, app } = site
  const blobs = Array.from({ length: 10 }, (_, i) => putBlob(site, 2 * MIB, i))
  const half = new Barrier()
  for (const { path } of blobs) {
    const isGranted = { path, where: hasToken }
    registry.script(isGranted, [stall(MIB + 1, half), cut(MIB + 1)], { times: 1 })
  }
  const all = Promise.all(blobs.map(({ path }) => app.get(path)))
  await half.arrived(blobs.length)
  assert.equal(registry.countTokens(), 1)
  clock.skip(1_001)
  half.release()
  for (const [i, got] of (await within(AT_ONCE_MS, all)).entries()) {
    assertWhole(got, blobs[i]?.bytes ?? Buffer.alloc(0))
  }
  assert.equal(registry.countTokens(), 2)
  for (const blob of blobs) {
    assert.equal(lastOf(site, blob)?.headers.range, `bytes=${MIB + 1}-`)
  }
  await assertCounted(app, {
    'upstream_token_requests_total{result="fetched"}': 2,
    upstream_resumes_total: blobs.length,
    'upstream_errors_total{reason="reset"}': 10,
  })
  await assertKept(site, { digests: blobs.map(({ digest }) => digest) })
})

test('row 12: a token server that does not answer holds up a miss for its time, and a hit not at all', async () => {
  const clock = new StandingClock()
  const auth = { ...TOKENS, expiresIn: 1, now: () => clock.now() }
  const limits = { connectTimeoutMs: 190, headersTimeoutMs: 200 }
  await using site = await startSite({ registry: { auth }, upstream: { limits }, app: { clock } })
  const { registry, app } = site
  const [here, absent] = [putBlob(site, 1000, 'here'), putBlob(site, 1000, 'absent')]
  assertWhole(await app.get(here.path), here.bytes)
  clock.skip(1_001)
  const silence = new Barrier()
  registry.script({ path: '/token' }, hold(silence))
  const waiting = app.get(absent.path)
  await silence.arrived()
  assertWhole(await app.get(here.path), here.bytes, 'hit')
  assertRefused(await within(AT_ONCE_MS, waiting), 504, 'UPSTREAM_FAILED')
  await assertCounted(app, {
    'upstream_token_requests_total{result="error"}': 1,
    'upstream_errors_total{reason="timeout"}': 1,
    'requests_total{result="hit"}': 1,
    'requests_total{result="error"}': 1,
  })
  await assertKept(site, { digests: [here.digest] })
  silence.release()
  registry.clearScripts()
  assertWhole(await app.get(absent.path), absent.bytes)
})

for (const kind of ['basic', 'token'] as const) {
  test(`row 13: a wrong password (${kind}) is 403, tried three times for a hundred repositories, then once in 30 s`, async () => {
    const clock = new SkippingClock()
    const auth = { kind, users: { [USER]: 'another' } }
    await using site = await startSite({ registry: { auth }, app: { clock } })
    const { registry, app } = site
    const tried = () =>
      registry.count({ where: ({ headers }) => /^Basic /.test(headers.authorization ?? '') })
    const pullOf = async (name: string) => {
      const got = await within(AT_ONCE_MS, app.get(`/v2/acme/${name}/manifests/v1`))
      assertRefused(got, 403, 'DENIED')
      assert.equal(got.headers['www-authenticate'], undefined)
      assert.equal(got.body.includes(CANARY), false)
    }
    for (let i = 0; i < 100; i++) await pullOf(`app-${i}`)
    assert.equal(tried(), 3)
    await assertCounted(app, {
      'requests_total{result="denied"}': 100,
      'upstream_errors_total{reason="auth"}': 100,
      upstream_retries_total: 0,
      upstream_up: 1,
    })
    clock.skip(30_000)
    for (let i = 0; i < 20; i++) await pullOf(`later-${i}`)
    assert.equal(tried(), 4)
    await assertKept(site)
    assert.equal(app.log.join('').includes(CANARY), false)
  })
}

test('row 13: a refusal is remembered for the pods that ask the same, and forgotten by a new configuration', async () => {
  const auth = { kind: 'token', users: { [USER]: 'another' } } as const
  await using site = await startSite({ registry: { auth } })
  const { registry, app } = site
  const { manifest } = putImage(site)
  const all = Promise.all(Array.from({ length: 50 }, () => app.get(TAG)))
  for (const got of await within(AT_ONCE_MS, all)) assertRefused(got, 403, 'DENIED')
  assertRefused(await app.get(TAG), 403, 'DENIED')
  assert.equal(registry.countTokens(), 1)
  const remembered = await app.metric('larder_requests_total', { result: 'negative' })
  const denied = await app.metric('larder_requests_total', { result: 'denied' })
  assert.ok(remembered >= 1 && denied >= 1, `${remembered} from memory, ${denied} denied`)
  assert.equal(remembered + denied, 51)
  await assertKept(site)
  await app.restart({ upstreams: [withPassword(site, 'another')] })
  assertWhole(await within(AT_ONCE_MS, app.get(TAG)), manifest.bytes)
  await assertKept(site, { digests: [manifest.digest], manifests: 1, tags: 1 })
})

for (const [policy, tags] of [
  ['Always', ALWAYS],
  ['IfNotPresent, and expired', EXPIRED],
] as const) {
  test(`row 19: what is here when Larder is refused (${policy}): no tag, every digest, and no byte is lost`, async () => {
    const users: Record<string, string> = { [USER]: CANARY }
    const auth = { kind: 'basic', users } as const
    await using site = await startSite({ registry: { auth }, upstream: { tags } })
    const { app } = site
    const { manifest, layer, byDigest } = putImage(site)
    assertWhole(await app.get(TAG), manifest.bytes)
    assertWhole(await app.get(layer.path), layer.bytes)
    users[USER] = 'changed'
    for (let i = 0; i < 2; i++) {
      assertRefused(await within(AT_ONCE_MS, app.get(TAG)), 403, 'DENIED')
    }
    assertWhole(await app.get(byDigest), manifest.bytes, 'hit')
    assertWhole(await app.get(layer.path), layer.bytes, 'hit')
    await assertCounted(app, {
      'upstream_errors_total{reason="auth"}': 1,
      'requests_total{result="stale"}': 0,
      'requests_total{result="hit"}': 2,
      upstream_up: 1,
    })
    const kept = { digests: [manifest.digest, layer.digest], manifests: 1, tags: 1 }
    await assertKept(site, kept)
    await app.restart({ upstreams: [{ ...withPassword(site, 'changed'), tags }] })
    assertWhole(await app.get(TAG), manifest.bytes, 'revalidated')
    await assertKept(site, kept)
  })
}

test('row 19: a refusal on the way ends the download, and keeps what has come', async () => {
  const users: Record<string, string> = { [USER]: CANARY }
  await using site = await startSite({ registry: { auth: { kind: 'basic', users } } })
  const { registry, app } = site
  const blob = putBlob(site, 3 * MIB)
  const half = new Barrier()
  const fault = [stall(MIB + 1, half), cut(MIB + 1)]
  registry.script({ path: blob.path, where: hasCredential }, fault, { times: 1 })
  const reading = readResponse(await open(app.url, blob.path))
  await half.arrived()
  users[USER] = 'changed'
  half.release()
  const got = await within(AT_ONCE_MS, reading)
  assert.equal(got.complete, false)
  await assertKept(site, { parts: [blob.digest] })
  await assertCounted(app, { 'upstream_errors_total{reason="auth"}': 1 })
  await app.restart({ upstreams: [withPassword(site, 'changed')] })
  assertWhole(await app.get(blob.path), blob.bytes)
  assert.equal(lastOf(site, blob)?.headers.range, `bytes=${MIB + 1}-`)
})

function withPassword({ registry }: Site, password: string): TestUpstream {
  const credential = { kind: 'password', path: '', username: USER, password } as const
  return {
    name: 'test',
    url: registry.origin,
    default: true,
    access: 'shared',
    credentials: [{ ...credential, passwordFile: undefined }],
  }
}

function lastOf({ registry }: Site, { path }: PutBlob) {
  return registry.find({ method: 'GET', path }).at(-1)
}

function hasCredential({ headers }: { readonly headers: { authorization?: string | undefined } }) {
  return headers.authorization !== undefined
}

function hasToken({ headers }: { readonly headers: { authorization?: string | undefined } }) {
  return /^Bearer /.test(headers.authorization ?? '')
}
