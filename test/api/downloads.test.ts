import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import { IMPATIENT } from '../support/app.ts'
import { Barrier } from '../support/barrier.ts'
import type { FaultRegistryOptions } from '../support/fault-registry.ts'
import {
  answer,
  chunked,
  closeDelimited,
  corrupt,
  cut,
  type Fault,
  gzipped,
  hangUp,
  headers,
  lieAboutLength,
  redirect,
  redirectLoop,
  resize,
  stall,
} from '../support/faults.ts'
import { open, readResponse } from '../support/http-client.ts'
import { APP, codeOf, type Hub, type HubOptions, startHub } from '../support/hub.ts'
import { seededBytes } from '../support/images.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import { SkippingClock } from '../support/skipping-clock.ts'

const MIB = 1024 * 1024
const SIZE = 2 * MIB + 12_345
const BYTES = seededBytes('download', SIZE)

for (const by of ['fin', 'rst'] as const) {
  test(`39 a body that ends half-way (${by}) is resumed, and its client notices nothing`, async () => {
    await using hub = await startFor()
    hub.registry.script({ path: /blobs/ }, cut(SIZE / 2, by), { times: 1 })
    const got = await hub.app.get(hub.path)
    assert.equal(got.status, 200)
    assert.ok(got.body.equals(BYTES))
    const ranges = hub.registry.find({ path: /blobs/ }).map((request) => request.headers.range)
    assert.equal(ranges[0], undefined)
    assert.match(ranges[1] ?? '', /^bytes=\d+-$/)
    assert.equal(ranges.length, 2)
    assert.equal(await hub.app.metric('larder_upstream_resumes_total'), 1)
  })
}

test('39 a registry that ignores ranges is downloaded again from the start, to the same end', async () => {
  await using hub = await startFor({ ranges: false })
  hub.registry.script({ path: /blobs/ }, cut(MIB + 7, 'rst'), { times: 1 })
  const got = await hub.app.get(hub.path)
  assert.ok(got.body.equals(BYTES))
  assert.equal(hub.registry.countBlobs(), 2)
})

test('40 a registry that is gone half-way is a cut, and then an error before the first byte', async () => {
  const clock = new SkippingClock()
  await using hub = await startFor({}, { clock })
  hub.registry.script({ path: /blobs/ }, cut(MIB + 99, 'fin'), { times: 1 })
  hub.registry.script({ path: /blobs/ }, hangUp())
  const first = await hub.app.get(hub.path)
  assert.equal(first.status, 200)
  assert.equal(first.complete, false)
  assert.ok(BYTES.subarray(0, first.body.length).equals(first.body), 'what came is right')
  assert.ok(first.body.length < SIZE)
  assert.deepEqual(await stored(hub), [])
  const second = await hub.app.get(hub.path)
  assert.ok(second.status === 502 || second.status === 504, String(second.status))
  assert.ok(codeOf(second))
  hub.registry.clearScripts()
  clock.skip(10_000)
  const third = await hub.app.get(hub.path)
  assert.ok(third.body.equals(BYTES), 'and when it is back, everything is there')
})

const LIES: readonly (readonly [string, Fault | readonly Fault[]])[] = [
  ['a wrong first byte', corrupt(0)],
  ['a wrong byte in the middle', corrupt(MIB)],
  ['a wrong last byte', corrupt(-1)],
  ['too short a body, and says so', resize(-10)],
  ['too long a body, and says so', resize(10)],
  ['a body that is longer than it says', lieAboutLength(-10)],
  ['a body that is shorter than it says', lieAboutLength(10)],
  ['a wrong body without a length', [corrupt(-1), chunked()]],
  ['too short a body without a length', [resize(-10), chunked()]],
  ['too short a body that ends with the connection', [resize(-10), closeDelimited()]],
  ['too long a body without a length', [resize(10), chunked()]],
  ['an empty body', answer(200, {}, '')],
  ['an error page', answer(200, { 'content-type': 'text/html' }, '<html>')],
]

for (const [what, fault] of LIES) {
  test(`41 a registry that sends ${what} completes no client and leaves nothing`, async () => {
    await using hub = await startFor()
    hub.registry.script({ path: /blobs/ }, fault)
    const clients = await Promise.all([
      hub.app.get(hub.path),
      hub.app.get(hub.path, { range: 'bytes=5-' }),
      hub.app.get(hub.path, { range: 'bytes=-1' }),
    ])
    for (const got of clients) {
      const isServed = got.status === 200 || got.status === 206
      assert.ok(!isServed || !got.complete, `${got.status} complete`)
      if (!isServed) assert.equal(got.status, 502)
    }
    assert.deepEqual(await stored(hub), [])
    hub.registry.clearScripts()
    const healed = await hub.app.get(hub.path)
    assert.equal(healed.status, 200, healed.body.toString('latin1', 0, 300))
    assert.ok(healed.body.equals(BYTES))
  })
}

test('41 wrong bytes are counted and logged', async () => {
  await using hub = await startFor()
  hub.registry.script({ path: /blobs/ }, corrupt(-1))
  await hub.app.get(hub.path)
  // The client is told before the operators are.
  const mismatches = { reason: 'digest_mismatch' }
  await hub.app.until('larder_upstream_errors_total', 1, mismatches)
  // Nor is the count the last of it: where nobody had read, the blob is asked for once more.
  await hub.app.said(({ level, digest }) => level === 'warn' && digest === hub.digest)
})

test('42 identity is asked for, and an encoded body is 502', async () => {
  await using hub = await startFor()
  hub.registry.script({ path: /blobs|manifests/ }, gzipped())
  const blob = await hub.app.get(hub.path, { headers: { 'Accept-Encoding': 'gzip' } })
  assert.equal(blob.status, 502)
  assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 502)
  for (const request of hub.registry.requests) {
    assert.equal(request.headers['accept-encoding'], 'identity')
  }
  assert.deepEqual(await stored(hub), [])
})

test('43 a redirect to another host takes no credential along and is never shown', async () => {
  const users = { larder: 'secret' }
  await using hub = await startFor({ redirectBlobs: true, auth: { kind: 'basic', users } })
  await hub.app.restart({ upstreams: [{ ...shared(hub), credentials: [larders('secret')] }] })
  for (const ask of [hub.app.head, hub.app.get, hub.app.get]) {
    const got = await ask(hub.path)
    assert.equal(got.status, 200)
    assert.equal(got.headers.location, undefined)
    assert.doesNotMatch(got.rawHeaders.join('\n'), new RegExp(`${hub.registry.cdn.port}|secret`))
  }
  assert.ok(hub.registry.count({ where: ({ headers }) => headers.authorization !== undefined }) > 0)
  assert.ok(hub.registry.cdn.count() > 0)
  for (const request of hub.registry.cdn.requests) {
    assert.equal(request.headers.authorization, undefined)
    assert.equal(request.headers.cookie, undefined)
  }
})

test('43 redirects without end, to nowhere or off the allowed schemes are 502', async () => {
  const faults = [
    redirectLoop(),
    redirect(''),
    redirect('http://'),
    redirect('file:///etc/passwd'),
    redirect('ftp://127.0.0.1/'),
    redirect('http://user:password@127.0.0.1:1/'),
    answer(307),
  ]
  for (const fault of faults) {
    await using hub = await startFor()
    hub.registry.script({ path: /blobs|manifests/ }, fault)
    assert.equal((await hub.app.get(hub.path)).status, 502)
    assert.equal((await hub.app.get(`${APP}/manifests/v1`)).status, 502)
    assert.ok(hub.registry.count() <= 24, `${hub.registry.count()} requests`)
  }
})

test('44 a signed URL that has run out when a download is resumed is asked for again', async () => {
  await using hub = await startFor({ redirectBlobs: true })
  const { cdn } = hub.registry
  cdn.script({ method: 'GET' }, cut(MIB + 1), { times: 1 })
  cdn.script({ method: 'GET' }, answer(403, {}, 'Request has expired'), { times: 1 })
  const got = await hub.app.get(hub.path)
  assert.equal(got.status, 200)
  assert.ok(got.body.equals(BYTES))
  assert.equal(hub.registry.countBlobs(), 3, 'every time by way of the registry')
})

test('85 a manifest that is elsewhere under another path is verified, without a credential', async () => {
  await using elsewhere = await new ScriptedServer().start()
  const users = { larder: 'secret' }
  await using hub = await startHub({
    registry: { auth: { kind: 'basic', users } },
    upstream: { access: 'shared', credentials: [larders('secret')] },
  })
  const { manifest } = hub.index
  const content = { 'content-type': manifest.mediaType, 'docker-content-digest': manifest.digest }
  elsewhere.script({}, answer(200, content, manifest.bytes))
  hub.registry.script({ path: /manifests/ }, [
    headers({}),
    redirect(`${elsewhere.origin}/v2/other/images/app/manifests/v1`),
  ])
  const got = await hub.app.get(`${APP}/manifests/v1?ns=docker.io`)
  assert.equal(got.status, 200)
  assert.deepEqual(got.body, manifest.bytes)
  assert.equal(elsewhere.requests[0]?.path, '/v2/other/images/app/manifests/v1')
  for (const request of elsewhere.requests) {
    assert.equal(request.headers.authorization, undefined)
  }
  elsewhere.clearScripts()
  elsewhere.script({}, [answer(200, content, manifest.bytes), corrupt(5)])
  const { digest } = hub.image.manifest
  assert.equal((await hub.app.get(`${APP}/manifests/${digest}`)).status, 502)
})

test('88 a restart in the middle of a download serves nothing as complete, and goes on from there', async () => {
  await using hub = await startFor()
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(SIZE - 1000, barrier), { times: 1 })
  const answered = await open(hub.app.url, hub.path)
  const reading = readResponse(answered)
  await barrier.arrived()
  await hub.app.until('larder_fetched_bytes_total', 1)
  await hub.app.restart()
  const first = await reading
  assert.equal(first.complete, false)
  assert.deepEqual(await stored(hub), [])
  hub.registry.forget()
  const whole = await hub.app.get(hub.path)
  assert.equal(whole.status, 200)
  assert.ok(whole.body.equals(BYTES))
  const [resumed] = hub.registry.find({ path: /blobs/ })
  assert.match(resumed?.headers.range ?? '', /^bytes=\d+-$/)
  barrier.release()
})

test('88 a part whose bytes were changed meanwhile is found out and downloaded again', async () => {
  await using hub = await startFor()
  const barrier = new Barrier()
  hub.registry.script({ path: /blobs/ }, stall(SIZE - 1000, barrier), { times: 1 })
  const reading = readResponse(await open(hub.app.url, hub.path))
  await barrier.arrived()
  const { writeFile, readFile } = await import('node:fs/promises')
  const ingest = join(hub.app.dataDir, 'ingest')
  // The restart closes the part; what a failing disk does to it happens before it is opened again.
  await hub.app.restart({ offline: true })
  await reading
  const [part] = await readdir(ingest)
  assert.ok(part)
  const damaged = await readFile(join(ingest, part))
  damaged.writeUInt8((damaged[100] ?? 0) ^ 1, 100)
  await writeFile(join(ingest, part), damaged)
  await hub.app.restart({ offline: false })
  const got = await hub.app.get(hub.path)
  assert.ok(got.status !== 200 || !got.complete || got.body.equals(BYTES), 'a wrong body')
  const again = await hub.app.get(hub.path)
  assert.ok(again.body.equals(BYTES))
  barrier.release()
})

interface DownloadHub extends Hub {
  readonly digest: Digest
  readonly path: string
}

async function startFor(
  registry: FaultRegistryOptions = {},
  app: HubOptions['app'] = {},
): Promise<DownloadHub> {
  const hub = await startHub({ registry, upstream: { limits: IMPATIENT }, app })
  const digest = hub.registry.content.putBlob('library/app', BYTES)
  return { ...hub, digest, path: `${APP}/blobs/${digest}` }
}

function shared({ registry }: Hub) {
  return { name: 'docker.io', url: registry.origin, default: true, access: 'shared' } as const
}

function larders(password: string) {
  return {
    kind: 'password',
    path: '',
    username: 'larder',
    password,
    passwordFile: undefined,
  } as const
}

/** Blobs under their final names. */
async function stored({ app }: Hub): Promise<readonly string[]> {
  const all = await readdir(join(app.dataDir, 'blobs'), { recursive: true })
  return all.filter((name) => /[0-9a-f]{64}$/.test(name))
}
