import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseRepository } from '../../src/oci/reference.ts'
import { Barrier } from '../support/barrier.ts'
import { type Answer, type RecordedRequest, ScriptedServer } from '../support/scripted-server.ts'
import {
  AS_LARDER,
  basic,
  createClient,
  failure,
  LATEST,
  password,
  REPOSITORY,
  sampleManifest,
} from './client.ts'

const MANIFEST = sampleManifest()
const OTHER = parseRepository('other/app')

interface TokenSite {
  readonly server: ScriptedServer
  /** What `/token` answers. */
  issue: (request: RecordedRequest, count: number) => Answer | Promise<Answer>
  /** Tokens that the registry takes. */
  readonly valid: Set<string>
  /** What a request without a valid token is answered with. */
  refusal: (request: RecordedRequest) => Answer
  readonly count: () => number
  [Symbol.asyncDispose](): Promise<void>
}

/** A registry with a token endpoint at its own origin; token `t1`, then `t2`, … */
async function startTokenSite(): Promise<TokenSite> {
  let issued = 0
  const server = new ScriptedServer((request) => {
    if (request.path === '/token') return site.issue(request, ++issued)
    const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
    return site.valid.has(token) ? MANIFEST.answer : site.refusal(request)
  })
  const site: TokenSite = {
    server,
    valid: new Set(['t1', 't2', 't3']),
    issue: (_request, count) => ({ status: 200, body: { token: `t${count}` } }),
    refusal: () => challenge(`Bearer realm="${server.origin}/token",service="s"`),
    count: () => server.count({ path: '/token' }),
    [Symbol.asyncDispose]: () => server.close(),
  }
  await server.start()
  return site
}

function challenge(...values: string[]): Answer {
  return { status: 401, headers: { 'www-authenticate': values } }
}

test('a token is asked for this repository only, and used again without a challenge', async () => {
  await using site = await startTokenSite()
  const { server } = site
  site.refusal = () =>
    challenge(
      'Basic realm="no"',
      `Bearer realm="${server.origin}/token?x=y",service="a \\"b\\"",scope="repository:acme/app:pull,push"`,
    )
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  const [asked, ...more] = server.find({ path: '/token' })
  assert.deepEqual(more, [])
  assert.deepEqual(Object.fromEntries(asked?.query ?? []), {
    x: 'y',
    service: 'a "b"',
    scope: 'repository:acme/app:pull',
  })
  assert.equal(asked?.headers.authorization, basic('u', 'p'))
  const sent = server.find({ path: /manifests/ }).map(({ headers }) => headers.authorization)
  assert.deepEqual(sent, [undefined, 'Bearer t1', 'Bearer t1'])
})

test('fifty requests at once cause one token request', async () => {
  await using site = await startTokenSite()
  const barrier = new Barrier()
  site.issue = async (_request, count) => {
    await barrier.wait()
    return { status: 200, body: { access_token: `t${count}`, expires_in: 300 } }
  }
  await using client = createClient(site.server.origin, { limits: { connections: 64 } })
  const all = Array.from({ length: 50 }, () =>
    client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER),
  )
  await site.server.seen({ path: /manifests/ }, 50)
  await barrier.arrived()
  barrier.release()
  await Promise.all(all)
  assert.equal(site.count(), 1)
  assert.equal(client.events.filter((one) => one['result'] === 'fetched').length, 1)
})

test('one who stops waiting for a token does not take it from the others', async () => {
  await using site = await startTokenSite()
  const barrier = new Barrier()
  site.issue = async () => {
    await barrier.wait()
    return { status: 200, body: { token: 't1' } }
  }
  await using client = createClient(site.server.origin)
  const controller = new AbortController()
  const options = { ...AS_LARDER, signal: controller.signal }
  const impatient = client.registry.getManifest(REPOSITORY, LATEST, options)
  const patient = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await barrier.arrived()
  await site.server.seen({ path: /manifests/ }, 2)
  controller.abort(new Error('gone'))
  await assert.rejects(impatient, /gone/)
  barrier.release()
  assert.equal((await patient).digest, MANIFEST.digest)
  assert.equal(site.count(), 1)
})

test('a token lives as long as it says less the skew, sixty seconds if it does not say', async () => {
  for (const [expiresIn, usableSeconds] of [
    [undefined, 30],
    [5, 30],
    ['oops', 30],
    [300, 270],
    [1e9, 3570],
  ] as const) {
    await using site = await startTokenSite()
    site.issue = (_request, count) => ({
      status: 200,
      body: { token: `t${count}`, expires_in: expiresIn, issued_at: '1970-01-01T00:00:00Z' },
    })
    await using client = createClient(site.server.origin)
    const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    await pull()
    client.clock.time += usableSeconds * 1000 - 1
    await pull()
    assert.equal(site.count(), 1, `expires_in ${expiresIn}`)
    client.clock.time += 1
    await pull()
    assert.equal(site.count(), 2, `expires_in ${expiresIn}`)
  }
})

test('repositories, credentials and the anonymous never share a token', async () => {
  await using site = await startTokenSite()
  site.issue = () => ({ status: 200, body: { token: 't1' } })
  await using client = createClient(site.server.origin, { credentials: [password('u', 'p')] })
  const caller = { kind: 'caller', username: 'c', password: 'q', fingerprint: 'f' } as const
  for (const as of [{ kind: 'larder' }, { kind: 'anonymous' }, caller] as const) {
    for (const repository of [REPOSITORY, OTHER]) {
      await client.registry.getManifest(repository, LATEST, { as })
      await client.registry.getManifest(repository, LATEST, { as })
    }
  }
  const asked = site.server
    .find({ path: '/token' })
    .map(({ headers, query }) => [headers.authorization, query.get('scope')])
  const scopes = ['repository:acme/app:pull', 'repository:other/app:pull']
  const authorizations = [basic('u', 'p'), undefined, basic('c', 'q')]
  assert.deepEqual(
    asked,
    authorizations.flatMap((one) => scopes.map((scope) => [one, scope])),
  )
})

test('a token that is no longer taken is renewed once', async () => {
  await using site = await startTokenSite()
  await using client = createClient(site.server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await pull()
  site.valid.delete('t1')
  // Harbor challenges for Basic when a token is stale.
  const { refusal } = site
  site.refusal = (request) =>
    request.headers.authorization === undefined ? refusal(request) : challenge('Basic realm="h"')
  await Promise.all([pull(), pull(), pull()])
  assert.equal(site.count(), 2)
})

test('a fresh token that is not taken is a refusal, not a loop', async () => {
  await using site = await startTokenSite()
  site.valid.clear()
  await using client = createClient(site.server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('denied', 'auth'))
  assert.equal(site.server.requests.length, 3)
  await assert.rejects(pull(), failure('denied', 'auth'))
  assert.equal(site.count(), 2)
})

test('a 401 without a challenge, or with one that nobody speaks, is a refusal', async () => {
  for (const values of [[], ['Negotiate'], ['Bearer service="x"']]) {
    await using server = await new ScriptedServer(() => challenge(...values)).start()
    await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
    const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    await assert.rejects(pull, failure('denied', 'auth'))
    assert.equal(server.requests.length, 1)
  }
})

test('a scope that is no repository is asked for as the registry names it', async () => {
  await using site = await startTokenSite()
  const { origin } = site.server
  site.refusal = () => challenge(`Bearer realm="${origin}/token/../token",service="s",scope="aws"`)
  await using client = createClient(origin)
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.equal(site.server.find({ path: '/token' })[0]?.query.get('scope'), 'aws')
})

test('an expired token said with 403 or 400 is renewed once', async () => {
  const text = 'Your authorization token has expired. Reauthenticate and try again.'
  for (const status of [403, 400]) {
    await using site = await startTokenSite()
    await using client = createClient(site.server.origin)
    const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    await pull()
    site.valid.delete('t1')
    site.refusal = () => ({ status, body: { errors: [{ code: 'DENIED', message: text }] } })
    await pull()
    assert.equal(site.count(), 2, String(status))
    site.valid.clear()
    await assert.rejects(pull(), failure(status === 403 ? 'denied' : 'failed'))
    assert.equal(site.count(), 3, String(status))
  }
})

test('a 403 that says nothing of expiry is final', async () => {
  await using site = await startTokenSite()
  await using client = createClient(site.server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await pull()
  site.valid.clear()
  site.refusal = () => ({ status: 403, body: { errors: [{ code: 'DENIED' }] } })
  await assert.rejects(pull(), failure('denied', 'auth'))
  assert.equal(site.count(), 1)
})

test('a realm on a foreign host is refused before anything is sent there', async () => {
  await using foreign = await new ScriptedServer(() => ({
    status: 200,
    body: { token: 't1' },
  })).start()
  await using site = await startTokenSite()
  for (const realm of [
    `http://auth.foreign.test:${foreign.port}/token`,
    `http://u:p@127.0.0.1:${foreign.port}/token`,
    'https://169.254.169.254/token',
    'ftp://127.0.0.1/token',
    '/token',
    '',
  ]) {
    site.refusal = () => challenge(`Bearer realm="${realm}",service="s"`)
    await using client = createClient(
      site.server.origin,
      { credentials: [password('u', 'secret-word')] },
      { lookup: toLoopback },
    )
    const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    await assert.rejects(pull, failure('invalid', 'realm'), realm)
    assert.ok(client.log.some((line) => line.includes('trustedRealms')))
    assert.ok(!client.log.join().includes('secret-word'))
  }
  assert.equal(foreign.requests.length, 0)
})

test('a realm that the operator trusts is asked', async () => {
  await using auth = await new ScriptedServer(() => ({
    status: 200,
    body: { token: 't1' },
  })).start()
  await using site = await startTokenSite()
  const origin = `http://auth.foreign.test:${auth.port}`
  site.refusal = () => challenge(`Bearer realm="${origin}/token",service="s"`)
  await using client = createClient(
    site.server.origin,
    { trustedRealms: [origin] },
    { lookup: toLoopback },
  )
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.equal(auth.requests.length, 1)
})

test('a token server may not redirect to another place', async () => {
  await using foreign = await new ScriptedServer(() => ({
    status: 200,
    body: { token: 't1' },
  })).start()
  await using site = await startTokenSite()
  site.issue = () => ({ status: 307, headers: { location: `${foreign.origin}/token` } })
  await using client = createClient(site.server.origin, { credentials: [password('u', 'p')] })
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('invalid', 'redirect'))
  assert.equal(foreign.requests.length, 0)
})

test('an identity token is exchanged by POST, and used as a password where that is unknown', async () => {
  for (const status of [200, 404, 405, 400, 401]) {
    await using site = await startTokenSite()
    site.issue = ({ method }) =>
      method === 'POST' && status !== 200 ? { status } : { status: 200, body: { token: 't1' } }
    await using client = createClient(site.server.origin, {
      credentials: [password('<token>', 'refresh')],
    })
    await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    const [post, get] = site.server.find({ path: '/token' })
    assert.equal(post?.method, 'POST')
    assert.equal(post?.headers.authorization, undefined)
    assert.deepEqual(Object.fromEntries(new URLSearchParams(post?.body.toString())), {
      grant_type: 'refresh_token',
      client_id: 'larder',
      service: 's',
      scope: 'repository:acme/app:pull',
      refresh_token: 'refresh',
    })
    assert.equal(get?.headers.authorization, status === 200 ? undefined : basic('', 'refresh'))
  }
})

test('a token server that gives no usable token is named as the fault', async () => {
  for (const body of ['nonsense', '{}', '[]', 'null', '{"token":5}', '{"token":"a\\r\\nb: c"}']) {
    await using site = await startTokenSite()
    site.issue = () => ({ status: 200, body })
    await using client = createClient(site.server.origin)
    const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    await assert.rejects(pull, failure('invalid', 'auth'), body)
  }
})

test('a refused credential falls through to the next, and rests for thirty seconds', async () => {
  await using site = await startTokenSite()
  site.issue = ({ headers }) =>
    headers.authorization === basic('good', 'p')
      ? { status: 200, body: { token: 't1' } }
      : { status: 401, body: { errors: [{ code: 'UNAUTHORIZED' }] } }
  await using client = createClient(site.server.origin, {
    credentials: [password('bad', 'p'), password('good', 'p')],
  })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  const triedBad = () =>
    site.server.count({ where: ({ headers }) => headers.authorization === basic('bad', 'p') })
  await pull()
  await pull()
  assert.equal(triedBad(), 1)
  client.clock.time += 30_001
  await pull()
  assert.equal(triedBad(), 2)
})

test('with Basic, each credential is tried at the registry, and 403 falls through as well', async () => {
  await using server = await new ScriptedServer(({ headers }) => {
    if (headers.authorization === basic('third', 'p')) return MANIFEST.answer
    return headers.authorization === basic('second', 'p')
      ? { status: 403, body: { errors: [{ code: 'DENIED' }] } }
      : challenge('Basic realm="r"')
  }).start()
  await using client = createClient(server.origin, {
    credentials: ['first', 'second', 'third'].map((user) => password(user, 'p')),
  })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.equal((await pull()).digest, MANIFEST.digest)
  server.forget()
  await pull()
  assert.equal(server.requests.length, 1)
})

test('when all were refused a short while ago the registry is left alone', async () => {
  await using server = await new ScriptedServer(() => challenge('Basic realm="r"')).start()
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('denied', 'auth'))
  server.forget()
  await assert.rejects(pull(), failure('denied', 'auth'))
  assert.equal(server.requests.length, 0)
})

test('a caller is judged anew each time, and never falls back to another identity', async () => {
  await using server = await new ScriptedServer(() => challenge('Basic realm="r"')).start()
  await using client = createClient(server.origin, { credentials: [password('u', 'p')] })
  const as = { kind: 'caller', username: 'c', password: 'q', fingerprint: 'f' } as const
  for (let i = 0; i < 2; i++) {
    await assert.rejects(client.registry.getManifest(REPOSITORY, LATEST, { as }), failure('denied'))
  }
  const sent = server.requests.map(({ headers }) => headers.authorization)
  assert.deepEqual(sent, [undefined, basic('c', 'q'), basic('c', 'q')])
})

test('authorization for what is passed through learns the challenge and asks for its actions', async () => {
  await using site = await startTokenSite()
  await using client = createClient(`${site.server.origin}/prefix`)
  const as = { kind: 'caller', username: 'c', password: 'q', fingerprint: 'f' } as const
  const answer = await client.registry.authorize(REPOSITORY, 'pull,push', as)
  assert.deepEqual(answer, { origin: `${site.server.origin}/prefix`, authorization: 'Bearer t1' })
  assert.equal(
    site.server.find({ path: '/token' })[0]?.query.get('scope'),
    'repository:acme/app:pull,push',
  )
  assert.equal(site.server.requests[0]?.path, '/prefix/v2/')
})

test('ping answers whether Larder gets in', async () => {
  await using site = await startTokenSite()
  await using client = createClient(site.server.origin)
  await client.registry.ping()
  site.valid.clear()
  await assert.rejects(client.registry.ping(), failure('denied'))
})

/** Every name is this machine. */
function toLoopback(
  _hostname: string,
  _options: object,
  callback: (error: null, addresses: { address: string; family: number }[]) => void,
): void {
  callback(null, [{ address: '127.0.0.1', family: 4 }])
}
