/** What a purge leaves of other places and images, and what memory must not outlive. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { TestApp } from '../support/app.ts'
import { hangUp } from '../support/faults.ts'
import { send } from '../support/http-client.ts'
import { APP, type Hub, startHub } from '../support/hub.ts'

const HIT = /; hit\b/

/** As the admin API answers it. */
interface Purged {
  readonly tags: number
  readonly manifests: number
  readonly kept: { readonly listed: number }
  readonly unknown: readonly string[]
}

async function change({ adminUrl }: TestApp, path: string, input: object): Promise<unknown> {
  const body = JSON.stringify(input)
  const headers = { 'Content-Type': 'application/json' }
  const got = await send(adminUrl, `/api/v1${path}`, { method: 'POST', headers, body })
  assert.equal(got.status, 200, got.body.toString())
  return JSON.parse(got.body.toString())
}

async function purge(app: TestApp, ...references: readonly string[]): Promise<Purged> {
  return (await change(app, '/purge', { references })) as Purged
}

async function pinnedNames({ adminUrl }: TestApp): Promise<readonly string[]> {
  const { body } = await send(adminUrl, '/api/v1/pins')
  const { pins } = JSON.parse(body.toString()) as { pins: readonly { readonly name: string }[] }
  return pins.map(({ name }) => name)
}

async function pull({ app }: Hub, ...paths: readonly string[]): Promise<void> {
  for (const path of paths) assert.equal((await app.get(path)).status, 200, path)
}

async function assertHits({ app }: Hub, ...paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const { status, headers } = await app.get(path)
    assert.equal(status, 200, path)
    assert.match(String(headers['cache-status']), HIT, path)
  }
}

test('a tag that was purged is asked for again at once, though another keeps its bytes', async () => {
  await using hub = await startHub()
  const { app, registry, index } = hub
  const digest = registry.add('library/app', index, 'twin')
  await pull(hub, `${APP}/manifests/v1`, `${APP}/manifests/twin`)
  const { tags, manifests } = await purge(app, 'docker.io/library/app:v1')
  assert.deepEqual({ tags, manifests }, { tags: 1, manifests: 0 })
  registry.script({}, hangUp('rst'))
  assert.equal((await app.get(`${APP}/manifests/v1`)).status, 502)
  await assertHits(hub, `${APP}/manifests/twin`, `${APP}/manifests/${digest}`)
})

test('a manifest that was purged from one repository is served there by its registry’s leave only', async () => {
  await using hub = await startHub()
  const { app, registry, image } = hub
  const { digest } = image.manifest
  registry.add('library/other', image)
  const [here, other] = [`${APP}/manifests/${digest}`, `/v2/library/other/manifests/${digest}`]
  await pull(hub, here, other)
  await purge(app, `docker.io/library/app@${digest}`)
  registry.script({}, hangUp('rst'))
  assert.equal((await app.get(here)).status, 502)
  await assertHits(hub, other)
})

test('what an image that stays lists is kept, and said to be: it needs its registry no more than before', async () => {
  await using hub = await startHub()
  const { app, registry, image, index, blob } = hub
  registry.add('library/app', image, 'amd64')
  const paths = [
    `manifests/${registry.add('library/app', index)}`,
    `manifests/${image.manifest.digest}`,
  ].map((path) => `${APP}/${path}`)
  await pull(hub, `${APP}/manifests/v1`, `${APP}/manifests/amd64`, ...paths)
  await pull(hub, `${APP}/blobs/${blob.digest}`)
  await app.until('larder_store_blobs', 3)
  const name = 'docker.io/library/app'
  // Its own tag goes, and it stays a part of the other image.
  assert.equal((await purge(app, `${name}:amd64`)).tags, 1)
  const purged = await purge(app, `${name}@${image.manifest.digest}`, `${name}@${blob.digest}`)
  assert.deepEqual([purged.kept.listed, purged.unknown], [2, []])
  registry.script({}, hangUp('rst'))
  for (const _ of ['from memory', 'from disk']) {
    await assertHits(hub, `${APP}/manifests/v1`, ...paths, `${APP}/blobs/${blob.digest}`)
    assert.equal((await app.get(`${APP}/manifests/amd64`)).status, 502)
    await app.restart()
  }
  await purge(app, `${name}:v1`)
  assert.equal((await app.get(`${APP}/manifests/${image.manifest.digest}`)).status, 502)
  assert.equal(await app.metric('larder_store_blobs'), 0)
})

const PURGED = 'docker.io/library/app:v1'
const OTHER = 'docker.io/library/app:docker'

for (const [what, selection, left] of [
  ['a reference', { references: [PURGED] }, [OTHER]],
  ['a pattern of tags', { pattern: 'docker.io/library/*:v*' }, [OTHER]],
  ['a pattern of repositories', { pattern: '*/library/app' }, []],
  ['an upstream', { upstream: 'docker.io' }, []],
] as const) {
  test(`what is purged by force with ${what} is pinned no more, and comes not back`, async () => {
    await using hub = await startHub()
    const { app, registry } = hub
    await pull(hub, `${APP}/manifests/v1`, `${APP}/manifests/docker`)
    await change(app, '/pins', { pattern: '**' })
    await change(app, '/pins', { references: [PURGED, OTHER] })
    await change(app, '/purge', { ...selection, force: true })
    assert.deepEqual(await pinnedNames(app), ['**', ...left])
    await app.restart()
    assert.deepEqual(await pinnedNames(app), ['**', ...left])
    registry.script({}, hangUp('rst'))
    assert.equal((await app.get(`${APP}/manifests/v1`)).status, 502)
    if (left.length > 0) await assertHits(hub, `${APP}/manifests/docker`)
  })
}

test('a pinned tag outlives a forced purge of its digest: it was not named', async () => {
  await using hub = await startHub()
  const { app, index } = hub
  await pull(hub, `${APP}/manifests/v1`)
  const byDigest = `docker.io/library/app@${index.manifest.digest}`
  await change(app, '/pins', { references: [PURGED, byDigest] })
  await change(app, '/purge', { references: [byDigest], force: true })
  assert.deepEqual(await pinnedNames(app), [PURGED])
})
