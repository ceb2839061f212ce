import assert from 'node:assert/strict'
import { test } from 'node:test'

import { type ClientResponse, open, send } from '../support/http-client.ts'
import { jsonOf, NOTHING_REMOVED, PIN, Site, STORAGE, UPSTREAM, VERIFIED } from './site.ts'

const DIGEST = `sha256:${'b'.repeat(64)}`

function assertError(answer: ClientResponse, status: number, code: string, message: RegExp): void {
  assert.equal(answer.status, status, answer.body.toString())
  const { error } = jsonOf(answer)
  assert.equal(error.code, code)
  assert.match(error.message, message)
}

function reference(repository: string, tag: string, upstream = 'docker.io') {
  return { kind: 'reference', upstream, repository, reference: { kind: 'tag', tag } }
}

test('a path that is not there is 404, and another method 405 with those there are', async () => {
  await using site = await Site.start()
  assertError(await site.get('/nothing'), 404, 'NOT_FOUND', /no such path/)
  for (const [path, method, allow] of [
    ['/pins', 'PUT', 'GET, HEAD, POST, DELETE'],
    ['/reload', 'GET', 'POST'],
    ['/storage', 'DELETE', 'GET, HEAD'],
    ['/verify', 'OPTIONS', 'POST'],
  ] as const) {
    const answer = await site.change(path, {}, {}, method)
    assertError(answer, 405, 'METHOD_NOT_ALLOWED', /./)
    assert.equal(answer.headers.allow, allow, path)
  }
  assert.equal((await send(site.url, '/metrics')).status, 200)
  assert.equal((await send(site.url, '/livez')).status, 200)
})

test('a body of more than 64 KiB, or that is no JSON, changes nothing', async () => {
  await using site = await Site.start()
  const fits = { references: ['nginx'], pattern: 'x'.repeat(64 * 1024 - 45) }
  assert.ok(JSON.stringify(fits).length <= 64 * 1024)
  assertError(await site.change('/pins', fits), 400, 'INVALID', /exactly one of/)
  const large = { references: ['x'.repeat(64 * 1024)] }
  assertError(await site.change('/pins', large), 413, 'TOO_LARGE', /larger than 65536 bytes/)
  const headers = { 'Content-Type': 'application/json' }
  const broken = { method: 'POST', headers, body: '{"references":' }
  assertError(await send(site.url, '/api/v1/pins', broken), 400, 'INVALID', /not JSON/)
  const packed = { ...broken, headers: { ...headers, 'Content-Encoding': 'gzip' } }
  const answer = await send(site.url, '/api/v1/pins', packed)
  assertError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE', /not compressed/)
  assert.deepEqual(site.ports.calls, [])
})

test('every answer is JSON that nobody keeps, and helmet guards it', async () => {
  await using site = await Site.start()
  for (const answer of [await site.get('/pins'), await site.get('/nothing')]) {
    assert.match(String(answer.headers['content-type']), /^application\/json/)
    assert.equal(answer.headers['cache-control'], 'no-store')
    assert.equal(answer.headers['cross-origin-resource-policy'], 'same-origin')
    assert.equal(answer.headers['access-control-allow-origin'], undefined)
  }
})

test('what fails inside is 500 without a word of it, and its stack is in the log', async () => {
  await using site = await Site.start()
  site.ports.pins.list = async () => {
    throw new Error('canary')
  }
  const answer = await site.get('/pins')
  assertError(answer, 500, 'INTERNAL', /its log/)
  assert.ok(!answer.body.includes('canary'))
  assert.ok(site.logs.some(({ level, stack }) => level === 'error' && /canary/.test(String(stack))))
})

test('POST /reload says what was taken over, or every problem with its place', async () => {
  await using site = await Site.start()
  const warning = { file: 'larder.yaml', line: 3, column: 7, path: 'server', message: 'noteworthy' }
  site.ports.reloaded = { ok: true, warnings: [warning] }
  assert.deepEqual(jsonOf(await site.change('/reload')), { ok: true, warnings: [warning] })
  const problems = [
    { file: 'larder.yaml', line: 1, column: 1, path: 'offlin', message: 'unknown key' },
  ]
  site.ports.reloaded = { ok: false, message: 'wrong', problems, error: new Error('wrong') }
  const refused = await site.change('/reload')
  assertError(refused, 422, 'INVALID_CONFIGURATION', /the configuration of before stays in use/)
  assert.deepEqual(jsonOf(refused).error.problems, problems)
  assertError(await site.change('/reload', { force: true }), 400, 'INVALID', /force/)
  assert.deepEqual(site.ports.calls, [['reload'], ['reload']])
})

test('pins are listed, made by reference or pattern, and taken away', async () => {
  await using site = await Site.start()
  assert.deepEqual(jsonOf(await site.get('/pins')), { pins: [JSON.parse(JSON.stringify(PIN))] })

  site.ports.absent = ['ghcr.io/acme/app v1']
  const references = ['nginx', 'ghcr.io/acme/app:v1', `index.docker.io/acme/app:v1@${DIGEST}`]
  const made = await site.change('/pins', { references, expires: '30d' })
  assert.equal(made.status, 200)
  assert.equal(jsonOf(made).pins.length, 2)
  assert.deepEqual(jsonOf(made).unknown, ['ghcr.io/acme/app:v1'])
  const options = { follows: false, expiresInMs: 30 * 86_400_000 }
  const byDigest = {
    kind: 'reference',
    upstream: 'docker.io',
    repository: 'acme/app',
    reference: { kind: 'digest', digest: DIGEST },
  }
  assert.deepEqual(site.ports.calls.splice(0), [
    ['pin', { target: reference('library/nginx', 'latest'), ...options }],
    ['pin', { target: reference('acme/app', 'v1', 'ghcr.io'), ...options }],
    ['pin', { target: byDigest, ...options }],
  ])

  await site.change('/pins', { references: ['nginx'], follow: true })
  await site.change('/pins', { pattern: 'docker.io/library/*:1.*' })
  const pattern = { kind: 'pattern', pattern: 'docker.io/library/*:1.*' }
  assert.deepEqual(site.ports.calls.splice(0), [
    [
      'pin',
      { target: reference('library/nginx', 'latest'), follows: true, expiresInMs: undefined },
    ],
    ['pin', { target: pattern, follows: false, expiresInMs: undefined }],
  ])

  const query = '?reference=nginx:1&reference=ghcr.io/acme/app:v1'
  const taken = await site.change(`/pins${query}`, undefined, {}, 'DELETE')
  assert.deepEqual(jsonOf(taken), { unpinned: 1, unknown: ['ghcr.io/acme/app:v1'] })
  const glob = encodeURIComponent(pattern.pattern)
  await site.change(`/pins?pattern=${glob}`, undefined, {}, 'DELETE')
  assert.deepEqual(site.ports.calls.splice(0), [
    ['unpin', reference('library/nginx', '1')],
    ['unpin', reference('acme/app', 'v1', 'ghcr.io')],
    ['unpin', pattern],
  ])
})

test('a pin that cannot be meant is refused before any is made', async () => {
  await using site = await Site.start()
  for (const [body, status, code, message] of [
    [{}, 400, 'INVALID', /expected exactly one of references, pattern/],
    [{ references: [] }, 400, 'INVALID', /references/],
    [{ references: ['nginx'], pattern: 'a/b' }, 400, 'INVALID', /exactly one/],
    [
      { references: ['nginx', 'Not/An:Image:x'] },
      400,
      'INVALID',
      /Not\/An:Image:x is not an image/,
    ],
    [
      { references: ['nginx', 'quay.io/a/b'] },
      404,
      'NOT_FOUND',
      /no upstream is quay\.io; there are: docker\.io, ghcr\.io/,
    ],
    [{ references: ['nginx'], expires: '30' }, 400, 'INVALID', /expires: expected a duration/],
    [{ references: ['nginx'], forever: true }, 400, 'INVALID', /forever/],
    [{ pattern: 'nginx' }, 400, 'INVALID', /nginx is not a pattern/],
    [{ pattern: 'docker.io/**', follow: true }, 400, 'INVALID', /only a tag can be followed/],
    [
      { references: [`nginx@${DIGEST}`], follow: true },
      400,
      'INVALID',
      /only a tag can be followed/,
    ],
    [[], 400, 'INVALID', /./],
  ] as const) {
    assertError(await site.change('/pins', body), status, code, message)
  }
  const none = await site.change('/pins', undefined, {}, 'DELETE')
  assertError(none, 400, 'INVALID', /exactly one of reference, pattern/)
  assert.deepEqual(site.ports.calls, [])
})

test('POST /purge takes exactly one way to say what goes', async () => {
  await using site = await Site.start()
  const items = [{ name: 'docker.io/library/nginx:latest', size: 7 }]
  site.ports.removal.purge = async (selection, options) => {
    site.ports.calls.push(['purge', selection, options])
    const isHere = selection.kind !== 'reference' || selection.repository === 'library/nginx'
    return isHere ? { ...NOTHING_REMOVED, tags: 1, bytes: 7, items } : NOTHING_REMOVED
  }
  const references = ['nginx', 'nginx', 'a/b:c']
  const answer = await site.change('/purge', { references, dryRun: true })
  assert.deepEqual(jsonOf(answer), {
    ...NOTHING_REMOVED,
    tags: 2,
    bytes: 14,
    items: [...items, ...items],
    unknown: ['docker.io/a/b:c'],
  })
  const dry = { dryRun: true, force: false }
  const nginx = reference('library/nginx', 'latest')
  assert.deepEqual(site.ports.calls.splice(0), [
    ['purge', nginx, dry],
    ['purge', nginx, dry],
    ['purge', reference('a/b', 'c'), dry],
  ])
  await site.change('/purge', { pattern: 'ghcr.io/acme/*:pr-*', force: true })
  await site.change('/purge', { upstream: 'ghcr.io' })
  await site.change('/purge', { unusedFor: '12h' })
  await site.change('/purge', { downTo: '50GiB' })
  const plain = { dryRun: false, force: false }
  assert.deepEqual(site.ports.calls.splice(0), [
    ['purge', { kind: 'pattern', pattern: 'ghcr.io/acme/*:pr-*' }, { dryRun: false, force: true }],
    ['purge', { kind: 'upstream', upstream: 'ghcr.io' }, plain],
    ['purge', { kind: 'unused', forMs: 43_200_000 }, plain],
    ['purge', { kind: 'size', bytes: 50 * 2 ** 30 }, plain],
  ])
  for (const [body, message] of [
    [{}, /exactly one of references, pattern, upstream, unusedFor, downTo/],
    [{ upstream: 'ghcr.io', downTo: '1GiB' }, /exactly one/],
    [{ downTo: '50' }, /downTo: expected a size/],
    [{ unusedFor: 'never' }, /unusedFor: expected a duration/],
    [{ upstream: 'ghcr.io', dryRun: 'yes' }, /dryRun/],
  ] as const) {
    assertError(await site.change('/purge', body), 400, 'INVALID', message)
  }
  assertError(await site.change('/purge', { upstream: 'quay.io' }), 404, 'NOT_FOUND', /quay\.io/)
  assert.deepEqual(site.ports.calls, [])
})

test('POST /gc and GET /storage', async () => {
  await using site = await Site.start()
  site.ports.removed = { ...NOTHING_REMOVED, blobs: 2, bytes: 9 }
  assert.equal(jsonOf(await site.change('/gc')).bytes, 9)
  await site.change('/gc', { dryRun: true, olderThan: '1h' })
  assertError(await site.change('/gc', { olderThan: 1 }), 400, 'INVALID', /olderThan/)
  assert.deepEqual(site.ports.calls, [
    ['gc', { dryRun: false, olderThanMs: undefined }],
    ['gc', { dryRun: true, olderThanMs: 3_600_000 }],
  ])
  assert.deepEqual(jsonOf(await site.get('/storage')), STORAGE)
  const head = await send(site.url, '/api/v1/storage', { method: 'HEAD' })
  assert.deepEqual([head.status, head.body.length], [200, 0])
})

test('GET /upstreams', async () => {
  await using site = await Site.start()
  const sent = JSON.parse(JSON.stringify({ upstreams: [UPSTREAM] }))
  assert.deepEqual(jsonOf(await site.get('/upstreams')), sent)
})

test('each change is one line: who, what, and what came of it', async () => {
  await using site = await Site.start()
  await site.change('/purge', { upstream: 'ghcr.io', dryRun: true })
  site.ports.removal.purge = async () => {
    throw new Error('the disk said no')
  }
  await site.change('/purge', { upstream: 'ghcr.io' })
  const [done, failed, ...more] = site.audit
  assert.deepEqual(more, [])
  const selection = { kind: 'upstream', upstream: 'ghcr.io' }
  const { items: _items, ...counts } = NOTHING_REMOVED
  const common = { action: 'purge', peer: '127.0.0.1', by: 'loopback' }
  const { time: _time, ...line } = done ?? {}
  assert.deepEqual(line, {
    level: 'info',
    msg: 'changed by an operator',
    ...common,
    parameters: { selection, dryRun: true, force: false },
    result: { ...counts, unknown: [] },
  })
  const { time: _failedAt, ...failedLine } = failed ?? {}
  assert.deepEqual(failedLine, {
    level: 'warn',
    msg: 'an operator’s change failed',
    ...common,
    parameters: { selection, dryRun: false, force: false },
    code: 'INTERNAL',
    reason: 'the disk said no',
  })
})

function linesOf({ body }: ClientResponse): readonly Record<string, unknown>[] {
  const text = body.toString()
  assert.ok(text.endsWith('\n'))
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('POST /verify streams what it finds, a line each, and the result at last', async () => {
  await using site = await Site.start()
  const { clock } = site
  site.ports.verifying = async (_options, onEvent) => {
    onEvent({ kind: 'progress', checked: 1, total: 3, bytes: 10 })
    // So soon after the one before, it is not shown.
    onEvent({ kind: 'progress', checked: 2, total: 3, bytes: 20 })
    onEvent({ kind: 'fault', digest: DIGEST, fault: 'damaged' })
    clock.advance(250)
    onEvent({ kind: 'progress', checked: 3, total: 3, bytes: 30 })
    return { ...VERIFIED, ok: 2, damaged: 1 }
  }
  const answer = await site.change('/verify', { repair: true })
  assert.equal(answer.headers['content-type'], 'application/x-ndjson')
  assert.deepEqual(linesOf(answer), [
    { event: 'started', repair: true },
    { event: 'progress', checked: 1, total: 3, bytes: 10 },
    { event: 'fault', digest: DIGEST, fault: 'damaged' },
    { event: 'progress', checked: 3, total: 3, bytes: 30 },
    { event: 'done', ...VERIFIED, ok: 2, damaged: 1 },
  ])
  assert.deepEqual(site.ports.calls, [['verify', { repair: true }]])
})

test('a verification that fails says so at the end of its stream', async () => {
  await using site = await Site.start()
  site.ports.verifying = async () => {
    throw new Error('canary')
  }
  const answer = await site.change('/verify')
  assert.equal(answer.status, 200)
  const last = linesOf(answer).at(-1)
  assert.equal(last?.['event'], 'failed')
  assert.ok(!answer.body.includes('canary'))
  assert.ok(site.audit.some(({ action, reason }) => action === 'verify' && reason === 'canary'))
})

test('a verification ends with the client that wanted it, and only one runs at a time', async () => {
  await using site = await Site.start()
  const aborted = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  site.ports.verifying = async ({ signal }) => {
    signal.addEventListener('abort', () => aborted.resolve())
    await ended.promise
    return { ...VERIFIED, checked: 1 }
  }
  const headers = { 'Content-Type': 'application/json' }
  const streaming = await open(site.url, '/api/v1/verify', { method: 'POST', headers, body: '{}' })
  const second = await site.change('/verify')
  assertError(second, 409, 'CONFLICT', /under way/)
  streaming.destroy()
  await aborted.promise
  // It has not ended yet: the disk is still being read.
  assert.equal((await site.change('/verify')).status, 409)
  ended.resolve()
  site.ports.verifying = async () => VERIFIED
  assert.equal((await site.change('/verify')).status, 200)
  const results = site.audit.filter(({ msg }) => msg === 'changed by an operator')
  assert.deepEqual(
    results.map(({ result }) => (result as { complete: boolean }).complete),
    [false, true],
  )
})
