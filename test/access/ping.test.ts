import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { hash } from 'bcryptjs'

import { makeTempDir } from '../support/temp-dir.ts'
import { ANNA, as, startTenants, type TenantsOptions, WRONG } from './tenants.ts'

const DOCKER =
  'docker/29.7.2 go/go1.25 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client)'
const PODMAN = 'containers/5.29 (github.com/containers/image)'
type Upstream = TenantsOptions['upstream']

/** Who pings, what is configured, and whether a credential is asked for. */
const CASES: Record<string, readonly [agent: string, upstream: Upstream, isAsked: boolean]> = {
  'podman, an upstream for callers': [PODMAN, {}, true],
  'podman, one that is not the default': [PODMAN, { default: false }, true],
  'Docker, its registry is for callers': [DOCKER, {}, true],
  'Docker, another one is': [DOCKER, { default: false }, false],
  'podman, none for callers': [PODMAN, { access: 'public' }, false],
  'podman, over plain HTTP': [PODMAN, { allowPlainChallenge: false }, false],
}

for (const [what, [agent, upstream, isAsked]] of Object.entries(CASES)) {
  test(`/v2/ ${isAsked ? 'asks' : 'does not ask'} for a credential: ${what}`, async () => {
    await using site = await startTenants(upstream === undefined ? {} : { upstream })
    for (const method of ['GET', 'HEAD']) {
      const got = await site.app.get('/v2/', { method, headers: { 'User-Agent': agent } })
      assert.equal(got.status, isAsked ? 401 : 200)
      const expected = isAsked ? 'Basic realm="larder", charset="UTF-8"' : undefined
      assert.equal(got.headers['www-authenticate'], expected)
    }
  })
}

test('/v2/ takes any credential: it is for a repository’s registry to judge', async () => {
  await using site = await startTenants()
  for (const user of [ANNA, WRONG]) assert.equal((await site.app.get('/v2/', as(user))).status, 200)
  assert.equal(site.registry.count(), 0)
})

test('/v2/ asks nobody whose password has opened the front door', async () => {
  await using dir = await makeTempDir()
  const htpasswdFile = join(dir.path, 'htpasswd')
  await writeFile(htpasswdFile, `${ANNA.name}:${await hash(ANNA.password, 4)}\n`)
  const auth = { htpasswdFile, clientCertificates: true, rules: [] }
  await using site = await startTenants({ app: { auth } })
  assert.equal((await site.app.get('/v2/')).status, 401)
  assert.equal((await site.app.get('/v2/', as(WRONG))).status, 401)
  assert.equal((await site.app.get('/v2/', as(ANNA))).status, 200)
})
