import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { test } from 'node:test'

import { AUTHORITY } from '../../src/admin/answers/authority.ts'
import { Authority } from '../../src/admin/authority.ts'
import { AdminError } from '../../src/admin/errors.ts'
import type { ClientRequest } from '../support/http-client.ts'
import { jsonOf, makeTokenFile, Site } from './site.ts'

const TOKEN = 'correct-horse-battery-staple'
const JSON_TYPE = 'application/json'

interface Case {
  readonly name: string
  readonly tokenFile?: string
  readonly listenHost?: string
  readonly peer?: string
  readonly headers?: IncomingHttpHeaders
  readonly expected: 'token' | 'loopback' | number
}

/** Who asks, without a connection: a test has no address that is not loopback. */
async function ask({ tokenFile, listenHost = '127.0.0.1', peer = '127.0.0.1', headers }: Case) {
  const authority = new Authority({ tokenFile: () => tokenFile, listenHost, monotonic: () => 0 })
  const request = {
    headers: { host: '127.0.0.1:9090', 'content-type': JSON_TYPE, ...headers },
    socket: { remoteAddress: peer },
  }
  try {
    return await authority.admitChange(request as IncomingMessage)
  } catch (error) {
    assert.ok(error instanceof AdminError, String(error))
    return error.status
  }
}

const LOOPBACK_CASES: readonly Case[] = [
  { name: 'a program here', expected: 'loopback' },
  { name: 'over IPv6', listenHost: '::1', peer: '::1', expected: 'loopback' },
  {
    name: 'over both families',
    listenHost: 'localhost',
    peer: '::ffff:127.0.0.1',
    expected: 'loopback',
  },
  { name: 'by the name localhost', headers: { host: 'localhost:9090' }, expected: 'loopback' },
  { name: 'by an IPv6 address', headers: { host: '[::1]:9090' }, expected: 'loopback' },
  {
    name: 'a JSON of a charset',
    headers: { 'content-type': 'application/json; charset=utf-8' },
    expected: 'loopback',
  },
  {
    name: 'its own page',
    headers: { origin: 'http://127.0.0.1:9090', 'sec-fetch-site': 'same-origin' },
    expected: 'loopback',
  },
  { name: 'typed by a person', headers: { 'sec-fetch-site': 'none' }, expected: 'loopback' },
  { name: 'a peer from elsewhere', peer: '10.1.2.3', expected: 403 },
  { name: 'a peer that is unknown', peer: '', expected: 403 },
  { name: 'a listener for everyone', listenHost: '0.0.0.0', expected: 403 },
  { name: 'a listener with a name', listenHost: 'larder.example', expected: 403 },
  { name: 'a name that was pointed here', headers: { host: 'evil.example:9090' }, expected: 403 },
  {
    name: 'a name that begins like an address',
    headers: { host: '127.0.0.1.evil.example' },
    expected: 403,
  },
  { name: 'no name at all', headers: { host: '' }, expected: 403 },
  { name: 'another site', headers: { origin: 'https://evil.example' }, expected: 403 },
  {
    name: 'another port of this machine',
    headers: { origin: 'http://127.0.0.1:8080' },
    expected: 403,
  },
  { name: 'a page without an origin', headers: { origin: 'null' }, expected: 403 },
  {
    name: 'another site, by Fetch Metadata',
    headers: { 'sec-fetch-site': 'cross-site' },
    expected: 403,
  },
  {
    name: 'the same site, which is another port',
    headers: { 'sec-fetch-site': 'same-site' },
    expected: 403,
  },
  { name: 'a proxy here, for somebody', headers: { 'x-forwarded-for': '10.1.2.3' }, expected: 403 },
  { name: 'a proxy that says Via', headers: { via: '1.1 proxy' }, expected: 403 },
  {
    name: 'a form',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    expected: 415,
  },
  { name: 'a form as text', headers: { 'content-type': 'text/plain' }, expected: 415 },
  {
    name: 'what only begins as JSON',
    headers: { 'content-type': 'application/jsonp' },
    expected: 415,
  },
]

for (const one of LOOPBACK_CASES) {
  test(`without a token file, ${one.name}: ${one.expected}`, async () => {
    assert.equal(await ask(one), one.expected)
  })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

const TOKEN_CASES: readonly Case[] = [
  { name: 'the token from here', headers: bearer(TOKEN), expected: 'token' },
  {
    name: 'the token from elsewhere',
    listenHost: '0.0.0.0',
    peer: '10.1.2.3',
    headers: bearer(TOKEN),
    expected: 'token',
  },
  {
    name: 'the token by a service’s name',
    listenHost: '0.0.0.0',
    headers: { ...bearer(TOKEN), host: 'larder.infra.svc:9090' },
    expected: 'token',
  },
  {
    name: 'the token through a proxy',
    headers: { ...bearer(TOKEN), 'x-forwarded-for': '10.1.2.3' },
    expected: 'token',
  },
  {
    name: 'the scheme in lower case',
    headers: { authorization: `bearer ${TOKEN}` },
    expected: 'token',
  },
  {
    name: 'the token by another site’s page',
    headers: { ...bearer(TOKEN), origin: 'https://evil.example' },
    expected: 403,
  },
  {
    name: 'the token with a form',
    headers: { ...bearer(TOKEN), 'content-type': 'text/plain' },
    expected: 415,
  },
  { name: 'no token, although here', expected: 401 },
  { name: 'a wrong token', headers: bearer(`${TOKEN}x`), expected: 401 },
  { name: 'the token as a password', headers: { authorization: `Basic ${TOKEN}` }, expected: 401 },
  { name: 'an empty token', headers: { authorization: 'Bearer ' }, expected: 401 },
]

for (const one of TOKEN_CASES) {
  test(`with a token file, ${one.name}: ${one.expected}`, async () => {
    await using tokens = await makeTokenFile()
    await writeFile(tokens.file, `${TOKEN}\n`)
    assert.equal(await ask({ ...one, tokenFile: tokens.file }), one.expected)
  })
}

test('a changed token file counts at once', async () => {
  await using tokens = await makeTokenFile()
  await using site = await Site.start({ tokenFile: tokens.file })
  await writeFile(tokens.file, TOKEN)
  assert.equal((await site.change('/reload', {}, bearer(TOKEN))).status, 200)
  await writeFile(tokens.file, 'another-token-of-enough')
  assert.equal((await site.change('/reload', {}, bearer(TOKEN))).status, 401)
  assert.equal((await site.change('/reload', {}, bearer('another-token-of-enough'))).status, 200)
})

test('a token that anyone could guess, or cannot be read, is used for nothing', async () => {
  await using tokens = await makeTokenFile()
  await using site = await Site.start({ tokenFile: tokens.file })
  for (const [text, reason] of [
    ['short', /has 5 characters, and at least 16/],
    ['', /has 0 characters/],
    ['with spaces that are not allowed', /has spaces/],
    ['x'.repeat(9000), /at most 4096/],
  ] as const) {
    await writeFile(tokens.file, text)
    const answer = await site.change('/reload', {}, bearer('x'))
    assert.equal(answer.status, 403)
    assert.match(jsonOf(answer).error.message, reason)
    assert.match((await site.authority.problem()) ?? '', reason)
  }
  await rm(tokens.file)
  const gone = await site.change('/reload', {}, bearer(TOKEN))
  assert.equal(gone.status, 403)
  assert.match(jsonOf(gone).error.message, /cannot be read \(ENOENT\)/)
  assert.ok(!gone.body.includes(tokens.file), 'where it is, is for the log')
  assert.match((await site.authority.problem()) ?? '', /token: it cannot be read \(ENOENT\)$/)
  assert.deepEqual(site.ports.calls, [])
})

test('guessing is slowed down by address, and forgiven with time', async () => {
  await using tokens = await makeTokenFile()
  await writeFile(tokens.file, TOKEN)
  await using site = await Site.start({ tokenFile: tokens.file })
  const statuses: number[] = []
  for (let guess = 0; guess < 21; guess++) {
    statuses.push((await site.change('/reload', {}, bearer(`guess-number-${guess}`))).status)
  }
  assert.deepEqual(statuses, [...Array<number>(20).fill(401), 429])
  const limited = await site.change('/reload', {}, bearer(TOKEN))
  assert.equal(limited.status, 429)
  assert.equal(limited.headers['retry-after'], '3')
  // What cannot be guessed with is not slowed down: nor does it fill the log.
  assert.equal((await site.change('/reload')).status, 401)
  assert.equal(site.audit.length, 21)
  site.clock.advance(3000)
  assert.equal((await site.change('/reload', {}, bearer(TOKEN))).status, 200)
})

test('a refused token is told how to come back, and is in no line of the log', async () => {
  await using tokens = await makeTokenFile()
  await writeFile(tokens.file, TOKEN)
  await using site = await Site.start({ tokenFile: tokens.file })
  const refused = await site.change(
    '/pins',
    { references: ['nginx'] },
    bearer('canary-canary-canary'),
  )
  assert.equal(refused.headers['www-authenticate'], 'Bearer realm="larder"')
  assert.deepEqual(jsonOf(refused), {
    error: { code: 'UNAUTHORIZED', message: 'the admin token is wrong' },
  })
  await site.change('/pins', { references: ['nginx'] }, bearer(TOKEN))
  const text = JSON.stringify(site.logs)
  assert.ok(!text.includes('canary') && !text.includes(TOKEN), text)
  const [first, second] = site.audit
  assert.deepEqual(
    [first?.['msg'], first?.['action'], first?.['peer'], first?.['code']],
    ['a change was refused', 'pin', '127.0.0.1', 'UNAUTHORIZED'],
  )
  assert.deepEqual([second?.['by'], second?.['peer']], ['token', '127.0.0.1'])
})

test('reading is free, but not to a page whose name was pointed at this machine', async () => {
  await using here = await Site.start()
  assert.equal((await here.get('/storage')).status, 200)
  assert.equal((await here.get('/storage', { Host: 'localhost' })).status, 200)
  const rebound = await here.get('/storage', { Host: 'evil.example', Authorization: 'Bearer x' })
  assert.equal(rebound.status, 403)
  // Whoever is on the network asks it by its address anyway.
  await using everywhere = await Site.start({ listenHost: '0.0.0.0' })
  assert.equal((await everywhere.get('/storage', { Host: 'larder.infra.svc' })).status, 200)
})

test('whoever asks is told whether a change would be taken, and what is needed otherwise', async () => {
  const right = async (site: Site, headers: ClientRequest['headers'] = {}) => {
    const answer = await site.get('/authority', headers)
    return answer.status === 200 ? AUTHORITY.parse(jsonOf(answer)) : answer.status
  }
  await using open = await Site.start()
  assert.deepEqual(await right(open), { right: 'loopback' })
  const forwarded = await right(open, { 'X-Forwarded-For': '10.0.0.1' })
  assert.match(JSON.stringify(forwarded), /"needs":"elsewhere".*a proxy sent this/)

  await using token = await makeTokenFile()
  await writeFile(token.file, TOKEN)
  await using guarded = await Site.start({ tokenFile: token.file, listenHost: '0.0.0.0' })
  assert.match(JSON.stringify(await right(guarded)), /"needs":"token"/)
  const bearer = (text: string) => ({ Authorization: `Bearer ${text}` })
  assert.deepEqual(await right(guarded, bearer(TOKEN)), { right: 'token' })
  assert.equal(await right(guarded, bearer('wrong-wrong-wrong-wrong')), 401)
  for (let i = 0; i < 30; i++) await right(guarded, bearer('wrong-wrong-wrong-wrong'))
  assert.equal(await right(guarded, bearer(TOKEN)), 429, 'it is no way to guess faster')
  await rm(token.file)
  await using lost = await Site.start({ tokenFile: token.file })
  assert.match(JSON.stringify(await right(lost, bearer(TOKEN))), /"needs":"elsewhere"/)

  await using remote = await Site.start({ listenHost: '0.0.0.0' })
  assert.match(JSON.stringify(await right(remote)), /"needs":"elsewhere".*not on loopback/)
})
