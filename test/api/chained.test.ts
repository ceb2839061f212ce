/** Row 45 of the faults: one Larder behind another. Both tell of the registry, and never otherwise than it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { IMPATIENT, startTestApp, type TestApp } from '../support/app.ts'
import { corrupt, hangUp } from '../support/faults.ts'
import { APP, type Hub, type HubOptions, startHub } from '../support/hub.ts'

interface Chain extends AsyncDisposable {
  /** The registry, and the Larder that asks it. */
  readonly near: Hub
  /** Asks that Larder. */
  readonly far: TestApp
}

async function startChain(options: HubOptions = {}): Promise<Chain> {
  const near = await startHub(options)
  const upstream = { name: 'docker.io', url: near.app.url, default: true, limits: IMPATIENT }
  const far = await startTestApp({ upstreams: [upstream] })
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      await far.close()
      await near[Symbol.asyncDispose]()
    },
  }
}

const FACTS = ['content-length', 'content-type', 'docker-content-digest', 'etag'] as const

test('HEAD and GET say the same through both, cold and warm, and each content comes once', async () => {
  await using chain = await startChain()
  const { near, far } = chain
  const { registry, image, blob } = near
  const manifest = `${APP}/manifests/${image.manifest.digest}`
  for (const path of [`${APP}/manifests/v1`, manifest, `${APP}/blobs/${blob.digest}`]) {
    const direct = await near.app.head(path)
    assert.equal(direct.status, 200)
    for (const _ of ['cold', 'warm']) {
      const head = await far.head(path)
      const got = await far.get(path)
      assert.deepEqual([head.status, got.status], [200, 200], path)
      assert.equal(got.body.length, Number(head.headers['content-length']))
      for (const fact of FACTS) {
        assert.equal(head.headers[fact], direct.headers[fact], `${fact} of HEAD ${path}`)
        assert.equal(got.headers[fact], direct.headers[fact], `${fact} of ${path}`)
      }
    }
  }
  assert.equal(registry.countBlobs(blob.digest), 1)
})

test('what the registry refuses, or gets wrong, is refused by both, and heals through both', async () => {
  await using chain = await startChain()
  const { near, far } = chain
  const { registry, blob } = near
  const path = `${APP}/blobs/${blob.digest}`
  for (const method of ['HEAD', 'GET']) {
    const absent = await far.get(`${APP}/manifests/none`, { method })
    assert.equal(absent.status, 404, method)
  }
  registry.script({ method: 'GET', path }, corrupt(7))
  const wrong = await far.get(path)
  assert.ok(wrong.status !== 200 || !wrong.complete, 'wrong bytes never come whole')
  registry.clearScripts()
  await until(async () => (await far.get(path)).body.equals(blob.bytes))
})

test('with the registry down the near one answers, with the near one down the far one does', async () => {
  await using chain = await startChain()
  const { near, far } = chain
  const { registry, image, blob } = near
  const manifest = `${APP}/manifests/${image.manifest.digest}`
  await near.app.get(manifest)
  await near.app.get(`${APP}/blobs/${blob.digest}`)
  registry.script({}, hangUp('rst'))
  for (const path of [manifest, `${APP}/blobs/${blob.digest}`]) {
    assert.equal((await far.get(path)).status, 200, path)
  }
  const refused = await far.get(`${APP}/manifests/v1`)
  assert.equal(refused.status, 502, 'what neither has')
  await near.app.close()
  for (const path of [manifest, `${APP}/blobs/${blob.digest}`]) {
    const { status, headers } = await far.get(path)
    assert.equal(status, 200, path)
    assert.match(String(headers['cache-status']), /; hit\b/)
  }
})

/** What failed is not asked for again at once. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + 20_000
  while (!(await isSo())) assert.ok(performance.now() < endsAt, 'it does not heal')
}
