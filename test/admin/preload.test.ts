import assert from 'node:assert/strict'
import { test } from 'node:test'

import { AdminError } from '../../src/admin/errors.ts'
import { jsonOf, NOTHING_PRELOADED, Site } from './site.ts'

function linesOf(body: Buffer) {
  return body
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

const DONE = {
  event: 'done',
  images: { done: 0, unchanged: 0, failed: 0 },
  bytes: { fetched: 0, here: 0 },
  failed: [],
  seconds: 0,
}

test('a preload is asked for with defaults, and answered in lines', async () => {
  await using site = await Site.start()
  const { status, body, headers } = await site.change('/preload', { images: ['nginx'] })
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), /^application\/x-ndjson/)
  assert.deepEqual(linesOf(body), [{ event: 'started', images: 1, dryRun: false }, DONE])
  assert.deepEqual(site.ports.calls, [
    [
      'preload',
      {
        images: ['nginx'],
        platforms: undefined,
        referrers: false,
        pin: undefined,
        parallel: 8,
        dryRun: false,
        patienceMs: 900_000,
      },
    ],
  ])
})

test('all that can be said of it is handed on', async () => {
  await using site = await Site.start()
  await site.change('/preload', {
    images: ['nginx', 'alpine'],
    platforms: ['linux/amd64', 'linux/arm/v7'],
    referrers: true,
    pin: true,
    name: 'release',
    parallel: 64,
    dryRun: true,
  })
  assert.deepEqual(site.ports.calls[0]?.[1], {
    images: ['nginx', 'alpine'],
    platforms: [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
    ],
    referrers: true,
    pin: { owner: 'release', follows: false },
    parallel: 64,
    dryRun: true,
    patienceMs: 900_000,
  })
  // How many they are, and not which: the line would have no end.
  assert.deepEqual(site.audit[0]?.['parameters'], {
    images: 2,
    pin: true,
    referrers: true,
    parallel: 64,
    dryRun: true,
  })
})

test('what failed and how it goes on are events', async () => {
  await using site = await Site.start()
  const failure = { code: 'DENIED', message: 'no' } as const
  site.ports.preloading.run = async (_request, onEvent) => {
    onEvent({ kind: 'image', image: 'a', state: 'failed', failure })
    return { ...NOTHING_PRELOADED, failed: 1, fetchedBytes: 5 }
  }
  const { body } = await site.change('/preload', { images: ['a'] })
  const [, image, done] = linesOf(body)
  assert.deepEqual(image, { event: 'image', image: 'a', state: 'failed', error: failure })
  assert.deepEqual(done.failed, [{ image: 'a', ...failure }])
  assert.deepEqual(site.audit[0]?.['result'], {
    done: 0,
    unchanged: 0,
    failed: 1,
    fetchedBytes: 5,
    seconds: 0,
    complete: true,
  })
})

for (const [what, body, message] of [
  ['neither images nor a job', {}, /exactly one of images, job/],
  ['both', { images: ['a'], job: 'nightly' }, /exactly one of images, job/],
  ['no images', { images: [] }, /images: /],
  ['no platform', { images: ['a'], platforms: ['amd64'] }, /platforms\.0: expected a platform/],
  ['too many at a time', { images: ['a'], parallel: 65 }, /parallel: /],
  ['an owner that is a pattern’s', { images: ['a'], name: 'pattern:x' }, /name: expected 1 to 128/],
  ['a job with pins of its own', { job: 'nightly', pin: true }, /a job says itself/],
  ['an unknown key', { images: ['a'], image: 'b' }, /image/],
] as const) {
  test(`refused: ${what}`, async () => {
    await using site = await Site.start()
    const response = await site.change('/preload', body)
    assert.equal(response.status, 400)
    assert.match(jsonOf(response).error.message, message)
    assert.deepEqual(site.ports.calls, [])
  })
}

test('a job that is not configured is not found, and the message names those that are', async () => {
  await using site = await Site.start()
  const response = await site.change('/preload', { job: 'other' })
  assert.equal(response.status, 404)
  assert.match(jsonOf(response).error.message, /no preload job other; it has: nightly/)
  assert.equal((await site.change('/preload', { job: 'nightly' })).status, 200)
  assert.equal(site.ports.calls[0]?.[1], 'nightly')
})

test('what an operator can mend in a job is said in the last line', async () => {
  await using site = await Site.start()
  site.ports.preloading.runJob = async () => {
    throw new AdminError('INVALID', { message: 'the sources name no image' })
  }
  const { body } = await site.change('/preload', { job: 'nightly' })
  assert.deepEqual(linesOf(body).at(-1), {
    event: 'failed',
    error: { code: 'INVALID', message: 'the sources name no image' },
  })
})

test('lists of images may be long, up to 4 MiB', async () => {
  await using site = await Site.start()
  const images = (count: number) => Array.from({ length: count }, (_, i) => `reg.test/a/b:${i}`)
  for (const path of ['/preload', '/check']) {
    assert.equal((await site.change(path, { images: images(20_000) })).status, 200)
    assert.equal((await site.change(path, { images: images(300_000) })).status, 413)
  }
  assert.equal((await site.change('/purge', { reference: 'x'.repeat(70_000) })).status, 413)
})

test('a check is asked for with defaults, and answered in lines', async () => {
  await using site = await Site.start()
  const { body } = await site.change('/check', { images: ['nginx'], platforms: ['linux/arm64'] })
  assert.deepEqual(
    linesOf(body).map(({ event }) => event),
    ['started', 'done'],
  )
  const platforms = [{ os: 'linux', architecture: 'arm64' }]
  assert.deepEqual(site.ports.calls, [
    ['check', { images: ['nginx'], platforms, referrers: false, hash: false }],
  ])
})

test('two preloads may go on at the same time', async () => {
  await using site = await Site.start()
  const both = Promise.withResolvers<void>()
  let running = 0
  site.ports.preloading.run = async () => {
    if (++running === 2) both.resolve()
    await both.promise
    return NOTHING_PRELOADED
  }
  const answers = await Promise.all([1, 2].map(() => site.change('/preload', { images: ['a'] })))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200],
  )
})
