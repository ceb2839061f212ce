import assert from 'node:assert/strict'
import { test } from 'node:test'

import { startTestApp, type TestApp } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer } from '../support/faults.ts'
import {
  buildArtifact,
  buildImage,
  buildIndex,
  type Image,
  seededBytes,
} from '../support/images.ts'
import { ANNA, as } from './tenants.ts'

/**
 * `a.test` is for callers; whoever likes can push to `b.test`, and it takes manifests that list what
 * it does not have.
 */
interface Site extends AsyncDisposable {
  readonly a: FaultRegistry
  readonly b: FaultRegistry
  readonly app: TestApp
}

async function startSite(): Promise<Site> {
  const users = { [ANNA.name]: ANNA.password }
  const a = await new FaultRegistry({ auth: { kind: 'token', users } }).start()
  const b = await new FaultRegistry().start()
  const app = await startTestApp({
    upstreams: [
      { name: 'a.test', url: a.origin, access: 'caller', allowPlainChallenge: true },
      { name: 'b.test', url: b.origin },
    ],
  })
  const dispose = async () => {
    await app.close()
    await a.close()
    await b.close()
  }
  return { a, b, app, [Symbol.asyncDispose]: dispose }
}

const BYTES = seededBytes('private', 5000)
const IMAGE = buildImage({ seed: 'private', layers: [BYTES] })
const LAYER = IMAGE.layers[0]?.digest ?? ''
const PRIVATE = '/v2/team/app'
const OTHERS = '/v2/mallory/app'
const AT_A = '?ns=a.test'
const AT_B = '?ns=b.test'

/** Mallory knows a digest, and pushes a manifest that lists it. */
function pushListing({ b }: Site): void {
  b.content.putManifest('mallory/app', IMAGE.manifest, 'v1')
  const index = buildIndex([IMAGE])
  b.content.putManifest('mallory/app', index.manifest, 'index')
}

async function fill({ app, a }: Site, image: Image = IMAGE): Promise<void> {
  a.add('team/app', image, 'v1')
  for (const path of ['manifests/v1', ...[...image.blobs.keys()].map((one) => `blobs/${one}`)]) {
    assert.equal((await app.get(`${PRIVATE}/${path}${AT_A}`, as(ANNA))).status, 200)
  }
}

test('a manifest that lists a private blob does not give it away under another registry', async () => {
  await using site = await startSite()
  await fill(site)
  pushListing(site)
  assert.equal((await site.app.get(`${OTHERS}/manifests/v1${AT_B}`)).status, 200)
  for (const request of [{}, { method: 'HEAD' }, { range: 'bytes=0-9' }]) {
    const got = await site.app.get(`${OTHERS}/blobs/${LAYER}${AT_B}`, request)
    assert.equal(got.status, 404)
    assert.equal(got.headers['docker-content-digest'], undefined)
    assert.equal(got.headers['content-range'], undefined)
  }
})

test('nor does an index that lists a private manifest', async () => {
  await using site = await startSite()
  await fill(site)
  site.b.content.putManifest('mallory/app', buildIndex([IMAGE]).manifest, 'index')
  const { digest } = IMAGE.manifest
  assert.equal((await site.app.get(`${OTHERS}/manifests/index${AT_B}`)).status, 200)
  for (const method of ['GET', 'HEAD']) {
    const got = await site.app.get(`${OTHERS}/manifests/${digest}${AT_B}`, { method })
    assert.equal(got.status, 404)
  }
})

test('nor is a private referrer told of in an outage because an index lists it', async () => {
  await using site = await startSite()
  const signature = buildArtifact({ artifactType: 'test/signature', subject: IMAGE.descriptor })
  await fill(site, signature)
  site.b.content.putManifest('mallory/app', buildIndex([signature]).manifest, 'index')
  assert.equal((await site.app.get(`${OTHERS}/manifests/index${AT_B}`)).status, 200)
  site.b.script({}, answer(500))
  const got = await site.app.get(`${OTHERS}/referrers/${IMAGE.manifest.digest}${AT_B}`)
  assert.equal(got.status, 502)
})

test('nor is a download under way to be joined from there', async () => {
  await using site = await startSite()
  site.a.add('team/app', IMAGE, 'v1')
  pushListing(site)
  assert.equal((await site.app.get(`${OTHERS}/manifests/v1${AT_B}`)).status, 200)
  assert.equal((await site.app.get(`${PRIVATE}/manifests/v1${AT_A}`, as(ANNA))).status, 200)
  const path = new RegExp(`/blobs/${LAYER}`)
  const barrier = site.a.hold({ method: 'GET', path })
  const first = site.app.get(`${PRIVATE}/blobs/${LAYER}${AT_A}`, as(ANNA))
  await barrier.arrived()
  for (const method of ['GET', 'HEAD']) {
    const got = await site.app.get(`${OTHERS}/blobs/${LAYER}${AT_B}`, { method })
    assert.equal(got.status, 404)
  }
  barrier.release()
  assert.equal((await first).status, 200)
})

test('where the registry confirms it, it is asked once and sends nothing', async () => {
  await using site = await startSite()
  await fill(site)
  site.b.add('team/copy', IMAGE, 'v1')
  const get = (path: string) => site.app.get(`/v2/team/copy/${path}${AT_B}`)
  assert.equal((await get('manifests/v1')).status, 200)
  site.b.forget()
  for (let i = 0; i < 3; i++) {
    const got = await get(`blobs/${LAYER}`)
    assert.equal(got.status, 200)
    assert.ok(got.body.equals(BYTES))
  }
  assert.equal(site.b.count({ method: 'HEAD' }), 1)
  assert.equal(site.b.count(), 1)
})

test('another repository of the same registry has to be confirmed as well', async () => {
  await using site = await startSite()
  await fill(site)
  site.a.content.putManifest('team/listing', IMAGE.manifest, 'v1')
  const get = (path: string) => site.app.get(`/v2/team/listing/${path}${AT_A}`, as(ANNA))
  assert.equal((await get('manifests/v1')).status, 200)
  assert.equal((await get(`blobs/${LAYER}`)).status, 404)
})

test('what came from a public place is served wherever it is listed, and nobody is asked', async () => {
  await using site = await startSite()
  site.b.add('open/base', IMAGE, 'v1')
  for (const path of ['manifests/v1', `blobs/${LAYER}`]) {
    assert.equal((await site.app.get(`/v2/open/base/${path}${AT_B}`)).status, 200)
  }
  site.a.add('team/app', IMAGE, 'v1')
  const get = (path: string) => site.app.get(`${PRIVATE}/${path}${AT_A}`, as(ANNA))
  assert.equal((await get('manifests/v1')).status, 200)
  await site.app.until('larder_store_blobs', 2)
  site.a.forget()
  const got = await get(`blobs/${LAYER}`)
  assert.equal(got.status, 200)
  assert.ok(got.body.equals(BYTES))
  assert.equal(site.a.count(), 0)
})

test('the common way costs no question: what was pulled through a place is served there', async () => {
  await using site = await startSite()
  await fill(site)
  site.a.forget()
  for (const path of ['manifests/v1', `manifests/${IMAGE.manifest.digest}`, `blobs/${LAYER}`]) {
    const got = await site.app.get(`${PRIVATE}/${path}${AT_A}`, as(ANNA))
    assert.equal(got.headers['cache-status'], 'larder; hit', path)
  }
  await site.app.restart()
  // The right is forgotten with the process, and shown anew with one HEAD; the content is not.
  assert.equal((await site.app.get(`${PRIVATE}/blobs/${LAYER}${AT_A}`, as(ANNA))).status, 200)
  assert.equal(site.a.count({ method: 'GET', path: /blobs/ }), 0)
})
