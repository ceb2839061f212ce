import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { test } from 'node:test'

import { TAR_TYPE } from '../../../src/admin/media-types.ts'
import { BUNDLE_FILE, bundleIdOf } from '../../../src/airgap/bundle/bundle.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { startTestApp } from '../../support/app.ts'
import { FaultRegistry } from '../../support/fault-registry.ts'
import { send } from '../../support/http-client.ts'
import { buildArtifact, buildImage, buildIndex } from '../../support/images.ts'
import {
  blobsOf,
  bundleOf,
  dockerSave,
  type Entry,
  fullName,
  layoutOf,
  REGISTRY,
  tarOf,
} from './archives.ts'
import { bring, endOf, imagesOf, pull, startOffline, storedIn, warningsOf } from './import-site.ts'

const NAME = `${REGISTRY}/team/app:v1`
const NOW = Date.now()
const AMD = buildImage({ seed: 'amd', layers: [5000, 300_000] })
const ARM = buildImage({
  seed: 'arm',
  layers: [5000],
  platform: { architecture: 'arm64', os: 'linux' },
})
const BOTH = buildIndex([AMD, ARM])

test('what a bundle has can be pulled by tag and digest at once, without a network', async () => {
  await using app = await startOffline()
  assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 504)
  const lines = await bring(app, bundleOf([{ image: BOTH, tag: 'v1', checkedAt: NOW - 1000 }]))
  assert.deepEqual(imagesOf(lines), [`${NAME} published`])
  assert.deepEqual(endOf(lines).images, { published: 1, unchanged: 0, refused: 0 })
  await pull(app, BOTH, 'v1')
  await pull(app, BOTH)
  await app.restart()
  await pull(app, BOTH, 'v1')
})

test('the same bundle again changes nothing, and a newer one moves the tag at once', async () => {
  await using app = await startOffline()
  const older = bundleOf([{ image: AMD, tag: 'v1', checkedAt: NOW - 2000 }])
  await bring(app, older)
  await pull(app, AMD, 'v1')
  const again = await bring(app, older)
  assert.deepEqual(imagesOf(again), [`${NAME} unchanged`])
  assert.equal(endOf(again).addedBlobs, 0)
  await bring(app, bundleOf([{ image: ARM, tag: 'v1', checkedAt: NOW - 1000 }]))
  await pull(app, ARM, 'v1')
})

test('a tag that is newer here stays, and the older content can be had by its digest', async () => {
  await using app = await startOffline()
  await bring(app, bundleOf([{ image: ARM, tag: 'v1', checkedAt: NOW - 1000 }]))
  const lines = await bring(app, bundleOf([{ image: AMD, tag: 'v1', checkedAt: NOW - 2000 }]))
  assert.deepEqual(imagesOf(lines), [`${NAME} unchanged`])
  assert.match(lines.find(({ event }) => event === 'image')?.reason ?? '', /newer, and stays/)
  await pull(app, ARM, 'v1')
  await pull(app, AMD)
})

test('only chosen platforms have to be there, and each of them wholly', async () => {
  await using app = await startOffline()
  const [first = ''] = ARM.layers.map(({ digest }) => digest)
  const arm = new Set([...ARM.blobs.keys(), ARM.manifest.digest])
  const amd64 = [{ os: 'linux', architecture: 'amd64' }]
  const partial = bundleOf([{ image: BOTH, tag: 'v1' }], { without: arm, platforms: amd64 })
  assert.deepEqual(imagesOf(await bring(app, partial)), [`${NAME} published`])
  await pull(app, AMD)
  const lacking = bundleOf([{ image: BOTH, tag: 'v2' }], { without: new Set([first as Digest]) })
  const lines = await bring(app, lacking)
  assert.deepEqual(imagesOf(lines), [`${REGISTRY}/team/app:v2 refused`])
  assert.match(lines.find(({ event }) => event === 'image')?.reason ?? '', new RegExp(first))
})

test('what a refused image has brought does not stay', async () => {
  await using app = await startOffline()
  const before = await storedIn(app)
  const [first] = AMD.layers
  const without = new Set(first === undefined ? [] : [first.digest])
  await bring(app, bundleOf([{ image: AMD, tag: 'v1' }], { without }))
  assert.deepEqual(await storedIn(app), before)
})

test('a bundle that builds on another is refused without it, by its name, and taken with it', async () => {
  await using app = await startOffline()
  const base = bundleOf([{ image: AMD, tag: 'v1', checkedAt: NOW - 9000 }])
  const file = base.find(({ name }) => name === BUNDLE_FILE)
  const id = bundleIdOf(Buffer.from(file?.content ?? ''))
  const here = new Set(blobsOf([AMD]).keys())
  const next = bundleOf([{ image: BOTH, tag: 'v2', checkedAt: NOW - 1000 }], {
    base: { id, contentAt: NOW - 9000, blobs: [...here] },
    without: here,
  })
  const lines = await bring(app, next)
  assert.deepEqual(imagesOf(lines), [`${REGISTRY}/team/app:v2 refused`])
  const reason = lines.find(({ event }) => event === 'image')?.reason ?? ''
  assert.ok(reason.includes(id), reason)
  assert.ok(reason.includes(new Date(NOW - 9000).toISOString()), reason)
  assert.match(warningsOf(lines), new RegExp(`builds on bundle ${id}`))
  await bring(app, base)
  assert.deepEqual(imagesOf(await bring(app, next)), [`${REGISTRY}/team/app:v2 published`])
  await pull(app, BOTH, 'v2')
})

test('signatures in a bundle are found by what they sign', async () => {
  await using app = await startOffline()
  const signature = buildArtifact({ artifactType: 'application/x-sig', subject: AMD.descriptor })
  const [bundle, ...rest] = bundleOf([{ image: AMD, tag: 'v1' }])
  const whole = bundleOf([{ image: AMD, tag: 'v1' }, { image: signature }])
  assert.ok(bundle !== undefined && rest.length > 0)
  const document = JSON.parse(String(whole[0]?.content)) as { images: object[] }
  document.images = document.images.slice(0, 1)
  const images = (JSON.parse(String(bundle.content)) as { images: object[] }).images
  const entries = [
    { ...bundle, content: JSON.stringify({ ...document, images }) },
    ...whole.slice(1),
  ]
  await bring(app, entries)
  const listed = await app.get(`/v2/team/app/referrers/${AMD.manifest.digest}`)
  assert.equal(listed.status, 200, listed.body.toString())
  assert.match(listed.body.toString(), new RegExp(signature.manifest.digest))
  await pull(app, signature)
})

test('an image layout is read by its annotations, or by --as where they say too little', async () => {
  await using app = await startOffline()
  const annotations = { 'org.opencontainers.image.ref.name': 'v2' }
  const unnamed = layoutOf([{ image: AMD, annotations }])
  const refused = await bring(app, unnamed)
  assert.deepEqual(endOf(refused).images, { published: 0, unchanged: 0, refused: 1 })
  assert.match(refused.find(({ event }) => event === 'image')?.reason ?? '', /--as/)
  const lines = await bring(app, unnamed, { as: `${REGISTRY}/team/app` })
  assert.deepEqual(imagesOf(lines), [`${REGISTRY}/team/app:v2 published`])
  await pull(app, AMD, 'v2')
  await bring(app, layoutOf([{ image: ARM, annotations: fullName(NAME) }]))
  await pull(app, ARM, 'v1')
  const whole = { 'org.opencontainers.image.ref.name': `${REGISTRY}/team/app:v3` }
  await bring(app, layoutOf([{ image: ARM, annotations: whole }]))
  await pull(app, ARM, 'v3')
})

test('an image layout with one platform of many is taken as it is, and that is said', async () => {
  await using app = await startOffline()
  const gone = new Set([...ARM.blobs.keys(), ARM.manifest.digest].map((one) => one.slice(7)))
  const entries = layoutOf([{ image: BOTH, annotations: fullName(NAME) }]).filter(
    ({ name }) => !gone.has(name.split('/').at(-1) ?? ''),
  )
  const lines = await bring(app, entries)
  assert.deepEqual(imagesOf(lines), [`${NAME} published`])
  assert.match(warningsOf(lines), /1 of its 2 platforms/)
  await pull(app, AMD)
  assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 200)
})

test('an image of a registry that is not configured is refused, and the others are not', async () => {
  await using app = await startTestApp({
    upstreams: [{ name: REGISTRY, url: 'http://127.0.0.1:9', default: true }],
    offline: true,
  })
  const elsewhere = { image: ARM, annotations: fullName('other.test/a/b:v1') }
  const lines = await bring(app, layoutOf([elsewhere, { image: AMD, annotations: fullName(NAME) }]))
  assert.deepEqual(imagesOf(lines), [`${NAME} published`, 'other.test/a/b:v1 refused'])
  assert.match(lines.find(({ state }) => state === 'refused')?.reason ?? '', /other\.test/)
})

test('what docker save wrote gets a manifest, and what that means is said', async () => {
  await using app = await startOffline()
  const { entries, layers, config } = dockerSave([NAME, `${REGISTRY}/team/app:v2`])
  const lines = await bring(app, entries)
  assert.deepEqual(imagesOf(lines), [`${NAME} published`, `${REGISTRY}/team/app:v2 published`])
  assert.match(warningsOf(lines), /digests are not those of the registry/)
  const { body } = await app.get('/v2/team/app/manifests/v1')
  const manifest = JSON.parse(body.toString())
  assert.equal(manifest.config.digest, digestOf(config))
  assert.deepEqual(
    manifest.layers.map(({ digest }: { digest: string }) => digest),
    layers.map((layer) => digestOf(layer)),
  )
  const [first] = layers
  const blob = await app.get(`/v2/team/app/blobs/${first && digestOf(first)}`)
  assert.deepEqual(blob.body, first)
  const again = await bring(app, entries)
  assert.deepEqual(endOf(again).images, { published: 0, unchanged: 2, refused: 0 })
})

test('a foreign tag is served offline, and asked for where there is somebody to ask', async () => {
  await using registry = await new FaultRegistry().start()
  registry.add('team/app', ARM, 'v1')
  await using app = await startTestApp({
    upstreams: [{ name: REGISTRY, url: registry.origin, default: true }],
    offline: true,
  })
  await bring(app, layoutOf([{ image: AMD, annotations: fullName(NAME) }]))
  await pull(app, AMD, 'v1')
  await app.restart({ offline: false })
  await pull(app, ARM, 'v1')
})

test('a tag that the registry has just confirmed is not replaced by what somebody brings', async () => {
  await using registry = await new FaultRegistry().start()
  registry.add('team/app', ARM, 'v1')
  await using app = await startTestApp({
    upstreams: [{ name: REGISTRY, url: registry.origin, default: true }],
  })
  await pull(app, ARM, 'v1')
  const lines = await bring(app, layoutOf([{ image: AMD, annotations: fullName(NAME) }]))
  assert.deepEqual(imagesOf(lines), [`${NAME} unchanged`])
  await pull(app, ARM, 'v1')
})

test('a refusal of a moment ago does not hide what is brought', async () => {
  await using registry = await new FaultRegistry().start()
  await using app = await startTestApp({
    upstreams: [{ name: REGISTRY, url: registry.origin, default: true }],
  })
  assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 404)
  await bring(app, bundleOf([{ image: AMD, tag: 'v1', checkedAt: Date.now() }]))
  await pull(app, AMD, 'v1')
})

test('of an upstream with an account only what a bundle says is public is shown to anyone', async () => {
  const credentials = [{ username: 'larder', password: 'hush' }]
  const upstream = { name: REGISTRY, url: 'http://127.0.0.1:9', default: true }
  await using app = await startTestApp({
    upstreams: [{ ...upstream, credentials: credentials as never }],
    offline: true,
  })
  await bring(app, bundleOf([{ image: AMD, tag: 'v1', repository: 'team/open', checkedAt: 5 }]))
  await pull(app, AMD, 'v1', 'team/open')
  const closed = { image: ARM, tag: 'v1', repository: 'team/closed', isPublic: false }
  const lines = await bring(app, bundleOf([closed]))
  assert.match(warningsOf(lines), /team\/closed:v1 is not known to be public/)
  assert.notEqual((await app.get('/v2/team/closed/manifests/v1')).status, 200)
})

test('what is pinned as it comes stays pinned after a restart', async () => {
  await using app = await startOffline()
  await bring(app, bundleOf([{ image: AMD, tag: 'v1' }]), { pin: 'true' })
  const pins = async () => (await send(app.adminUrl, '/api/v1/pins')).body.toString()
  assert.match(await pins(), new RegExp(AMD.manifest.digest))
  await app.restart()
  assert.match(await pins(), new RegExp(AMD.manifest.digest))
})

test('a dry run says what would be, and stores nothing', async () => {
  await using app = await startOffline()
  const before = await storedIn(app)
  const archives = [
    bundleOf([{ image: BOTH, tag: 'v1' }]),
    layoutOf([{ image: BOTH, annotations: fullName(NAME) }]),
    dockerSave([NAME]).entries,
  ]
  for (const archive of archives) {
    const lines = await bring(app, archive, { dryRun: 'true' })
    assert.deepEqual(imagesOf(lines), [`${NAME} published`])
  }
  assert.deepEqual(await storedIn(app), before)
  assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 504)
})

test('a download of the same content under way does not meet what is imported', async () => {
  await using registry = await new FaultRegistry().start()
  registry.add('team/app', AMD, 'v1')
  await using app = await startTestApp({
    upstreams: [{ name: REGISTRY, url: registry.origin, default: true }],
  })
  const pulls = [1, 2, 3].map(() => pull(app, AMD, 'v1'))
  const brought = [1, 2].map(() => bring(app, bundleOf([{ image: AMD, tag: 'v1' }])))
  await Promise.all([...pulls, ...brought])
  await pull(app, AMD)
})

test('who goes in the middle leaves what is whole for the repetition, and publishes nothing', async () => {
  const some = Promise.withResolvers<void>()
  let committed = 0
  await using app = await startOffline({
    failAt(point) {
      if (point === 'import.committed' && ++committed === 2) some.resolve()
    },
  })
  const archive = tarOf(bundleOf([{ image: AMD, tag: 'v1' }]))
  const outgoing = await begin(app.adminUrl, archive.subarray(0, archive.length - 2000))
  await some.promise
  outgoing.destroy()
  await app.said(({ action }) => action === 'import')
  const { files, ingest, rows } = await storedIn(app)
  assert.ok(files.length >= 2)
  assert.equal(rows, files.length)
  assert.deepEqual(ingest, [])
  assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 504)
  const lines = await bring(app, archive)
  assert.deepEqual(imagesOf(lines), [`${NAME} published`])
  assert.equal(endOf(lines).addedBlobs, blobsOf([AMD]).size - files.length)
  await pull(app, AMD, 'v1')
})

test('where there is no room it says so, and nothing of it stays', async () => {
  await using app = await startOffline({ maxBytes: 200_000 })
  const before = await storedIn(app)
  const lines = await bring(app, bundleOf([{ image: AMD, tag: 'v1' }]))
  assert.equal(endOf(lines).error?.code, 'NO_ROOM')
  assert.match(endOf(lines).error?.message ?? '', /no room for \d+ bytes/)
  assert.deepEqual(await storedIn(app), before)
})

test('an error of the disk publishes nothing, and the repetition succeeds', async () => {
  let failing = true
  await using app = await startOffline({
    failAt(point) {
      if (failing && point === 'import.committed') throw new Error('injected')
    },
  })
  const archive: readonly Entry[] = bundleOf([{ image: AMD, tag: 'v1' }])
  assert.equal(endOf(await bring(app, archive)).error?.code, 'INTERNAL')
  assert.equal((await app.get('/v2/team/app/manifests/v1')).status, 504)
  failing = false
  await bring(app, archive)
  await pull(app, AMD, 'v1')
})

async function begin(origin: string, part: Buffer): Promise<ClientRequest> {
  const headers = { 'Content-Type': TAR_TYPE, 'Transfer-Encoding': 'chunked' }
  const outgoing = request(`${origin}/api/v1/import`, { method: 'POST', headers })
  outgoing.on('error', () => undefined)
  outgoing.write(part)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  answer.on('error', () => undefined).resume()
  return outgoing
}
