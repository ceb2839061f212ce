import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { hash } from 'bcryptjs'

import type { FrontDoorRule } from '../../src/config/config.ts'
import { codeOf } from '../support/hub.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import {
  as,
  LARDER,
  startTenants,
  type Tenants,
  type TenantsOptions,
  type User,
} from './tenants.ts'

const CI: User = { name: 'ci', password: 'open sesame' }
const OPS: User = { name: 'ops', password: 'open barley' }
const ACCOUNT = {
  kind: 'password',
  path: '',
  username: LARDER.name,
  password: LARDER.password,
  passwordFile: undefined,
} as const

let dir: TempDir
let htpasswdFile: string

before(async () => {
  dir = await makeTempDir('larder-door-')
  htpasswdFile = join(dir.path, 'htpasswd')
  const lines = [CI, OPS].map(async ({ name, password }) => `${name}:${await hash(password, 4)}\n`)
  await writeFile(htpasswdFile, (await Promise.all(lines)).join(''))
})
after(() => dir.remove())

function startDoor(
  rules: readonly FrontDoorRule[] = [],
  upstream: TenantsOptions['upstream'] = {},
): Promise<Tenants> {
  const auth = { htpasswdFile, clientCertificates: false, rules }
  const shared = { access: 'shared', credentials: [ACCOUNT], ...upstream } as const
  return startTenants({ upstream: shared, app: { auth } })
}

const wrong = (n: number, name = CI.name) => as({ name, password: `guess ${n}` })

test('failed logins are counted and limited by address, and lock nobody’s account', async () => {
  await using site = await startDoor()
  assert.equal((await site.app.get('/v2/', as(CI))).status, 200)
  for (let i = 0; i < 20; i++) {
    const got = await site.app.get('/v2/', wrong(i, i % 2 === 0 ? CI.name : 'nobody'))
    assert.equal(got.status, 401)
    assert.match(got.headers['www-authenticate'] ?? '', /^Basic realm="larder"/)
  }
  const limited = await site.app.get('/v2/', wrong(20))
  assert.equal(limited.status, 429)
  assert.equal(codeOf(limited), 'TOOMANYREQUESTS')
  assert.equal(limited.headers['retry-after'], '3')
  assert.equal((await site.app.get('/v2/', as(OPS))).status, 429, 'right or not is not looked at')
  assert.equal((await site.app.get('/v2/', as(CI))).status, 200, 'who was right before goes in')
  const elsewhere = { ...as(OPS), agent: new Agent({ localAddress: '127.0.0.2' }) }
  assert.equal(
    (await site.app.get('/v2/', elsewhere)).status,
    200,
    'as does the same user elsewhere',
  )
  assert.equal((await site.app.get('/v2/')).status, 401, 'to send nothing is no failure')
  const count = (kind: string) => site.app.metric('larder_auth_failures_total', { kind })
  assert.equal(await count('password'), 20)
  assert.equal(await count('limited'), 2)
})

test('an address that waits may try again, one attempt for every three seconds', async () => {
  await using site = await startDoor()
  for (let i = 0; i < 21; i++) await site.app.get('/v2/', wrong(i))
  site.clock.advance(2_999)
  assert.equal((await site.app.get('/v2/', as(CI))).status, 429)
  site.clock.advance(1)
  assert.equal((await site.app.get('/v2/', as(CI))).status, 200)
  assert.equal((await site.app.get('/v2/', wrong(22))).status, 401, 'a success has cost nothing')
  assert.equal((await site.app.get('/v2/', wrong(23))).status, 429)
  site.clock.advance(60_000)
  const codes = []
  for (let i = 0; i < 21; i++) codes.push((await site.app.get('/v2/', wrong(i))).status)
  assert.deepEqual(codes, [...Array(20).fill(401), 429], 'and never more than at first')
})

test('guesses that are made at once are limited as well', async () => {
  await using site = await startDoor()
  const all = Array.from({ length: 60 }, (_, i) => site.app.get('/v2/', wrong(i)))
  const codes = (await Promise.all(all)).map(({ status }) => status)
  assert.equal(codes.filter((code) => code === 401).length, 20)
  assert.equal(codes.filter((code) => code === 429).length, 40)
})

test('a rule holds for every route and method, hit or miss, and for writes and mounts', async () => {
  const rules = [
    { users: ['ci'], repositories: ['reg.test/team-b/**'] },
    { users: ['ops'], repositories: ['**'] },
  ]
  await using site = await startDoor(rules, { writes: 'passthrough' })
  const put = site.put('team-a/app')
  site.put('team-b/app')
  const paths = [
    'manifests/v1',
    `manifests/${put.image.manifest.digest}`,
    `blobs/${put.layer.digest}`,
    'tags/list',
    `referrers/${put.image.manifest.digest}`,
  ]
  for (const state of ['miss', 'hit']) {
    for (const path of paths) {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
        const got = await site.app.get(`/v2/team-a/app/${path}`, as(CI, { method }))
        assert.equal(got.status, 403, `${method} ${path}, ${state}`)
        assert.equal(got.headers['docker-content-digest'], undefined)
      }
      assert.equal((await site.app.get(`/v2/team-a/app/${path}`, as(OPS))).status, 200)
    }
  }
  assert.equal((await site.app.get('/v2/team-b/app/manifests/v1', as(CI))).status, 200)
  site.registry.forget()
  for (const path of [
    '/v2/team-a/app/blobs/uploads/',
    '/v2/reg.test/team-a/app/blobs/uploads/',
    `/v2/team-b/app/blobs/uploads/?mount=${put.layer.digest}&from=team-a/app`,
    `/v2/team-b/app/blobs/uploads/?mount=${put.layer.digest}&from=reg.test/team-a/app`,
  ]) {
    assert.equal((await site.app.get(path, as(CI, { method: 'POST' }))).status, 403, path)
  }
  assert.equal(site.registry.count({ method: 'POST' }), 0)
})

test('a user without a rule sees nothing once there are rules', async () => {
  await using site = await startDoor([{ users: ['ops'], repositories: ['**'] }])
  site.put('team-a/app')
  assert.equal((await site.app.get('/v2/team-a/app/manifests/v1', as(CI))).status, 403)
  assert.equal((await site.app.get('/v2/', as(CI))).status, 200)
})

test('the password of the door is passed on to nobody, whatever the upstream’s access', async () => {
  for (const access of ['public', 'shared'] as const) {
    await using site = await startDoor([], { access })
    const { repository, layer } = site.put('open/app')
    for (const path of ['manifests/v1', `blobs/${layer.digest}`, 'tags/list']) {
      assert.equal((await site.app.get(`/v2/${repository}/${path}`, as(CI))).status, 200)
    }
    const { Authorization } = as(CI).headers ?? {}
    const sent = site.registry.requests.map(({ headers }) => headers.authorization)
    assert.equal(sent.includes(String(Authorization)), false)
  }
})
