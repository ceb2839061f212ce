import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import type { ClientRequest, ClientResponse } from '../support/http-client.ts'
import { sumOf } from '../support/samples.ts'
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
  type User,
  WRONG,
} from './tenants.ts'

/** Caller × route × method × state, for each kind of access: every cell is a test. */
const CALLERS = {
  nobody: undefined,
  'anna, whose it is,': ANNA,
  'bert, of another team,': BERT,
  'a wrong password': WRONG,
  'carl, who was one of anna’s,': CARL,
} as const satisfies Record<string, User | undefined>
type CallerName = keyof typeof CALLERS
const CALLER_NAMES = Object.keys(CALLERS) as CallerName[]

const STATES = ['hit', 'miss', 'join'] as const
type State = (typeof STATES)[number]
const METHODS = ['GET', 'HEAD'] as const
type Method = (typeof METHODS)[number]

interface Route {
  /** What to ask for, below `/v2/<name>/`. */
  readonly of: (put: PutImage) => string
  /** The same for what is not there. */
  readonly absent: string
  readonly range?: string
  readonly status: number
  /** What a GET gives, where that is not made by Larder. */
  readonly body?: (put: PutImage) => Buffer
}

const NOTHING = digestOf(Buffer.from('nothing'))
const ROUTES = {
  tag: {
    of: () => 'manifests/v1',
    absent: 'manifests/v2',
    status: 200,
    body: ({ image }) => image.manifest.bytes,
  },
  digest: {
    of: ({ image }) => `manifests/${image.manifest.digest}`,
    absent: `manifests/${NOTHING}`,
    status: 200,
    body: ({ image }) => image.manifest.bytes,
  },
  blob: {
    of: ({ layer }) => `blobs/${layer.digest}`,
    absent: `blobs/${NOTHING}`,
    status: 200,
    body: ({ layer }) => layer.bytes,
  },
  range: {
    of: ({ layer }) => `blobs/${layer.digest}`,
    absent: `blobs/${NOTHING}`,
    range: 'bytes=5-104',
    status: 206,
    body: ({ layer }) => layer.bytes.subarray(5, 105),
  },
  tags: { of: () => 'tags/list', absent: 'tags/list', status: 200 },
  referrers: {
    of: ({ image }) => `referrers/${image.manifest.digest}`,
    absent: `referrers/${NOTHING}`,
    status: 200,
  },
} as const satisfies Record<string, Route>
type RouteName = keyof typeof ROUTES
const ROUTE_NAMES = Object.keys(ROUTES) as RouteName[]

interface Cell {
  readonly caller: CallerName
  readonly route: RouteName
  readonly method: Method
  readonly state: State
}

function cellsOf(states: readonly State[], callers: readonly CallerName[]): Cell[] {
  return states.flatMap((state) =>
    ROUTE_NAMES.flatMap((route) =>
      METHODS.flatMap((method) => callers.map((caller) => ({ caller, route, method, state }))),
    ),
  )
}

/** Headers of a refusal. Nothing else is said, so nothing else can be learned. */
const REFUSAL_HEADERS = new Set([
  'cache-status',
  'connection',
  'content-length',
  'content-type',
  'date',
  'docker-distribution-api-version',
  'keep-alive',
  'www-authenticate',
  'x-request-id',
])
const MESSAGES = {
  401: { code: 'UNAUTHORIZED', message: 'authentication required' },
  403: { code: 'DENIED', message: 'requested access to the resource is denied' },
} as const

function assertRefused(got: ClientResponse, status: 401 | 403, method: Method): void {
  const body = Buffer.from(JSON.stringify({ errors: [MESSAGES[status]] }))
  assert.equal(got.status, status, got.body.toString())
  assert.equal(got.body.toString(), method === 'HEAD' ? '' : body.toString())
  assert.deepEqual(
    Object.keys(got.headers).filter((name) => !REFUSAL_HEADERS.has(name)),
    [],
  )
  assert.equal(got.headers['content-length'], String(body.length))
  assert.equal(got.headers['cache-status'], 'larder; detail=denied')
  const challenge = status === 401 ? 'Basic realm="reg.test", charset="UTF-8"' : undefined
  assert.equal(got.headers['www-authenticate'], challenge)
}

function assertServed(got: ClientResponse, { route, method }: Cell, put: PutImage): void {
  const { status, body }: Route = ROUTES[route]
  assert.equal(got.status, method === 'HEAD' ? 200 : status, got.body.toString())
  const expected = body?.(put)
  if (method === 'HEAD') assert.equal(got.body.length, 0)
  else if (expected !== undefined) assert.ok(got.body.equals(expected))
  if (method === 'HEAD' && expected !== undefined && route !== 'range') {
    assert.equal(got.headers['content-length'], String(expected.length))
  }
}

/** What is the same for two answers that cannot be told apart. */
function shapeOf({ status, headers, body }: ClientResponse) {
  const { date: _date, 'x-request-id': _id, ...rest } = headers
  return { status, headers: rest, body: body.toString() }
}

function ask({ app }: Tenants, put: PutImage, path: string, request: ClientRequest) {
  return app.get(`/v2/${put.repository}/${path}`, request)
}

function requestOf({ route, method, caller }: Pick<Cell, 'route' | 'method' | 'caller'>) {
  const { range }: Route = ROUTES[route]
  return as(CALLERS[caller], { method, ...(range === undefined ? {} : { range }) })
}

/** Everything of it is in the cache, and anna may have it. */
async function fill(site: Tenants, put: PutImage, user: User | undefined): Promise<void> {
  for (const { of } of Object.values(ROUTES)) {
    const got = await ask(site, put, of(put), as(user))
    assert.equal(got.status, 200, got.body.toString())
  }
  // A client has its last byte before the disk has.
  while (sumOf(await site.app.samples(), 'larder_inflight_fetches') > 0);
}

/** Shows a right, without any content that the cell is about. */
async function grant(site: Tenants, { repository, image }: PutImage, user: User): Promise<void> {
  const got = await site.app.head(`/v2/${repository}/blobs/${image.config.digest}`, as(user))
  assert.equal(got.status, 200)
}

/** Tokens that the registry has seen: whoever uses one of them has somebody's right. */
function bearersOf({ registry }: Tenants): Set<string> {
  const all = contentRequests(registry).map(({ headers }) => headers.authorization ?? '')
  return new Set(all.filter((value) => value !== ''))
}

let site: Tenants
let number = 0

describe('access: caller', () => {
  before(async () => {
    site = await startTenants()
  })
  after(() => site[Symbol.asyncDispose]())

  for (const cell of cellsOf(STATES, CALLER_NAMES)) {
    const { caller, route, method, state } = cell
    test(`${caller} at ${method} of a ${route}: ${state}`, async () => {
      const put = site.put(`team-a/app-${++number}`)
      await (caller === 'anna, whose it is,' ? mayHave(cell, put) : mayNotHave(cell, put))
    })
  }

  async function mayHave(cell: Cell, put: PutImage): Promise<void> {
    const path = ROUTES[cell.route].of(put)
    if (cell.state === 'hit') await fill(site, put, ANNA)
    site.registry.forget()
    if (cell.state !== 'join') {
      assertServed(await ask(site, put, path, requestOf(cell)), cell, put)
      if (cell.state === 'hit') assert.equal(site.registry.count(), 0)
      return
    }
    const { first, release } = await begin(cell, put)
    const second = ask(site, put, path, requestOf(cell))
    release()
    assertServed(await second, cell, put)
    assert.ok((await first).status < 300)
    const upstream = `/v2/${put.repository}/${path}`
    assert.equal(
      site.registry.count({ method: 'GET', path: upstream }),
      1,
      'one upstream GET for both',
    )
  }

  async function mayNotHave(cell: Cell, put: PutImage): Promise<void> {
    const { caller, route, method, state } = cell
    if (caller.startsWith('carl')) await withdraw(put)
    if (state === 'hit') await fill(site, put, ANNA)
    const under = state === 'join' ? await begin(cell, put) : undefined
    const bearers = bearersOf(site)
    site.registry.forget()
    // The answer comes while the other's download is held up: it has waited for nothing of it.
    const got = await ask(site, put, ROUTES[route].of(put), requestOf(cell))
    assertRefused(got, caller === 'nobody' ? 401 : 403, method)
    assertOnlyAsked(bearers)
    site.clock.advance(REFUSAL_MS)
    const other = route === 'tags' ? { ...put, repository: `${put.repository}-absent` } : put
    const absent = await ask(site, other, ROUTES[route].absent, requestOf(cell))
    assert.deepEqual(shapeOf(absent), shapeOf(got), 'absent and forbidden look alike')
    if (under !== undefined) {
      under.release()
      assert.ok((await under.first).status < 300)
    }
    site.restore(CARL)
  }

  /** Carl has a right, loses it, and the time for which he had shown it is over. */
  async function withdraw(put: PutImage): Promise<void> {
    await grant(site, put, CARL)
    site.revoke(CARL)
    await grant(site, put, CARL)
    site.clock.advance(GRANT_MS)
  }

  /** Anna's GET, held up at the registry. */
  async function begin({ route }: Cell, put: PutImage) {
    await grant(site, put, ANNA)
    const path = `/v2/${put.repository}/${ROUTES[route].of(put)}`
    const barrier = site.registry.hold({ method: 'GET', path }, { times: 1 })
    const request = requestOf({ route, method: 'GET', caller: 'anna, whose it is,' })
    const first = ask(site, put, ROUTES[route].of(put), request)
    await barrier.arrived()
    return { first, release: () => barrier.release() }
  }

  /** The registry is asked for the caller's right, with nobody else's, and gives nothing away. */
  function assertOnlyAsked(bearers: ReadonlySet<string>): void {
    for (const { headers, method, path } of contentRequests(site.registry)) {
      assert.equal(bearers.has(headers.authorization ?? ''), false, `${method} ${path}`)
    }
    assert.ok(contentRequests(site.registry).length <= 6)
    assert.equal(site.registry.count({ path: /^\/v2\/.+/, method: 'PUT' }), 0)
  }
})

describe('access: caller, a public repository', () => {
  before(async () => {
    site = await startTenants()
  })
  after(() => site[Symbol.asyncDispose]())

  for (const cell of cellsOf(['hit', 'miss'], CALLER_NAMES)) {
    const { caller, route, method, state } = cell
    test(`${caller} at ${method} of a ${route}: ${state}`, async () => {
      const put = site.put(`open/app-${++number}`)
      if (state === 'hit') await fill(site, put, undefined)
      site.registry.forget()
      const got = await ask(site, put, ROUTES[route].of(put), requestOf(cell))
      assertServed(got, cell, put)
      assert.equal(got.headers['www-authenticate'], undefined)
      if (state !== 'hit') return
      // All that is asked is whether what the caller sent is worth anything.
      const gets = site.registry.count({ method: 'GET', path: /\/blobs\// })
      assert.equal(gets, 0)
      if (caller === 'nobody') assert.equal(site.registry.count(), 0)
    })
  }
})

for (const account of [true, false]) {
  describe(`access: public, ${account ? 'with' : 'without'} an account, turned private`, () => {
    before(async () => {
      const password = { kind: 'password', path: '', passwordFile: undefined } as const
      const own = { ...password, username: LARDER.name, password: LARDER.password }
      const credentials = account ? [own] : []
      site = await startTenants({ upstream: { access: 'public', credentials } })
    })
    after(() => site[Symbol.asyncDispose]())

    for (const cell of cellsOf(['hit'], ['nobody', 'anna, whose it is,', 'a wrong password'])) {
      const { caller, route, method } = cell
      test(`${caller} at ${method} of a ${route}: hit`, async () => {
        const put = site.put(`open/app-${++number}`)
        await fill(site, put, undefined)
        site.setPrivate(put.repository)
        site.registry.forget()
        const served = await ask(site, put, ROUTES[route].of(put), requestOf(cell))
        assertServed(served, cell, put)
        assert.equal(site.registry.count(), 0, 'for the time that it was shown for')
        site.clock.advance(GRANT_MS)
        for (const moment of ['first', 'second']) {
          const got = await ask(site, put, ROUTES[route].of(put), requestOf(cell))
          assertRefused(got, 403, method)
          site.clock.advance(moment === 'first' ? 1000 : REFUSAL_MS)
        }
        const got = await ask(site, put, ROUTES[route].of(put), requestOf(cell))
        assertRefused(got, 403, method)
        assertNobodysSecret(site)
      })
    }
  })
}

describe('access: shared', () => {
  before(async () => {
    const password = { kind: 'password', path: '', passwordFile: undefined } as const
    const own = { ...password, username: LARDER.name, password: LARDER.password }
    site = await startTenants({ upstream: { access: 'shared', credentials: [own] } })
  })
  after(() => site[Symbol.asyncDispose]())

  for (const cell of cellsOf(['hit', 'miss'], ['nobody', 'bert, of another team,'])) {
    const { caller, route, method, state } = cell
    test(`${caller} at ${method} of a ${route}: ${state}`, async () => {
      const put = site.put(`team-a/app-${++number}`)
      if (state === 'hit') await fill(site, put, undefined)
      site.registry.forget()
      assertServed(await ask(site, put, ROUTES[route].of(put), requestOf(cell)), cell, put)
      if (state === 'hit') assert.equal(site.registry.count(), 0)
      assertNobodysSecret(site)
    })
  }
})

/** What callers send to an upstream that is not for callers goes nowhere. */
function assertNobodysSecret({ registry }: Tenants): void {
  for (const { headers } of registry.find({ path: '/token' })) {
    const [, encoded = ''] = (headers.authorization ?? '').split(' ')
    const [name = ''] = Buffer.from(encoded, 'base64').toString().split(':')
    assert.ok(name === '' || name === LARDER.name, name)
  }
}
