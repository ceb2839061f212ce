import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IMPATIENT } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, hangUp } from '../support/faults.ts'
import { codeOf } from '../support/hub.ts'
import { assertNowhere, filesIn } from './canaries.ts'
import {
  ANNA,
  as,
  BERT,
  CARL,
  contentRequests,
  GRANT_MS,
  LARDER,
  type PutImage,
  REFUSAL_MS,
  startTenants,
  type Tenants,
  WRONG,
} from './tenants.ts'

const ACCOUNT = {
  kind: 'password',
  path: '',
  username: LARDER.name,
  password: LARDER.password,
  passwordFile: undefined,
} as const

function manifestOf({ repository, image }: PutImage): string {
  return `/v2/${repository}/manifests/${image.manifest.digest}`
}

async function statusOf({ app }: Tenants, path: string, request = {}): Promise<number> {
  return (await app.get(path, request)).status
}

test('a right is shown once for all that is asked for within its time, and then again', async () => {
  await using site = await startTenants()
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  site.registry.forget()
  site.clock.advance(GRANT_MS - 1)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  assert.equal(site.registry.count(), 0)
  site.clock.advance(1)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  assert.equal(contentRequests(site.registry).length, 1)
  assert.equal(contentRequests(site.registry)[0]?.method, 'HEAD')
})

test('a secret that is revoked is of no use within the time of a grant, however long a token lives', async () => {
  await using site = await startTenants()
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 200)
  site.clock.advance(GRANT_MS - 1000)
  // Use does not prolong it, not even a miss.
  const blob = `/v2/team-a/app/blobs/${put.layer.digest}`
  site.revoke(CARL)
  assert.equal(await statusOf(site, blob, as(CARL)), 200)
  site.clock.advance(1000)
  assert.equal(await statusOf(site, blob, as(CARL)), 403)
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 403)
  site.restore(CARL)
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 403, 'the refusal is remembered')
  site.clock.advance(REFUSAL_MS)
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 200)
})

test('a refusal is asked for once in its time', async () => {
  await using site = await startTenants()
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(BERT)), 403)
  site.registry.forget()
  for (let i = 0; i < 3; i++) assert.equal(await statusOf(site, manifestOf(put), as(BERT)), 403)
  assert.equal(site.registry.count(), 0)
})

test('a right to one repository is none to another', async () => {
  await using site = await startTenants()
  const own = site.put('team-b/app')
  const foreign = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(foreign), as(ANNA)), 200)
  assert.equal(await statusOf(site, manifestOf(own), as(BERT)), 200)
  for (const path of [
    manifestOf(foreign),
    `/v2/team-b/app/manifests/${foreign.image.manifest.digest}`,
    `/v2/team-b/app/blobs/${foreign.layer.digest}`,
  ]) {
    assert.notEqual(await statusOf(site, path, as(BERT)), 200, path)
  }
})

test('a wrong password is as good as none where everyone may pull', async () => {
  await using site = await startTenants()
  const put = site.put('open/app')
  assert.equal(await statusOf(site, manifestOf(put), as(WRONG)), 200)
})

for (const [what, value] of [
  ['a bearer token', 'Bearer abcdef'],
  ['base64 that is none', 'Basic !!!!'],
  ['no colon', `Basic ${Buffer.from('anna').toString('base64')}`],
  ['an empty value', 'Basic'],
  ['another scheme', 'Digest username="anna"'],
  ['a very long one', `Basic ${'QUFB'.repeat(4000)}`],
] as const) {
  test(`what is no Basic credential is ignored: ${what}`, async () => {
    await using site = await startTenants()
    const put = site.put('team-a/app')
    const open = site.put('open/app')
    const request = { headers: { Authorization: value } }
    const got = await site.app.get(manifestOf(put), request)
    assert.equal(got.status, 401)
    assert.match(got.headers['www-authenticate'] ?? '', /^Basic realm="reg.test"/)
    assert.equal(await statusOf(site, manifestOf(open), request), 200)
    const sent = site.registry.find({ path: '/token' }).map(({ headers }) => headers.authorization)
    assert.deepEqual(new Set(sent), new Set([undefined]))
  })
}

for (const access of ['public', 'shared'] as const) {
  test(`what callers send to an upstream that is ${access} is not passed on`, async () => {
    await using site = await startTenants({ upstream: { access, credentials: [ACCOUNT] } })
    const put = site.put('open/app')
    for (const path of [
      manifestOf(put),
      '/v2/open/app/tags/list',
      `/v2/open/app/blobs/${put.layer.digest}`,
      `/v2/open/app/referrers/${put.image.manifest.digest}`,
    ]) {
      assert.equal(await statusOf(site, path, as(ANNA)), 200)
    }
    const text = JSON.stringify(site.registry.requests.map(({ headers, url }) => [headers, url]))
    assert.equal(
      text.includes(Buffer.from(`${ANNA.name}:${ANNA.password}`).toString('base64')),
      false,
    )
  })
}

test('over plain HTTP nobody is asked for a secret, unless the operator says so', async () => {
  await using site = await startTenants({ upstream: { allowPlainChallenge: false } })
  const put = site.put('team-a/app')
  const got = await site.app.get(manifestOf(put))
  assert.equal(got.status, 403)
  assert.equal(got.headers['www-authenticate'], undefined)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
})

test('the registry down: a right that was shown lasts its time, and none is given after', async () => {
  await using site = await startTenants({ upstream: { limits: IMPATIENT } })
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  site.registry.script({}, hangUp())
  site.clock.advance(GRANT_MS - 1)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  site.clock.advance(1)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 502)
  assert.equal(await statusOf(site, manifestOf(put), as(BERT)), 502)
  // It may have a secret that is of use.
  assert.equal(await statusOf(site, manifestOf(put)), 401)
})

test('the registry down: staleGrant prolongs what was shown, not what was never shown', async () => {
  const staleGrantMs = 60 * 60_000
  await using site = await startTenants({ upstream: { limits: IMPATIENT, staleGrantMs } })
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  assert.equal(await statusOf(site, manifestOf(put), as(BERT)), 403)
  site.registry.script({}, hangUp())
  site.clock.advance(GRANT_MS)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  assert.equal(await statusOf(site, manifestOf(put), as(BERT)), 502)
  assert.equal(await statusOf(site, manifestOf(put), as(WRONG)), 502)
  site.clock.advance(staleGrantMs)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 502)
})

test('a right that was refused since is not prolonged by an outage', async () => {
  const staleGrantMs = 60 * 60_000
  await using site = await startTenants({ upstream: { limits: IMPATIENT, staleGrantMs } })
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 200)
  site.revoke(CARL)
  site.clock.advance(GRANT_MS)
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 403)
  site.registry.script({}, hangUp())
  site.clock.advance(REFUSAL_MS)
  assert.equal(await statusOf(site, manifestOf(put), as(CARL)), 502)
})

test('a registry that is throttled or broken while a right is asked for is told of as that', async () => {
  await using site = await startTenants({ upstream: { limits: IMPATIENT } })
  const put = site.put('team-a/app')
  site.registry.script({ path: /manifests/ }, answer(429, { 'retry-after': '7' }), { times: 2 })
  const got = await site.app.get(manifestOf(put), as(ANNA))
  assert.equal(got.status, 503)
  assert.equal(got.headers['retry-after'], '7')
})

for (const access of ['public', 'caller'] as const) {
  test(`the registry down: what is known to be public is served, and nothing else (${access})`, async () => {
    const upstream = { access, credentials: access === 'public' ? [ACCOUNT] : [] }
    await using site = await startTenants({ upstream: { ...upstream, limits: IMPATIENT } })
    const open = site.put('open/app')
    const closed = site.put('team-a/app')
    assert.equal(await statusOf(site, manifestOf(open)), 200)
    site.registry.script({}, hangUp())
    for (const isRestarted of [false, true]) {
      if (isRestarted) await site.app.restart()
      site.clock.advance(GRANT_MS)
      assert.equal(await statusOf(site, manifestOf(open)), 200)
      assert.notEqual(await statusOf(site, manifestOf(closed)), 200)
    }
  })
}

test('what was public does not wait for a registry that is slow to say whether it still is', async () => {
  await using site = await startTenants({ upstream: { access: 'public', credentials: [ACCOUNT] } })
  const put = site.put('open/app')
  assert.equal(await statusOf(site, manifestOf(put)), 200)
  site.clock.advance(GRANT_MS)
  const held = site.registry.hold({})
  assert.equal(await statusOf(site, manifestOf(put)), 200)
  await held.arrived()
  site.setPrivate('open/app')
  held.release()
  // Its answer counts for those who come after it.
  await site.app.until('larder_upstream_requests_total', 1, { code: '401' })
  let status = 200
  for (let i = 0; i < 200 && status === 200; i++) status = await statusOf(site, manifestOf(put))
  assert.equal(status, 403)
})

test('under Never nobody is asked whether what was public still is', async () => {
  const rule = { match: '*', repository: '**', maxAgeMs: 0, refresh: 'blocking' } as const
  const tags = [
    { ...rule, match: 'v1', pullPolicy: 'Never' },
    { ...rule, pullPolicy: 'IfNotPresent', maxAgeMs: GRANT_MS * 10 },
  ] as const
  await using site = await startTenants({ upstream: { access: 'public', credentials: [ACCOUNT] } })
  const put = site.put('open/app')
  assert.equal(await statusOf(site, '/v2/open/app/manifests/v1'), 200)
  const upstream = { name: 'reg.test', url: site.registry.origin, default: true, tags } as const
  const account = { access: 'public', credentials: [ACCOUNT] } as const
  await site.app.reload({ upstreams: [{ ...upstream, ...account }] })
  site.clock.advance(GRANT_MS)
  site.registry.forget()
  assert.equal(await statusOf(site, '/v2/open/app/manifests/v1'), 200)
  assert.equal(site.registry.count(), 0)
  assert.equal(await statusOf(site, manifestOf(put)), 200)
  assert.ok(site.registry.count() > 0, 'where the tag is not under Never it is asked')
})

test('that a repository is public survives a restart, for the rest of its time', async () => {
  await using site = await startTenants({ upstream: { access: 'public', credentials: [ACCOUNT] } })
  const put = site.put('open/app')
  assert.equal(await statusOf(site, manifestOf(put)), 200)
  site.clock.advance(GRANT_MS - 1000)
  site.setPrivate('open/app')
  await site.app.restart()
  site.registry.forget()
  assert.equal(await statusOf(site, manifestOf(put)), 200)
  assert.equal(site.registry.count(), 0)
  site.clock.advance(1000)
  assert.equal(await statusOf(site, manifestOf(put)), 403, 'a restart does not prolong it')
})

test('a repository that turned private is not served after a restart, nor in an outage', async () => {
  for (const credentials of [[], [ACCOUNT]]) {
    const upstream = { access: 'public', credentials, limits: IMPATIENT } as const
    await using site = await startTenants({ upstream })
    const put = site.put('open/app')
    assert.equal(await statusOf(site, manifestOf(put)), 200)
    site.setPrivate('open/app')
    site.clock.advance(GRANT_MS)
    assert.equal(await statusOf(site, manifestOf(put)), 403)
    await site.app.restart()
    assert.equal(await statusOf(site, manifestOf(put)), 403)
    site.clock.advance(REFUSAL_MS)
    site.registry.script({}, hangUp())
    assert.equal(await statusOf(site, manifestOf(put)), 502)
    site.registry.clearScripts()
    site.setPrivate('open/app', false)
    assert.equal(await statusOf(site, manifestOf(put)), 200, 'and is when it is public again')
  }
})

test('what was pulled under another access is not public because the configuration now says so', async () => {
  await using site = await startTenants()
  const put = site.put('team-a/app')
  const blob = `/v2/team-a/app/blobs/${put.layer.digest}`
  for (const path of [manifestOf(put), blob]) {
    assert.equal(await statusOf(site, path, as(ANNA)), 200)
  }
  const upstream = { name: 'reg.test', url: site.registry.origin, default: true } as const
  await site.app.restart({ upstreams: [{ ...upstream, access: 'public' }] })
  for (const path of [manifestOf(put), blob, '/v2/team-a/app/manifests/v1']) {
    assert.equal(await statusOf(site, path), 403, path)
  }
})

test('a public pull without an account asks no more than the pull itself does', async () => {
  await using site = await startTenants({ upstream: { access: 'public' } })
  const put = site.put('open/app')
  assert.equal(await statusOf(site, manifestOf(put)), 200)
  assert.equal(await statusOf(site, `/v2/open/app/blobs/${put.layer.digest}`), 200)
  const asked = contentRequests(site.registry).filter(({ headers }) => headers.authorization)
  assert.deepEqual(
    asked.map(({ method }) => method),
    ['GET', 'GET'],
  )
})

test('what is absent does not hide what is there from those who ask at the same time', async () => {
  await using site = await startTenants()
  const put = site.put('open/app')
  site.registry.script({ path: /tags\/list/ }, answer(404))
  const barrier = site.registry.hold({ path: '/v2/open/app/manifests/sha256-0.sig' }, { times: 1 })
  const signature = site.app.get('/v2/open/app/manifests/sha256-0.sig')
  await barrier.arrived()
  const image = site.app.get(manifestOf(put))
  barrier.release()
  assert.equal((await signature).status, 404)
  assert.equal((await image).status, 200)
})

test('what is absent says nothing of the right to the rest: what is here is served', async () => {
  await using site = await startTenants({ upstream: { access: 'public' } })
  const put = site.put('open/app')
  assert.equal(await statusOf(site, '/v2/open/app/manifests/v1'), 200)
  site.registry.content.deleteManifest('open/app', put.image.manifest.digest)
  site.put('open/app')
  site.clock.advance(GRANT_MS)
  assert.equal(await statusOf(site, manifestOf(put)), 200, 'deleted there, cached here')
  assert.equal(await statusOf(site, '/v2/open/app/manifests/v0'), 404)
})

test('a registry that hides what is private behind a 404 is believed', async () => {
  for (const credentials of [[], [ACCOUNT]]) {
    await using site = await startTenants({ upstream: { access: 'public', credentials } })
    const put = site.put('open/app')
    assert.equal(await statusOf(site, manifestOf(put)), 200)
    site.registry.script({ path: /^\/v2\/open/ }, answer(404))
    site.clock.advance(GRANT_MS)
    for (const path of [manifestOf(put), '/v2/open/app/manifests/v1', '/v2/open/app/tags/list']) {
      assert.equal(await statusOf(site, path), 404, path)
    }
  }
})

test('whether all may pull is not for a mirror to say', async () => {
  await using mirror = await new FaultRegistry().start()
  await using site = await startTenants({ upstream: { mirrors: [mirror.origin] } })
  const put = site.put('team-a/app')
  mirror.add('team-a/app', put.image, 'v1')
  assert.equal(await statusOf(site, manifestOf(put)), 401)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  assert.equal(mirror.count(), 0, 'nor is a caller’s secret any of its business')
})

test('guesses are limited by address, and counted; who is right is not', async () => {
  await using site = await startTenants()
  const put = site.put('team-a/app')
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  const guess = (n: number) => as({ name: 'anna', password: `guess ${n}` })
  for (let i = 0; i < 300; i++) assert.equal(await statusOf(site, manifestOf(put), guess(i)), 403)
  site.registry.forget()
  const limited = await site.app.get(manifestOf(put), guess(300))
  assert.equal(limited.status, 429)
  assert.equal(codeOf(limited), 'TOOMANYREQUESTS')
  assert.equal(limited.headers['retry-after'], '1')
  assert.equal(site.registry.count(), 0)
  assert.equal(await statusOf(site, manifestOf(put), as(ANNA)), 200)
  assert.equal(await site.app.metric('larder_auth_failures_total', { kind: 'caller' }), 300)
  assert.equal(await site.app.metric('larder_auth_failures_total', { kind: 'limited' }), 1)
  site.clock.advance(1000)
  assert.equal(await statusOf(site, manifestOf(put), guess(300)), 403)
})

test('no secret of a caller is found in a log, a metric, an answer or a file', async () => {
  await using site = await startTenants({ upstream: { limits: IMPATIENT } })
  const put = site.put('team-a/app')
  const bodies: string[] = []
  for (const user of [ANNA, BERT, CARL, WRONG]) {
    for (const path of [manifestOf(put), `/v2/team-a/app/blobs/${put.layer.digest}`]) {
      const { headers, body } = await site.app.get(path, as(user))
      bodies.push(JSON.stringify(headers), body.toString('latin1'))
    }
  }
  site.registry.script({}, answer(500))
  bodies.push((await site.app.get('/v2/team-a/other/manifests/v1', as(ANNA))).body.toString())
  const samples = JSON.stringify(await site.app.samples())
  const all = [...bodies, ...site.app.log, samples].join('\n')
  for (const user of [ANNA, BERT, CARL, WRONG]) assertNowhere(all, user)
  for (const text of await filesIn(site.app.dataDir)) {
    for (const user of [ANNA, BERT, CARL, WRONG]) assertNowhere(text, user)
  }
})
