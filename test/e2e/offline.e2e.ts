import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { type IsolatedAnswer, type IsolatedLarder, startLarderIn } from './isolated-larder.ts'
import { createLinkedNetwork, createNetwork, type LinkedNetwork } from './network.ts'
import { startRealRegistry } from './real-registry.ts'
import { makeImage } from './site.ts'
import { skopeoCopy } from './skopeo.ts'

const TAGS = ['v1', 'latest']
const ABSENT = digestOf(Buffer.from('nobody has this'))
/** Cheap to ask for, and needs the registry. */
const MISSES = [
  'team/app/manifests/absent',
  `team/app/manifests/${ABSENT}`,
  `team/app/blobs/${ABSENT}`,
]

/** What was pulled while there was a network. */
let data: TempDir

before(async () => {
  data = await makeTempDir('larder-e2e-offline-')
  await using registry = await startRealRegistry()
  const upstreams = ['reg.test', 'named.test'].map((name) => ({ name, url: registry.url }))
  await using larder = await startLarder({ upstreams, dataDir: data.path })
  for (const tag of TAGS) {
    await registry.push('team/app', tag, makeImage(`offline ${tag}`))
    for (const { name } of upstreams) {
      await skopeoCopy(`${new URL(larder.url).host}/${name}/team/app:${tag}`)
    }
  }
})

after(async () => {
  await data?.remove()
})

test('in an air gap, a cache that is offline starts at once and serves what it has', async () => {
  await using gap = await createNetwork()
  assert.equal(await gap.run('ip', ['route', 'show', 'table', 'all', 'type', 'unicast']), '')
  const upstreams = [{ name: 'reg.test', url: 'https://registry.invalid' }]
  await using larder = await startLarderIn(gap, { dataDir: data.path, upstreams, offline: true })
  await assertReady(larder)
  await assertServes(larder, 'reg.test')
  for (const path of MISSES) assertOffline(await larder.ask(`/v2/${path}?ns=reg.test`))
})

test('offline, no packet leaves, though there is a network', async () => {
  await using network = await createLinkedNetwork()
  const upstreams = elsewhere(network)
  const options = { dataDir: data.path, upstreams, offline: true }
  {
    await using larder = await startLarderIn(network, options)
    for (const { name } of upstreams) {
      await assertServes(larder, name)
      for (const path of MISSES) assertOffline(await larder.ask(`/v2/${path}?ns=${name}`))
    }
  }
  assert.equal((await network.sent()).packets, 0)
})

test('with pullPolicy: Never no packet leaves for a tag', async () => {
  await using network = await createLinkedNetwork()
  const tags = [{ match: '*', pullPolicy: 'Never' }]
  const upstreams = elsewhere(network).map((upstream) => ({ ...upstream, tags }))
  {
    await using larder = await startLarderIn(network, { dataDir: data.path, upstreams })
    for (const { name } of upstreams) {
      await assertServes(larder, name)
      assertOffline(await larder.ask(`/v2/team/app/manifests/absent?ns=${name}`))
    }
  }
  assert.equal((await network.sent()).packets, 0)
})

test('with its registries out of reach it starts at once all the same, and asks when asked', async () => {
  await using network = await createLinkedNetwork()
  const upstreams = elsewhere(network)
  await using larder = await startLarderIn(network, { dataDir: data.path, upstreams })
  await assertReady(larder)
  await larder.pull('reg.test/team/app:v1')
  assert.equal((await network.sent()).packets, 0, 'a start and a fresh tag need nobody')
  const { status, body } = await larder.ask('/v2/team/app/manifests/absent?ns=reg.test')
  assert.equal(status, 502, body)
  assert.notEqual((await network.sent()).packets, 0, 'what leaves is counted')
})

/** A registry that a packet could reach, and one for whose name the network would be asked. */
function elsewhere({ gateway }: LinkedNetwork) {
  const limits = { connectTimeout: '500ms' }
  return [
    { name: 'reg.test', url: `http://${gateway}:1`, plainHttp: true, limits },
    { name: 'named.test', url: 'https://registry.invalid', limits },
  ]
}

async function assertReady(larder: IsolatedLarder): Promise<void> {
  assert.ok(larder.startMs < 2_000, `it took ${larder.startMs} ms to listen`)
  const { status, body } = await larder.askAdmin('/readyz?verbose')
  assert.equal(status, 200, body)
}

/** By tag, of which one would be asked for each time, and by skopeo, blobs and all. */
async function assertServes(larder: IsolatedLarder, registry: string): Promise<void> {
  for (const tag of TAGS) await larder.pull(`${registry}/team/app:${tag}`)
}

function assertOffline({ status, body }: IsolatedAnswer): void {
  assert.equal(status, 504, body)
  const { errors } = JSON.parse(body) as { errors: { detail?: { offline?: boolean } }[] }
  assert.equal(errors[0]?.detail?.offline, true, body)
}
