import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flipByte } from '../store/integrity-site.ts'
import { EXPIRED, IMPATIENT } from '../support/app.ts'
import { answer, corrupt, cut, headers } from '../support/faults.ts'
import { type ClientRequest, type ClientResponse, send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'
import { buildImage, seededBytes } from '../support/images.ts'
import { type Sample, sumOf } from '../support/samples.ts'
import type { RecordedRequest } from '../support/scripted-server.ts'

const MIB = 1024 * 1024
const upstream = 'docker.io'
const UNMOVED = ['hit', 'revalidated', 'stale', 'coalesced', 'negative']

type Results = Readonly<Record<string, number>>

interface Figures {
  /** Asked for by clients, and got. */
  readonly pulls: number
  readonly received: number
  /** Asked of the registry, and sent by it. */
  readonly asked: number
  readonly sent: number
  readonly samples: readonly Sample[]
}

/** Larder under a load that is counted on both of its sides. */
class Ledger implements AsyncDisposable {
  readonly hub: Awaited<ReturnType<typeof startHub>>
  #pulls = 0
  #received = 0
  #before: Figures | undefined

  private constructor(hub: Ledger['hub']) {
    this.hub = hub
  }

  static async open(): Promise<Ledger> {
    const passing = { tags: EXPIRED, limits: IMPATIENT, writes: 'passthrough' } as const
    const ledger = new Ledger(await startHub({ upstream: passing }))
    await ledger.#begin()
    return ledger
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]()
  }

  async pull(path: string, options: ClientRequest = {}): Promise<ClientResponse> {
    this.#pulls++
    const answered = await this.hub.app.get(`${APP}/${path}`, options)
    // What an error says was never content.
    if (answered.status < 400) this.#received += answered.body.length
    return answered
  }

  manage(path: string, body: object): Promise<ClientResponse> {
    return send(this.hub.app.adminUrl, `/api/v1${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  /** Begins an account that the next one is compared with. */
  async #begin(): Promise<void> {
    this.#before = await this.#figures()
  }

  /**
   * What has come about since the last account: exactly these results, and the same sums on all
   * sides.
   */
  async settle(what: string, results: Results, cuts: { readonly atMost?: number } = {}) {
    const before = this.#before
    assert.ok(before !== undefined)
    const now = await this.#figures()
    const since = (name: string, labels: Readonly<Record<string, string>> = {}) =>
      sumOf(now.samples, name, labels) - sumOf(before.samples, name, labels)
    const counted = new Map<string, number>()
    for (const { name, labels } of now.samples) {
      if (name !== 'larder_requests_total') continue
      const key = `${labels['type']} ${labels['result']}`
      const count = since(name, labels)
      if (count !== 0) counted.set(key, count)
    }
    assert.deepEqual(Object.fromEntries(counted), { ...results }, what)
    assert.equal(since('larder_requests_total'), now.pulls - before.pulls, `${what}: pulls`)
    const asked = now.asked - before.asked
    assert.equal(
      since('larder_upstream_requests_total'),
      asked,
      `${what}: requests to the registry`,
    )
    const served = since('larder_served_bytes_total')
    const fetched = since('larder_fetched_bytes_total')
    const received = now.received - before.received
    const sent = now.sent - before.sent
    if (cuts.atMost === undefined) {
      assert.equal(served, received, `${what}: bytes served`)
      assert.equal(fetched, sent, `${what}: bytes fetched`)
    } else {
      // What was on its way when a connection was cut is written, and never arrives.
      assert.ok(served >= received && served <= cuts.atMost, `${what}: ${served} of ${received}`)
      assert.ok(fetched <= sent && fetched <= cuts.atMost, `${what}: ${fetched} of ${sent}`)
    }
    this.#before = now
    return { since, served, fetched, received, sent }
  }

  async #figures(): Promise<Figures> {
    const { app, registry } = this.hub
    const sent = await registry.sentBytes({ method: 'GET', where: isContent })
    const asked = registry.count({ where: ({ method }) => method === 'GET' || method === 'HEAD' })
    // Of what is idle: a client has its answer a moment before it is counted.
    await app.metric('larder_requests_total')
    const samples = await app.samples()
    return { pulls: this.#pulls, received: this.#received, asked, sent, samples }
  }
}

function isContent({ path }: RecordedRequest): boolean {
  return /\/(?:manifests|blobs|tags|referrers)\//.test(path)
}

test('under a mixed load every pull has one result, and all bytes are counted once on each side', async () => {
  await using ledger = await Ledger.open()
  const { hub } = ledger
  const { registry, app, blob } = hub
  const big = seededBytes('big', 3 * MIB + 17)
  const large = registry.content.putBlob('library/app', big)

  await ledger.pull('manifests/v1')
  await ledger.pull(`manifests/${hub.image.manifest.digest}`)
  await ledger.pull(`blobs/${blob.digest}`, { method: 'HEAD' })
  await ledger.pull(`blobs/${blob.digest}`)
  await ledger.settle('cold', { 'manifest miss': 2, 'blob miss': 2 })
  await app.until('larder_store_blobs', 3)

  await ledger.pull(`manifests/${hub.image.manifest.digest}`)
  await ledger.pull(`manifests/${hub.image.manifest.digest}`, { method: 'HEAD' })
  await ledger.pull(`blobs/${blob.digest}`)
  await ledger.pull(`blobs/${blob.digest}`, { method: 'HEAD' })
  await ledger.pull(`blobs/${blob.digest}`, { headers: { 'If-None-Match': `"${blob.digest}"` } })
  await ledger.pull(`blobs/${blob.digest}`, { range: 'bytes=5-14' })
  await ledger.pull(`blobs/${blob.digest}`, { range: 'bytes=0-3,100-110' })
  await ledger.pull(`blobs/${blob.digest}`, { range: 'bytes=9999-' })
  await ledger.settle('warm', { 'manifest hit': 2, 'blob hit': 6 })

  await ledger.pull('manifests/v1')
  await ledger.pull('manifests/v1', { method: 'HEAD' })
  await ledger.settle('asked again', { 'manifest revalidated': 2 })

  registry.script({ method: 'HEAD' }, headers({ 'docker-content-digest': undefined }), { times: 1 })
  await ledger.pull('manifests/v1')
  const untold = await ledger.settle('a HEAD without a digest', { 'manifest revalidated': 1 })
  assert.equal(untold.fetched, hub.index.manifest.bytes.length)

  const moved = buildImage({ seed: 'moved' })
  registry.add('library/app', moved, 'v1')
  await ledger.pull('manifests/v1')
  await ledger.settle('a tag that has moved', { 'manifest miss': 1 })

  const held = registry.hold({ path: /blobs/ }, { times: 1 })
  const together = Array.from({ length: 5 }, () => ledger.pull(`blobs/${large}`))
  await app.until('larder_http_requests_in_flight', 5)
  held.release()
  for (const { body } of await Promise.all(together)) assert.ok(body.equals(big))
  const joined = await ledger.settle('one download for five', {
    'blob miss': 1,
    'blob coalesced': 4,
  })
  assert.equal(joined.served - joined.fetched, 4 * big.length, 'saved')
  assert.equal(await app.metric('larder_coalesced_waiters'), 0)

  const heldManifest = registry.hold({ method: 'GET', path: /manifests/ }, { times: 1 })
  const asking = Array.from({ length: 3 }, () => ledger.pull('manifests/docker'))
  await app.until('larder_http_requests_in_flight', 3)
  heldManifest.release()
  await Promise.all(asking)
  await ledger.settle('one question for three', { 'manifest miss': 1, 'manifest coalesced': 2 })

  await ledger.pull('tags/list')
  await ledger.pull('tags/list?n=1')
  await ledger.pull('tags/list', { method: 'HEAD' })
  await ledger.pull(`referrers/${blob.digest}`)
  await ledger.pull(`referrers/${blob.digest}`)
  await ledger.settle('lists', {
    'tags miss': 1,
    'tags hit': 2,
    'referrers miss': 1,
    'referrers hit': 1,
  })

  await ledger.pull('manifests/absent')
  await ledger.pull('manifests/absent')
  const absent = `blobs/sha256:${'0'.repeat(64)}`
  await ledger.pull(absent)
  await ledger.pull(absent)
  await ledger.settle('what is not there', {
    'manifest miss': 1,
    'manifest negative': 1,
    'blob miss': 1,
    'blob negative': 1,
  })

  registry.script({}, answer(403))
  await ledger.pull('manifests/private')
  await ledger.pull('manifests/private')
  registry.clearScripts()
  await ledger.settle('refusals', { 'manifest denied': 1, 'manifest negative': 1 })

  const { bytes: body } = buildImage({ seed: 'pushed' }).manifest
  const type = { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' }
  await ledger.pull('manifests/pushed', { method: 'PUT', headers: type, body })
  await ledger.settle('a push', { 'manifest bypass': 1 })

  registry.script({ method: 'GET' }, corrupt(1))
  assert.equal((await ledger.pull('manifests/sha512')).status, 502)
  const rotten = seededBytes('rotten', 2 * MIB)
  const other = registry.content.putBlob('library/app', rotten)
  const wrongOne = await ledger.pull(`blobs/${other}`)
  // A client that was sent nothing yet can be told.
  assert.ok(!wrongOne.complete || wrongOne.status === 502)
  registry.clearScripts()
  const wrong = await ledger.settle(
    'wrong bytes',
    { 'manifest error': 1, 'blob error': 1 },
    {
      atMost: 4 * MIB + 64 * 1024,
    },
  )
  assert.ok(wrong.fetched >= rotten.length)

  const broken = seededBytes('broken', 2 * MIB + 5)
  const resumed = registry.content.putBlob('library/app', broken)
  registry.script({ path: new RegExp(resumed) }, cut(MIB + 7), { times: 1 })
  assert.ok((await ledger.pull(`blobs/${resumed}`)).body.equals(broken))
  const whole = await ledger.settle(
    'a body that broke',
    { 'blob miss': 1 },
    {
      atMost: broken.length,
    },
  )
  assert.deepEqual([whole.served, whole.fetched], [broken.length, broken.length])
  assert.equal(whole.since('larder_upstream_resumes_total'), 1)
  assert.equal(whole.since('larder_upstream_errors_total'), 1)

  const twice = seededBytes('twice', 2 * MIB + 9)
  const begunAgain = registry.content.putBlob('library/app', twice)
  registry.script({ path: new RegExp(begunAgain) }, cut(MIB + 7), { times: 1 })
  registry.script({ path: new RegExp(begunAgain) }, answer(200, {}, twice), { times: 1 })
  assert.ok((await ledger.pull(`blobs/${begunAgain}`)).body.equals(twice))
  const repeated = await ledger.settle(
    'a registry that begins again',
    { 'blob miss': 1 },
    {
      atMost: 2 * twice.length,
    },
  )
  assert.equal(repeated.served, twice.length)
  assert.ok(repeated.fetched > twice.length, 'what came twice was fetched twice')

  await ledger.pull(`blobs/${large}`, { abortAfter: 64 * 1024 })
  await ledger.settle('a client that leaves', { 'blob hit': 1 }, { atMost: big.length })

  const late = registry.hold({ path: /manifests\/late/ })
  const leaving = new AbortController()
  const left = ledger.pull('manifests/late', { signal: leaving.signal })
  await registry.seen({ path: /manifests\/late/ })
  leaving.abort()
  await assert.rejects(left)
  await app.until('larder_http_requests_total', 1, { code: '499' })
  late.release()
  registry.clearScripts()
  await ledger.settle('a client that did not wait', { 'manifest error': 1 }, { atMost: MIB })

  const preloaded = buildImage({ seed: 'preloaded' })
  registry.add('library/app', preloaded, 'preloaded')
  const loading = await ledger.manage('/preload', { images: ['docker.io/library/app:preloaded'] })
  assert.equal(loading.status, 200, loading.body.toString())
  const preload = await ledger.settle('a preload', {})
  assert.equal(preload.since('larder_fetched_bytes_total', { reason: 'preload' }), preload.sent)
  assert.equal(preload.since('larder_preload_images_total', { result: 'done' }), 1)
  assert.equal(preload.since('larder_preload_bytes_total', { result: 'fetched' }), preload.sent)
  assert.equal(await app.metric('larder_preload_jobs', { state: 'running' }), 0)

  await flipByte(app.dataDir, large, 5)
  const repair = await ledger.manage('/verify', { repair: true })
  assert.equal(repair.status, 200, repair.body.toString())
  const repaired = await ledger.settle('a repair', {})
  assert.equal(repaired.since('larder_fetched_bytes_total', { reason: 'repair' }), big.length)
  assert.equal(repaired.sent, big.length)

  registry.script({}, answer(503))
  await ledger.pull('manifests/v1')
  await ledger.pull('manifests/unknown')
  registry.clearScripts()
  const outage = await ledger.settle('an outage', { 'manifest stale': 1, 'manifest error': 1 })
  assert.equal(outage.fetched, 0)

  assertWhole(await app.samples())
})

/** Of sums that are made of the same events. */
function assertWhole(samples: readonly Sample[]): void {
  const total = (name: string, labels?: Readonly<Record<string, string>>) =>
    sumOf(samples, name, labels)
  for (const type of ['manifest', 'blob', 'tags', 'referrers']) {
    const pulls = total('larder_requests_total', { type })
    assert.equal(total('larder_http_requests_total', { handler: type }), pulls, type)
    assert.equal(total('larder_http_request_duration_seconds_count', { handler: type }), pulls)
  }
  for (const type of ['manifest', 'blob']) {
    const of = (name: string) => total(`registry_proxy_${name}_total`, { type })
    const among = (results: readonly string[]) =>
      results.reduce((sum, result) => sum + total('larder_requests_total', { type, result }), 0)
    assert.equal(of('hits') + of('misses'), of('requests'), type)
    assert.equal(of('hits'), among(UNMOVED))
    assert.equal(of('misses'), among(['miss', 'error']))
    assert.equal(of('pushed_bytes'), total('larder_served_bytes_total', { type }))
    assert.equal(of('pulled_bytes'), total('larder_fetched_bytes_total', { type }))
  }
  const hosts = samples.filter(({ name }) => name.startsWith('registry_proxy_'))
  assert.ok(hosts.every(({ labels }) => labels['upstream_host'] === upstream))
}
