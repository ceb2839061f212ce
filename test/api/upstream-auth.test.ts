import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { CredentialConfig } from '../../src/config/config.ts'
import type { FaultRegistryOptions } from '../support/fault-registry.ts'
import { answer, challenge, type Fault } from '../support/faults.ts'
import { APP, codeOf, type Hub, startHub } from '../support/hub.ts'
import type { AuthOptions } from '../support/registry-auth.ts'
import { type RecordedRequest, ScriptedServer } from '../support/scripted-server.ts'

const TOKENS = { kind: 'token', users: { larder: 'secret' } } as const satisfies AuthOptions

test('45 a token is fetched once for a scope, and used for all that follows', async () => {
  await using hub = await startPrivate({ ...TOKENS, expiresIn: 300 })
  await pullAll(hub)
  assert.equal(hub.registry.countTokens(), 1)
  const [asked] = hub.registry.find({ path: '/token' })
  assert.equal(asked?.query.get('service'), 'fault-registry')
  assert.deepEqual(asked?.query.getAll('scope'), ['repository:library/app:pull'])
  hub.registry.add('library/other', hub.image, 'v1')
  assert.equal((await hub.app.get('/v2/library/other/manifests/v1')).status, 200)
  assert.equal(hub.registry.countTokens(), 2)
})

test('45 many who need a token at once share one', async () => {
  await using hub = await startPrivate({ ...TOKENS, expiresIn: 300 })
  const digests = [hub.index, hub.image, hub.dockerList, hub.sha512].map(
    (one) => one.manifest.digest,
  )
  const all = digests.map((digest) => hub.app.get(`${APP}/manifests/${digest}`))
  for (const { status } of await Promise.all(all)) assert.equal(status, 200)
  assert.equal(hub.registry.countTokens(), 1)
})

test('45 a token that is refused in the middle of a pull is renewed once', async () => {
  await using hub = await startPrivate({ ...TOKENS, expiresIn: 300 })
  assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 200)
  hub.registry.auth.revokeTokens()
  assert.equal((await hub.app.get(`${APP}/blobs/${hub.blob.digest}`)).status, 200)
  assert.equal(hub.registry.countTokens(), 2)
})

test('45 a token is renewed before it expires; one without an age lives for 60 seconds', async (t) => {
  for (const [expiresIn, life] of [
    [300, 300],
    [undefined, 60],
  ] as const) {
    let moved = 0
    const { now } = performance
    t.mock.method(performance, 'now', () => now.call(performance) + moved)
    await using hub = await startPrivate({ ...TOKENS, expiresIn, now: () => Date.now() + moved })
    await hub.app.get(`${APP}/manifests/v1`)
    moved += (life / 2 - 1) * 1000
    await hub.app.get(`${APP}/manifests/docker`)
    assert.equal(hub.registry.countTokens(), 1, `${life}: half of its life is over`)
    moved += (life / 2 - 1) * 1000
    await hub.app.get(`${APP}/manifests/sha512`)
    assert.equal(hub.registry.countTokens(), 2, `${life}: it is about to expire`)
    t.mock.restoreAll()
    assert.equal(hub.registry.auth.issued, 2)
  }
})

for (const field of ['token', 'access_token'] as const) {
  test(`46 a reply with only ${field} works`, async () => {
    await using hub = await startPrivate({ ...TOKENS, tokenFields: [field] })
    await pullAll(hub)
  })
}

test('47 whatever the form of the challenge, the token for this repository is asked for', async () => {
  const forms: readonly ((realm: string) => readonly string[])[] = [
    (realm) => [`Bearer realm="${realm}",service="s",scope="repository:x:pull,push"`],
    (realm) => ['Basic realm="login"', `Bearer realm="${realm}",service="s"`],
    (realm) => [`Basic realm="lo\\"gin", Bearer service="s", realm="${realm}"`],
    (realm) => [`bearer realm=${realm},service=s,scope=repository:x:pull,push`],
    (realm) => [`BEARER realm="${realm}" , service="s", error="invalid_token", extra=1`],
  ]
  for (const form of forms) {
    await using hub = await startPrivate(TOKENS)
    const fault: Fault = (delivery, request) => {
      challenge(...form(hub.registry.auth.realm))(delivery, request)
    }
    const where = ({ headers }: RecordedRequest) => headers.authorization === undefined
    hub.registry.script({ path: /^\/v2\//, where }, fault)
    const got = await hub.app.get(`${APP}/manifests/v1`)
    assert.equal(got.status, 200, form('R').join(' | '))
    const [asked] = hub.registry.find({ path: '/token' })
    assert.deepEqual(asked?.query.getAll('scope'), ['repository:library/app:pull'])
    assert.equal(asked?.query.get('service'), 's')
  }
})

test('47 Basic is answered with Basic', async () => {
  await using hub = await startPrivate({ kind: 'basic', users: { larder: 'secret' } })
  await pullAll(hub)
  const unauthenticated = hub.registry.count({
    where: ({ headers }) => headers.authorization === undefined,
  })
  assert.equal(unauthenticated, 1, 'only the first request is challenged')
})

for (const oauth2 of [true, false]) {
  test(`48 an identity token is exchanged (token server with POST: ${oauth2})`, async () => {
    await using hub = await startHub({
      registry: { auth: { ...TOKENS, oauth2, refreshTokens: { larder: 'refresh-secret' } } },
      upstream: { access: 'shared', credentials: [larders('refresh-secret', '<token>')] },
    })
    const got = await hub.app.get(`${APP}/manifests/v1`)
    const posts = hub.registry.find({ path: '/token', method: 'POST' })
    const form = new URLSearchParams(posts[0]?.body.toString())
    assert.equal(form.get('grant_type'), 'refresh_token')
    assert.equal(form.get('refresh_token'), 'refresh-secret')
    assert.equal(form.get('service'), 'fault-registry')
    assert.equal(form.get('scope'), 'repository:library/app:pull')
    assert.ok(form.get('client_id'))
    if (oauth2) assert.equal(got.status, 200)
    else assert.equal(hub.registry.count({ path: '/token', method: 'GET' }), 1)
  })
}

for (const [what, status, body] of [
  [
    '403, as ECR says it',
    403,
    {
      errors: [
        {
          code: 'DENIED',
          message: 'Your authorization token has expired. Reauthenticate and try again.',
        },
      ],
    },
  ],
  [
    '400, as ECR Public says it',
    400,
    { errors: [{ code: 'DENIED', message: 'The bearer token has expired.' }] },
  ],
] as const) {
  test(`49 a token that has expired by a ${what} is renewed once`, async () => {
    await using hub = await startPrivate({ ...TOKENS, expiresIn: 300 })
    assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 200)
    hub.registry.script({ path: /manifests/ }, answer(status, {}, body), { times: 1 })
    assert.equal((await hub.app.get(`${APP}/manifests/docker`)).status, 200)
    assert.equal(hub.registry.countTokens(), 2)
    hub.registry.forget()
    hub.registry.script({ path: /manifests/ }, answer(status, {}, body))
    const got = await hub.app.get(`${APP}/manifests/sha512`)
    assert.ok(got.status === 403 || got.status === 502, String(got.status))
    assert.ok(hub.registry.count({ path: /manifests/ }) <= 3)
  })
}

test('50 a fresh token that is refused is 403 DENIED, without a loop or a foreign challenge', async () => {
  await using hub = await startPrivate({ ...TOKENS, mayUse: () => false })
  for (const path of [
    `${APP}/manifests/v1`,
    `${APP}/blobs/${hub.blob.digest}`,
    `${APP}/tags/list`,
  ]) {
    const got = await hub.app.get(path)
    assert.equal(got.status, 403, path)
    assert.equal(codeOf(got), 'DENIED')
    assert.equal(got.headers['www-authenticate'], undefined)
  }
  assert.ok(hub.registry.countTokens() <= 3)
  assert.ok(hub.registry.count({ path: /^\/v2\// }) <= 6)
})

test('50 a 403 of the registry is 403 DENIED', async () => {
  await using hub = await startHub()
  hub.registry.script({}, answer(403, { 'www-authenticate': 'Basic realm="elsewhere"' }))
  const got = await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(got.status, 403)
  assert.equal(codeOf(got), 'DENIED')
  assert.equal(got.headers['www-authenticate'], undefined)
})

test('50 a wrong password is tried once, not for every pod', async () => {
  await using hub = await startHub({
    registry: { auth: TOKENS },
    upstream: { access: 'shared', credentials: [larders('wrong')] },
  })
  for (let i = 0; i < 4; i++) {
    assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 403)
  }
  assert.equal(hub.registry.countTokens(), 1)
})

test('50 tokens are not fetched from a stranger, nor is a password shown to one', async () => {
  await using stranger = await new ScriptedServer().start()
  for (const realm of [
    `https://127.0.0.1.evil.example:${stranger.port}/token`,
    `http://user@127.0.0.1:${stranger.port}/token`,
    'file:///etc/passwd',
    '/token',
  ]) {
    await using hub = await startPrivate(TOKENS)
    hub.registry.script({ path: /^\/v2\// }, challenge(`Bearer realm="${realm}",service="s"`))
    const got = await hub.app.get(`${APP}/manifests/v1`)
    assert.equal(got.status, 502, realm)
    assert.doesNotMatch(got.body.toString(), /evil|passwd/)
  }
  assert.equal(stranger.count(), 0)
})

test('67 a private image is not given to a caller without a right to it, by any way in', async () => {
  await using hub = await startHub({
    registry: { auth: { ...TOKENS, public: /^library\/open$/ } },
    upstream: { access: 'public', credentials: [larders('secret')] },
  })
  hub.registry.add('library/open', hub.index, 'v1')
  assert.equal((await hub.app.get('/v2/library/open/manifests/v1')).status, 200)
  for (const path of [
    `${APP}/manifests/v1`,
    `${APP}/manifests/${hub.index.manifest.digest}`,
    `${APP}/blobs/${hub.blob.digest}`,
    `${APP}/tags/list`,
    `${APP}/referrers/${hub.index.manifest.digest}`,
  ]) {
    for (const ask of [hub.app.get, hub.app.head]) {
      const got = await ask(path)
      assert.equal(got.status, 403, path)
      assert.equal(got.headers['docker-content-digest'], undefined)
    }
  }
})

function startPrivate(auth: AuthOptions): Promise<Hub> {
  const registry: FaultRegistryOptions = { auth }
  return startHub({ registry, upstream: { access: 'shared', credentials: [larders('secret')] } })
}

function larders(password: string, username = 'larder'): CredentialConfig {
  return { kind: 'password', path: '', username, password, passwordFile: undefined }
}

async function pullAll({ app, blob, index, image }: Hub): Promise<void> {
  for (const path of [
    'manifests/v1',
    `manifests/${index.manifest.digest}`,
    `manifests/${image.manifest.digest}`,
    `blobs/${blob.digest}`,
    'tags/list',
    `referrers/${image.manifest.digest}`,
  ]) {
    const got = await app.get(`${APP}/${path}`)
    assert.equal(got.status, 200, path)
  }
}
