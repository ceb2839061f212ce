/** Pulls that come while pins are being read back from their files, after the database was lost. */
import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { TestApp } from '../support/app.ts'
import { Barrier } from '../support/barrier.ts'
import { hangUp } from '../support/faults.ts'
import { interceptFiles, systemError } from '../support/fs-faults.ts'
import { send } from '../support/http-client.ts'
import { APP, startHub } from '../support/hub.ts'

for (const access of ['public', 'caller', 'shared'] as const) {
  test(`under access ${access} what is pinned waits for its pin to be read, and for no registry`, async () => {
    await using hub = await startHub({ upstream: { access } })
    const { app, registry, index, image, blob } = hub
    const { digest } = index.descriptor
    const paths = [
      ...['v1', digest, image.manifest.digest].map((one) => `${APP}/manifests/${one}`),
      `${APP}/blobs/${blob.digest}`,
    ]
    for (const path of paths) assert.equal((await app.get(path)).status, 200, path)
    await app.until('larder_store_blobs', 3)
    await pin(app, 'docker.io/library/app:v1')
    const reading = new Barrier()
    using _ = await interceptFiles((operation, path = '') => {
      const isIndex = path.endsWith(digest.slice('sha256:'.length))
      return operation === 'open' && isIndex ? reading.wait() : undefined
    })
    await app.restart({}, () => loseDatabase(app.dataDir))
    await reading.arrived()
    registry.forget()
    registry.script({}, hangUp('rst'))
    assert.equal((await send(app.adminUrl, '/readyz')).status, 200)
    const answers = Promise.all(paths.map((path) => app.get(path)))
    await inFlight(app, paths.length)
    reading.release()
    for (const [index, { status, body, headers }] of (await answers).entries()) {
      assert.equal(status, 200, `${paths[index]}: ${body}`)
      assert.match(String(headers['cache-status']), /; hit\b/)
    }
    assert.deepEqual(
      registry.requests.filter(({ path }) => path !== '/v2/'),
      [],
    )
  })
}

test('a pinned manifest that cannot be read does not cost the other pins their restoration', async () => {
  await using hub = await startHub({ upstream: { access: 'shared' } })
  const { app, registry, dockerList } = hub
  const { digest } = dockerList.descriptor
  for (const tag of ['v1', 'docker']) {
    assert.equal((await app.get(`${APP}/manifests/${tag}`)).status, 200)
    await pin(app, `docker.io/library/app:${tag}`)
  }
  using _ = await interceptFiles((operation, path = '') => {
    if (operation === 'open' && path.endsWith(digest.slice('sha256:'.length))) {
      throw systemError('EIO')
    }
  })
  await app.restart({}, () => loseDatabase(app.dataDir))
  registry.script({}, hangUp('rst'))
  assert.equal((await app.get(`${APP}/manifests/v1`)).status, 200)
  assert.equal((await app.get(`${APP}/manifests/docker`)).status, 502)
})

async function pin({ adminUrl }: TestApp, reference: string): Promise<void> {
  const body = JSON.stringify({ references: [reference] })
  const headers = { 'Content-Type': 'application/json' }
  const { status } = await send(adminUrl, '/api/v1/pins', { method: 'POST', headers, body })
  assert.equal(status, 200)
}

async function loseDatabase(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name.startsWith('larder.db')) await rm(join(path, name))
  }
}

/** Resolves once so many requests are being answered, and none of them is. */
async function inFlight({ adminUrl }: TestApp, count: number): Promise<void> {
  const endsAt = performance.now() + 10_000
  for (;;) {
    const { body } = await send(adminUrl, '/metrics')
    const lines = body.toString().matchAll(/^larder_http_requests_in_flight\{.*\} (\d+)$/gm)
    const all = [...lines].reduce((sum, [, value]) => sum + Number(value), 0)
    if (all >= count) return
    assert.ok(performance.now() < endsAt, `${all} are in flight`)
  }
}
