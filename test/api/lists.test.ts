import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Descriptor } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX } from '../../src/oci/media-types.ts'
import { IMPATIENT, type TestApp } from '../support/app.ts'
import { answer, hangUp } from '../support/faults.ts'
import { APP, codeOf, startHub } from '../support/hub.ts'
import { buildArtifact, buildImage, type Image } from '../support/images.ts'

const TAGS = ['v1', 'docker', 'sha512']
const SORTED = [...TAGS].sort()

test('68 tags are listed in byte order under the name the client used', async () => {
  await using hub = await startHub()
  hub.registry.add('library/app', buildImage(), 'Z', 'a', '_x', '10', '9')
  for (const name of ['library/app', 'app', 'docker.io/library/app']) {
    const got = await hub.app.get(`/v2/${name}/tags/list`)
    assert.equal(got.status, 200)
    assert.equal(got.headers['content-type'], 'application/json')
    const tags = ['10', '9', 'Z', '_x', 'a', 'docker', 'sha512', 'v1']
    assert.deepEqual(JSON.parse(got.body.toString()), { name, tags })
    assert.equal(got.headers['link'], undefined)
  }
  const head = await hub.app.head(`${APP}/tags/list`)
  assert.equal(head.status, 200)
  assert.equal(head.body.length, 0)
})

test('68 a registry that answers null or no tags is answered with an empty array', async () => {
  await using hub = await startHub()
  const bodies = ['{"name":"library/app","tags":null}', '{"name":"library/app"}']
  for (const [i, body] of bodies.entries()) {
    hub.registry.clearScripts()
    hub.registry.script({ path: /tags/ }, answer(200, { 'content-type': 'application/json' }, body))
    const got = await hub.app.get(`/v2/library/empty${i}/tags/list`)
    assert.deepEqual(tagsOf(got), [])
  }
})

test('69 following Link from page to page gives every tag once', async () => {
  await using hub = await startHub({ registry: { pageSize: 3 } })
  const names = Array.from({ length: 7 }, (_, i) => `t${i}`)
  hub.registry.add('library/app', buildImage(), ...names)
  for (const query of ['n=2', 'n=2&ns=docker.io', 'ns=docker.io&n=1', 'n=3&last=docker']) {
    const pages = await follow(hub.app, `${APP}/tags/list?${query}`)
    const size = Number(new URLSearchParams(query).get('n'))
    for (const page of pages.slice(0, -1)) assert.equal(page.length, size)
    const expected = [...SORTED, ...names].sort()
    const last = new URLSearchParams(query).get('last')
    const wanted = last === null ? expected : expected.filter((tag) => tag > last)
    assert.deepEqual(pages.flat(), wanted, query)
  }
})

test('69 a last page that is just full has no Link', async () => {
  await using hub = await startHub()
  const got = await hub.app.get(`${APP}/tags/list?n=3`)
  assert.deepEqual(tagsOf(got), SORTED)
  assert.equal(got.headers['link'], undefined)
})

test('70 n=0 is an empty list without Link', async () => {
  await using hub = await startHub()
  const got = await hub.app.get(`${APP}/tags/list?n=0`)
  assert.deepEqual(tagsOf(got), [])
  assert.equal(got.headers['link'], undefined)
})

test('70 an n that is no number is 400', async () => {
  await using hub = await startHub()
  for (const n of ['abc', '-1', '1.5', '', '1e3', '99999999999999999999', '0x10']) {
    const got = await hub.app.get(`${APP}/tags/list?n=${n}`)
    assert.equal(got.status, 400, n)
    assert.ok(codeOf(got))
  }
  assert.equal(hub.registry.count(), 0)
})

test('71 last is exclusive, whether or not there is such a tag', async () => {
  await using hub = await startHub()
  const after = async (last: string) => tagsOf(await hub.app.get(`${APP}/tags/list?last=${last}`))
  assert.deepEqual(await after('docker'), ['sha512', 'v1'])
  assert.deepEqual(await after('e'), ['sha512', 'v1'])
  assert.deepEqual(await after('v1'), [])
  assert.deepEqual(await after('0'), SORTED)
})

test('72 the tags of an unknown repository are NAME_UNKNOWN', async () => {
  await using hub = await startHub()
  const got = await hub.app.get('/v2/library/nothing/tags/list')
  assert.equal(got.status, 404)
  assert.equal(codeOf(got), 'NAME_UNKNOWN')
})

test('68 a list is fresh for a while, and stale when the registry is down', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  await using hub = await startHub({ upstream: { limits: IMPATIENT } })
  await hub.app.get(`${APP}/tags/list`)
  const warm = await hub.app.get(`${APP}/tags/list?n=1`)
  assert.deepEqual(tagsOf(warm), ['docker'])
  assert.equal(warm.headers['cache-status'], 'larder; hit')
  assert.equal(hub.registry.count(), 1)
  t.mock.timers.tick(31_000)
  hub.registry.add('library/app', buildImage(), 'new')
  assert.deepEqual(tagsOf(await hub.app.get(`${APP}/tags/list?last=docker&n=1`)), ['new'])
  t.mock.timers.tick(31_000)
  hub.registry.script({}, hangUp())
  const stale = await hub.app.get(`${APP}/tags/list`)
  assert.equal(tagsOf(stale).length, 4)
  assert.match(String(stale.headers['cache-status']), /stale/)
  assert.match(stale.headers['warning'] as string, /^299 - "/)
})

test('73 referrers are an index of exactly that type, with every descriptor whole', async () => {
  await using hub = await startHub()
  const { digest } = hub.image.manifest
  const referrers = addReferrers(hub, 3)
  for (const state of ['cold', 'warm']) {
    const got = await hub.app.get(`${APP}/referrers/${digest}`)
    assert.equal(got.status, 200, state)
    assert.equal(got.headers['content-type'], OCI_INDEX)
    const { schemaVersion, mediaType, manifests } = JSON.parse(got.body.toString())
    assert.equal(schemaVersion, 2)
    assert.equal(mediaType, OCI_INDEX)
    assert.deepEqual(byDigest(manifests), byDigest(referrers.map(descriptorOf)))
  }
})

test('73 the pages of a registry are one list', async () => {
  await using hub = await startHub({ registry: { pageSize: 2 } })
  addReferrers(hub, 5)
  const got = await hub.app.get(`${APP}/referrers/${hub.image.manifest.digest}`)
  assert.equal(manifestsOf(got).length, 5)
})

test('74 a filter by artifactType is applied and said, whether or not the registry filters', async () => {
  for (const filtersReferrers of [true, false]) {
    await using hub = await startHub({ registry: { filtersReferrers } })
    addReferrers(hub, 3)
    const path = `${APP}/referrers/${hub.image.manifest.digest}`
    const filtered = await hub.app.get(`${path}?artifactType=application%2Fx.1`)
    assert.equal(filtered.headers['oci-filters-applied'], 'artifactType')
    assert.deepEqual(
      manifestsOf(filtered).map(({ artifactType }) => artifactType),
      ['application/x.1'],
    )
    const none = await hub.app.get(`${path}?artifactType=application%2Fother`)
    assert.deepEqual(manifestsOf(none), [])
    const all = await hub.app.get(path)
    assert.equal(all.headers['oci-filters-applied'], undefined)
    assert.equal(manifestsOf(all).length, 3)
  }
})

test('75 the referrers of an unknown digest are an empty index', async () => {
  await using hub = await startHub()
  const got = await hub.app.get(`${APP}/referrers/${digestOf(Buffer.from('unknown'))}`)
  assert.equal(got.status, 200)
  assert.equal(got.headers['content-type'], OCI_INDEX)
  assert.deepEqual(manifestsOf(got), [])
})

test('76 the referrers of what is no digest are 400', async () => {
  await using hub = await startHub()
  const got = await hub.app.get(`${APP}/referrers/sha256:zz`)
  assert.equal(got.status, 400)
  assert.equal(codeOf(got), 'DIGEST_INVALID')
})

test('77 without a referrers API the tag schema is read', async () => {
  await using hub = await startHub({ registry: { referrers: false } })
  const { digest } = hub.image.manifest
  const referrers = addReferrers(hub, 2)
  hub.registry.content.tagReferrers('library/app', digest, referrers)
  const got = await hub.app.get(`${APP}/referrers/${digest}`)
  assert.equal(got.status, 200)
  assert.equal(got.headers['content-type'], OCI_INDEX)
  const digests = manifestsOf(got).map((one) => one.digest)
  assert.deepEqual(digests.sort(), referrers.map(({ manifest }) => manifest.digest).sort())
})

test('77 without API and tag there are no referrers', async () => {
  await using hub = await startHub({ registry: { referrers: false } })
  const got = await hub.app.get(`${APP}/referrers/${hub.image.manifest.digest}`)
  assert.equal(got.status, 200)
  assert.deepEqual(manifestsOf(got), [])
})

test('77 without an API, a tag that cannot be asked for is no empty list', async () => {
  await using hub = await startHub({
    registry: { referrers: false },
    upstream: { limits: IMPATIENT },
  })
  hub.registry.script({ path: /manifests/ }, answer(503))
  const got = await hub.app.get(`${APP}/referrers/${hub.image.manifest.digest}`)
  assert.equal(got.status, 502)
})

test('78 referrers that cannot be asked for are a 5xx, never an empty list', async () => {
  const faults = [hangUp('rst'), answer(500), answer(503), answer(200, {}, '{}'), answer(429)]
  for (const fault of faults) {
    await using hub = await startHub({ upstream: { limits: IMPATIENT } })
    hub.registry.script({}, fault)
    const got = await hub.app.get(`${APP}/referrers/${hub.image.manifest.digest}`)
    assert.ok(got.status >= 500, String(got.status))
    assert.ok(codeOf(got))
  }
})

test('78 referrers of an offline cache are 504 unless they are known', async () => {
  await using hub = await startHub()
  addReferrers(hub, 2)
  const known = `${APP}/referrers/${hub.image.manifest.digest}`
  await hub.app.get(known)
  await hub.app.restart({ offline: true })
  assert.equal(manifestsOf(await hub.app.get(known)).length, 2)
  const unknown = await hub.app.get(`${APP}/referrers/${hub.index.manifest.digest}`)
  assert.equal(unknown.status, 504)
  assert.deepEqual(JSON.parse(unknown.body.toString()).errors[0].detail, { offline: true })
})

interface WithRegistry {
  readonly registry: { add(repository: string, content: Image): unknown }
  readonly image: Image
}

function addReferrers({ registry, image }: WithRegistry, count: number): Image[] {
  return Array.from({ length: count }, (_, i) => {
    const { platform: _platform, ...subject } = image.descriptor
    const artifactType = `application/x.${i}`
    const annotations = { number: String(i) }
    const referrer = buildArtifact({ artifactType, seed: i, subject, annotations })
    registry.add('library/app', referrer)
    return referrer
  })
}

function descriptorOf({ manifest }: Image, index: number): object {
  return {
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    artifactType: `application/x.${index}`,
    annotations: { number: String(index) },
  }
}

function byDigest(all: readonly object[]): readonly object[] {
  return [...all].sort((a, b) => ((a as Descriptor).digest < (b as Descriptor).digest ? -1 : 1))
}

function manifestsOf({ body }: { readonly body: Buffer }): Descriptor[] {
  return (JSON.parse(body.toString()) as { manifests: Descriptor[] }).manifests
}

function tagsOf({ body }: { readonly body: Buffer }): string[] {
  return (JSON.parse(body.toString()) as { tags: string[] }).tags
}

/** As clients do: relative, and with what the link says and nothing else. */
async function follow(app: TestApp, first: string): Promise<string[][]> {
  const pages: string[][] = []
  const ns = new URLSearchParams(first.split('?')[1]).get('ns')
  let path: string | undefined = first
  while (path !== undefined) {
    assert.ok(pages.length < 20, 'the links never end')
    const got = await app.get(path)
    assert.equal(got.status, 200, path)
    pages.push(tagsOf(got))
    const { link } = got.headers
    path = link === undefined ? undefined : /^<(\/v2\/[^>]*)>; rel="next"$/.exec(String(link))?.[1]
    if (link === undefined) continue
    assert.ok(path, `a relative link: ${link}`)
    const query = new URLSearchParams(path.split('?')[1])
    assert.equal(query.get('ns'), ns)
    assert.equal(query.get('last'), pages.at(-1)?.at(-1))
    assert.ok(Number(query.get('n')) > 0)
  }
  return pages
}
