/** What was asked for just now, and by whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ACTIVITY, CLIENTS } from '../../src/admin/answers/activity.ts'
import { Clients } from '../../src/api/clients.ts'
import { RecentRequests } from '../../src/api/recent-requests.ts'
import type { RequestRecord } from '../../src/api/request-record.ts'
import { runtimeOf } from '../../src/api/runtimes.ts'
import { parseRepository } from '../../src/oci/reference.ts'
import { PreloadSite } from '../airgap/site.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { jsonOf } from './site.ts'

async function activity({ app }: PreloadSite, query = '') {
  await app.metric('larder_requests_total')
  return ACTIVITY.parse(jsonOf(await send(app.adminUrl, `/api/v1/activity${query}`)))
}

test('what was pulled is shown with how that came about, the newest first, as the log has it', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ layers: [5_000] })
  site.registry.add('team/app', image, 'v1')
  const manifest = '/v2/team/app/manifests/v1?ns=reg.test'
  const headers = { 'User-Agent': 'containerd/2.1.0', Authorization: 'Basic Y2FuYXJ5OmNhbmFyeQ==' }
  await site.app.get(manifest, { headers })
  await site.app.get(manifest, { headers })
  await site.app.get('/v2/team/none/manifests/v1?ns=reg.test', { headers })
  await site.app.get('/v2/team/app/manifests/v1?ns=elsewhere.test', { headers })
  await site.app.logged(4)

  const { requests, last } = await activity(site)
  assert.equal(last, 4)
  assert.deepEqual(
    requests.map(({ seq, upstream, repository, reference, status, result }) => [
      seq,
      upstream && `${upstream}/${repository}:${reference}`,
      status,
      result,
    ]),
    [
      [4, undefined, 404, 'miss'],
      [3, 'reg.test/team/none:v1', 404, 'miss'],
      [2, 'reg.test/team/app:v1', 200, 'hit'],
      [1, 'reg.test/team/app:v1', 200, 'miss'],
    ],
  )
  const [, , hit] = requests
  const line = site.app.logs.find(({ request }) => request === hit?.request)
  assert.deepEqual([line?.['bytes'], line?.['ms']], [hit?.bytes, hit?.ms])
  assert.deepEqual(
    [hit?.client, hit?.agent, hit?.finished],
    ['127.0.0.1', 'containerd/2.1.0', true],
  )
  assert.ok(!JSON.stringify(requests).match(/canary|Y2FuYXJ5/i))

  const seqs = async (query: string) => (await activity(site, query)).requests.map(({ seq }) => seq)
  assert.deepEqual(await seqs('?upstream=reg.test'), [3, 2, 1])
  assert.deepEqual(await seqs('?result=hit'), [2])
  assert.deepEqual(await seqs('?search=none:v1'), [3])
  assert.deepEqual(await seqs('?after=2'), [4, 3])
  assert.deepEqual(await seqs('?before=3&limit=1'), [2])
  assert.deepEqual(await seqs('?client=127.0.0.2'), [])
  for (const query of ['?result=good', '?limit=0', '?limit=501', '?after=x', '?user=anna']) {
    assert.equal((await send(site.app.adminUrl, `/api/v1/activity${query}`)).status, 400, query)
  }
})

test('whoever asks is seen, by address and by what runs there', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ layers: [5_000] })
  site.registry.add('team/app', image, 'v1')
  const path = '/v2/team/app/manifests/v1?ns=reg.test'
  for (const agent of ['containerd/2.1.0', 'containerd/2.2.0', 'cri-o/1.31.0 go/go1.22']) {
    await site.app.get(path, { headers: { 'User-Agent': agent } })
  }
  await site.app.get('/v2/team/app/manifests/v1?ns=reg.test', { method: 'PUT' })
  await site.app.logged(4)
  const answer = await send(site.app.adminUrl, '/api/v1/clients')
  const { clients, more, since } = CLIENTS.parse(jsonOf(answer))
  assert.equal(more, 0)
  const bytes = image.manifest.bytes.length
  assert.deepEqual(
    clients.map(({ firstSeenAt, lastSeenAt, ...rest }) => {
      assert.ok(since <= firstSeenAt && firstSeenAt <= lastSeenAt)
      return rest
    }),
    [
      { runtime: 'other', requests: 1, pulls: 0, errors: 1, bytes: 0 },
      {
        runtime: 'cri-o',
        agent: 'cri-o/1.31.0 go/go1.22',
        requests: 1,
        pulls: 1,
        errors: 0,
        bytes,
      },
      {
        runtime: 'containerd',
        agent: 'containerd/2.2.0',
        requests: 2,
        pulls: 2,
        errors: 0,
        bytes: 2 * bytes,
      },
    ].map((one) => ({ address: '127.0.0.1', ...one })),
  )
})

const RECORD: RequestRecord = {
  request: 'id',
  client: '10.0.0.1',
  agent: 'containerd/2',
  method: 'GET',
  handler: 'manifest',
  upstream: 'a',
  repository: parseRepository('app'),
  reference: 'v1',
  status: 200,
  digest: undefined,
  result: 'hit',
  age: undefined,
  stale: undefined,
  bytes: 1,
  ms: 1,
}

const EVERYTHING = {
  upstream: undefined,
  result: undefined,
  client: undefined,
  search: undefined,
  after: undefined,
  before: undefined,
}

test('the last 2 000 requests are kept, however many come', () => {
  const recent = new RecentRequests(() => 0)
  assert.deepEqual(recent.list({ ...EVERYTHING, limit: 10 }), { requests: [], last: 0 })
  for (let i = 1; i <= 5_001; i++) recent.add({ ...RECORD, reference: `v${i}` })
  const { requests, last } = recent.list({ ...EVERYTHING, limit: 10_000 })
  assert.equal(last, 5_001)
  assert.equal(requests.length, 2_000)
  assert.deepEqual(
    requests.map(({ reference }) => reference),
    Array.from({ length: 2_000 }, (_, index) => `v${5_001 - index}`),
  )
})

test('a thousand clients are kept: who was not seen for longest is forgotten', () => {
  let now = 0
  const clients = new Clients(() => ++now)
  const at = (address: string) => clients.add({ ...RECORD, client: address })
  at('first')
  for (let i = 0; i < 999; i++) at(`10.0.0.${i}`)
  at('first')
  at('new')
  const { clients: seen, more } = clients.list()
  assert.equal(seen.length, 1_000)
  assert.equal(more, 1)
  assert.deepEqual(
    seen.slice(0, 2).map(({ address, requests }) => [address, requests]),
    [
      ['new', 1],
      ['first', 2],
    ],
  )
  assert.ok(!seen.some(({ address }) => address === '10.0.0.0'))
})

test('what a client calls itself means a family, or nobody knows it', () => {
  for (const [agent, family] of [
    ['containerd/v2.0.0', 'containerd'],
    ['cri-o/1.29.0 go/go1.21.1 os/linux arch/amd64', 'cri-o'],
    ['docker/24.0.5 go/go1.20.6 UpstreamClient(Docker-Client/24.0.5)', 'docker'],
    ['Docker-Client/24.0.5 (linux)', 'docker'],
    ['libpod/4.3.1', 'podman'],
    ['skopeo/1.13.0', 'skopeo'],
    ['buildkit/v0.12', 'buildkit'],
    ['Helm/3.14.0', 'helm'],
    ['constructor', 'other'],
    ['__proto__/1', 'other'],
    ['Mozilla/5.0 (X11)', 'other'],
    ['', 'other'],
    [undefined, 'other'],
  ] as const) {
    assert.equal(runtimeOf(agent), family, String(agent))
  }
})
