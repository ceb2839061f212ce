import assert from 'node:assert/strict'
import { test } from 'node:test'

import { send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import { startContainerd } from './containerd.ts'
import { startRealRegistry } from './real-registry.ts'
import { makeImage } from './site.ts'

test('with its registry gone, containerd still pulls what was pulled once, latest too', async () => {
  await using registry = await startRealRegistry()
  await using larder = await startLarder({ upstreams: [{ name: 'reg.test', url: registry.url }] })
  await using containerd = await startContainerd()
  await containerd.setMirror('reg.test', larder.url)
  const references = ['v1', 'latest'].map((tag) => `reg.test/team/app:${tag}`)
  for (const tag of ['v1', 'latest']) await registry.push('team/app', tag, makeImage(`gone ${tag}`))
  for (const reference of references) {
    await containerd.pull(reference)
    await containerd.remove(reference)
  }
  await registry.stop()
  for (const reference of references) await containerd.pull(reference)

  const absent = await send(larder.url, '/v2/team/app/manifests/v2?ns=reg.test')
  assert.equal(absent.status, 502, absent.body.toString())
})
