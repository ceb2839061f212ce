import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { type ClientResponse, send } from '../support/http-client.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { metric, until } from './metrics.ts'
import { createLinkedNetwork, type LinkedNetwork } from './network.ts'
import { type RealRegistry, startRealRegistry } from './real-registry.ts'
import { makeImage, makeLargeImage } from './site.ts'
import { skopeoCopy } from './skopeo.ts'

const MIB = 1024 * 1024
/** Beyond the middle is more than the kernel takes in advance. */
const LARGE = 40 * MIB
const MIDDLE = 18 * MIB
const BLOBS = { type: 'blob' }
const FETCHED = 'larder_fetched_bytes_total'
/** Slow enough for a middle to cut in, and out of patience soon. */
const LIMITS = {
  bandwidth: '16MiB',
  connectTimeout: '500ms',
  headersTimeout: '500ms',
  idleTimeout: '500ms',
}

let network: LinkedNetwork
let registry: RealRegistry
let containerd: Containerd

before(async () => {
  network = await createLinkedNetwork()
  registry = await startRealRegistry('open', { network })
  containerd = await startContainerd()
})

after(async () => {
  await containerd?.[Symbol.asyncDispose]()
  await registry?.stop()
  await network?.[Symbol.asyncDispose]()
})

for (const how of ['firewalled', 'unplugged'] as const) {
  test(`pulls in whose middle the registry is ${how} go on when it is back`, async () => {
    const { image, layer } = makeLargeImage(how, LARGE)
    await registry.push(`${how}/large`, 'v1', image)
    await using larder = await start()
    // No client asks twice for what has not begun: of what is small, none is to be in its beginning.
    await send(larder.url, `/v2/${how}/large/blobs/${image.config.digest}?ns=reg.test`)
    const pulls = Promise.all([
      containerd.pull(`reg.test/${how}/large:v1`),
      skopeoCopy(`${hostOf(larder)}/reg.test/${how}/large:v1`),
    ])
    // Also where the test fails before it is waited for.
    pulls.catch(() => undefined)
    await until(larder, FETCHED, MIDDLE, BLOBS)
    await network.cut(how)
    try {
      // The connection has stood still for too long, and another could not be made.
      await until(larder, 'larder_upstream_errors_total', 1)
      assert.ok((await metric(larder, FETCHED, BLOBS)) < layer.size)
    } finally {
      await network.mend()
    }
    await pulls
    assert.ok((await containerd.listContent('default')).includes(layer.digest))
    assert.ok((await metric(larder, 'larder_upstream_resumes_total')) >= 1)
    assert.equal(await metric(larder, FETCHED, BLOBS), layer.size + image.config.size)
  })
}

test('behind a firewall, what is cached costs nothing, and what is not a moment', async () => {
  await using larder = await start()
  for (const tag of ['v1', 'latest']) {
    await registry.push('team/app', tag, makeImage(`behind a firewall ${tag}`))
    await containerd.pull(`reg.test/team/app:${tag}`)
    await containerd.remove(`reg.test/team/app:${tag}`)
  }
  await network.cut('firewalled')
  try {
    const [first, firstMs] = await timed(ask(larder, 'absent'))
    assert.equal(first.status, 504, first.body.toString())
    assert.match(first.body.toString(), /"message":"the registry [^"]+"/)
    assert.ok(firstMs < 3_000, `the first miss took ${firstMs} ms`)
    for (const tag of ['v1', 'latest']) {
      await containerd.pull(`reg.test/team/app:${tag}`)
      await skopeoCopy(`${hostOf(larder)}/reg.test/team/app:${tag}`)
    }
    await openCircuit(larder)
    await assert.rejects(skopeoCopy(`${hostOf(larder)}/reg.test/team/app:absent`), /502/)
    const miss = await fastest(() => ask(larder, 'never-asked'))
    assert.equal(miss.response.status, 502, miss.response.body.toString())
    assert.match(miss.response.body.toString(), /the registry has failed repeatedly/)
    assert.ok(miss.ms < 100, `a miss took ${miss.ms} ms`)
    const stale = await fastest(() => ask(larder, 'latest'))
    assert.equal(stale.response.status, 200)
    assert.match(String(stale.response.headers['cache-status']), /fwd=stale/)
    assert.ok(stale.ms < 10, `a stale tag took ${stale.ms} ms`)
  } finally {
    await network.mend()
  }
})

test('a registry that stays away ends a pull in time; the next goes on where that was', async () => {
  await using data = await makeTempDir('larder-e2e-data-')
  const { image, layer } = makeLargeImage('stays away', LARGE)
  await registry.push('away/large', 'v1', image)
  const pull = () => containerd.pull('reg.test/away/large:v1')
  let fetched = 0
  {
    await using larder = await start(data.path)
    const broken = timed(assert.rejects(pull()))
    // Also where the test fails before it is waited for.
    broken.catch(() => undefined)
    await until(larder, FETCHED, MIDDLE, BLOBS)
    await network.cut('firewalled')
    try {
      const [, brokenMs] = await broken
      assert.ok(brokenMs < 45_000, `it took ${brokenMs} ms`)
    } finally {
      await network.mend()
    }
    const failed = larder.logs().find(({ msg }) => msg === 'download failed')
    assert.match(String(failed?.['reason']), /the registry/)
    fetched = await metric(larder, FETCHED, BLOBS)
  }
  // Started anew, or it would not ask for some seconds yet.
  await using larder = await start(data.path)
  await pull()
  fetched += await metric(larder, FETCHED, BLOBS)
  assert.equal(fetched, layer.size + image.config.size)
})

async function start(dataDir?: string): Promise<RunningLarder> {
  const upstream = { name: 'reg.test', url: registry.url, plainHttp: true, limits: LIMITS }
  const larder = await startLarder({
    upstreams: [upstream],
    ...(dataDir === undefined ? {} : { dataDir }),
  })
  await containerd.setMirror('reg.test', larder.url)
  return larder
}

function hostOf({ url }: RunningLarder): string {
  return new URL(url).host
}

function ask({ url }: RunningLarder, tag: string): Promise<ClientResponse> {
  return send(url, `/v2/team/app/manifests/${tag}?ns=reg.test`)
}

/** Fails until the registry is no longer asked. */
async function openCircuit(larder: RunningLarder): Promise<void> {
  const open = { state: 'open' }
  for (let i = 0; (await metric(larder, 'larder_upstream_circuit_state', open)) === 0; i++) {
    assert.ok(i < 6, 'it is still asked')
    await ask(larder, `absent-${i}`)
  }
}

async function timed<T>(promise: Promise<T>): Promise<readonly [T, number]> {
  const startedAt = performance.now()
  const value = await promise
  return [value, performance.now() - startedAt]
}

/** Of some: what a busy machine adds is not Larder's. */
async function fastest(question: () => Promise<ClientResponse>) {
  let best: { readonly response: ClientResponse; readonly ms: number } | undefined
  for (let i = 0; i < 5; i++) {
    const [response, ms] = await timed(question())
    if (best === undefined || ms < best.ms) best = { response, ms }
  }
  if (best === undefined) throw new Error('nothing was asked')
  return best
}
