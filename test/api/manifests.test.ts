import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { answer } from '../support/faults.ts'
import type { ClientResponse } from '../support/http-client.ts'
import { APP, codeOf, type Hub, startHub } from '../support/hub.ts'
import { type BuiltManifest, buildArtifact, buildImage } from '../support/images.ts'

const CONTAINERD =
  'application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*'

test('3 HEAD of a tag as containerd sends it has every header and no body', async () => {
  await using hub = await startHub()
  for (const state of ['cold', 'warm']) {
    const got = await hub.app.head(`${APP}/manifests/v1?ns=docker.io`, {
      headers: { Accept: CONTAINERD },
    })
    assert.equal(got.status, 200, state)
    assert.equal(got.body.length, 0)
    assertDescribes(got, hub.index.manifest)
    assert.equal(got.headers['oci-namespace'], 'docker.io')
  }
})

test('4 GET of a tag has the headers of HEAD and the bytes of the registry', async () => {
  await using hub = await startHub()
  const path = `${APP}/manifests/v1?ns=docker.io`
  const cold = await hub.app.get(path, { headers: { Accept: CONTAINERD } })
  assertServes(cold, hub.index.manifest)
  const warm = await hub.app.get(path, { headers: { Accept: CONTAINERD } })
  assertServes(warm, hub.index.manifest)
  const head = await hub.app.head(path, { headers: { Accept: CONTAINERD } })
  assert.deepEqual(stable(head), stable(warm))
  assert.equal(hub.registry.countManifests('GET'), 1)
  assert.match(String(cold.headers['cache-status']), /^larder; fwd=miss/)
  assert.match(String(warm.headers['cache-status']), /^larder; hit/)
})

test('5 six Accept lines, as containers-image sends them, are as good as one', async () => {
  await using hub = await startHub()
  const Accept = [
    OCI_MANIFEST,
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/vnd.docker.distribution.manifest.v1+json',
    DOCKER_LIST,
    OCI_INDEX,
  ]
  assertServes(
    await hub.app.get(`${APP}/manifests/v1`, { headers: { Accept } }),
    hub.index.manifest,
  )
})

test('6 without Accept and with any type, the index is served as it is stored', async () => {
  await using hub = await startHub()
  assertServes(await hub.app.get(`${APP}/manifests/v1`), hub.index.manifest)
  const any = await hub.app.get(`${APP}/manifests/v1`, { headers: { Accept: '*/*' } })
  assertServes(any, hub.index.manifest)
  const docker = await hub.app.get(`${APP}/manifests/docker`)
  assertServes(docker, hub.dockerList.manifest)
})

test('6 what is asked of the registry does not depend on who asks', async () => {
  await using hub = await startHub()
  await hub.app.get(`${APP}/manifests/v1`, { headers: { Accept: OCI_MANIFEST } })
  const [asked] = hub.registry.requests
  for (const type of [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, '*/*']) {
    assert.ok(asked?.headers.accept?.includes(type), type)
  }
  assert.equal(asked?.headers['accept-encoding'], 'identity')
})

test('7 GET by digest with the two Accept lines of the conformance suite has no parameters', async () => {
  await using hub = await startHub()
  const { manifest } = hub.index
  const got = await hub.app.get(`${APP}/manifests/${manifest.digest}`, {
    headers: { Accept: [OCI_INDEX, OCI_MANIFEST] },
  })
  assertServes(got, manifest)
  assert.match(String(got.headers['cache-control']), /immutable/)
})

test('8 a sha512 digest is answered with the sha512 digest, cold and warm', async () => {
  await using hub = await startHub()
  const { manifest } = hub.sha512
  assert.match(manifest.digest, /^sha512:/)
  for (const state of ['cold', 'warm']) {
    const got = await hub.app.get(`${APP}/manifests/${manifest.digest}`)
    assert.equal(got.status, 200, state)
    assertServes(got, manifest)
  }
  const [layer] = hub.sha512.layers
  const blob = await hub.app.get(`${APP}/blobs/${layer?.digest}`)
  assert.deepEqual(blob.body, hub.sha512.blobs.get(layer?.digest ?? manifest.digest))
})

test('9 HEAD of an absent tag is 404 without a body', async () => {
  await using hub = await startHub()
  const got = await hub.app.head(`${APP}/manifests/absent`)
  assert.equal(got.status, 404)
  assert.equal(got.body.length, 0)
})

test('10 GET of an absent tag or digest is MANIFEST_UNKNOWN', async () => {
  await using hub = await startHub()
  for (const reference of ['absent', digestOf(Buffer.from('absent'))]) {
    const got = await hub.app.get(`${APP}/manifests/${reference}`)
    assert.equal(got.status, 404)
    assert.equal(codeOf(got), 'MANIFEST_UNKNOWN')
    assert.equal(got.headers['content-type'], 'application/json')
  }
})

test('10 a repository that the registry does not have is NAME_UNKNOWN', async () => {
  await using hub = await startHub()
  const got = await hub.app.get('/v2/library/nothing/manifests/v1')
  assert.equal(got.status, 404)
  assert.equal(codeOf(got), 'NAME_UNKNOWN')
})

test('11 12 a digest that is none is DIGEST_INVALID, and nobody is asked', async () => {
  await using hub = await startHub()
  const upper = 'A'.repeat(64)
  for (const digest of ['sha256:baddigeststring', `sha256:${upper}`, 'sha256:', ':', 'md5:00']) {
    for (const kind of ['manifests', 'blobs', 'referrers']) {
      const got = await hub.app.get(`${APP}/${kind}/${digest}`)
      assert.equal(got.status, 400, `${kind}/${digest}`)
      assert.equal(codeOf(got), 'DIGEST_INVALID')
    }
  }
  assert.equal(hub.registry.count(), 0)
})

test('13 a tag that is none is 400, and nobody is asked', async () => {
  await using hub = await startHub()
  for (const tag of ['a'.repeat(129), '.bad', '-bad', 'sp%20ace', 'a+b', '~']) {
    const got = await hub.app.get(`${APP}/manifests/${tag}`)
    assert.equal(got.status, 400, tag)
    assert.ok(codeOf(got))
  }
  assert.equal(hub.registry.count(), 0)
})

test('14 a name that is none is NAME_INVALID, and nobody is asked', async () => {
  await using hub = await startHub()
  for (const name of ['UPPER', 'a..b', 'a/-b', 'a_/b', 'a___b', `a/${'b'.repeat(300)}`]) {
    const got = await hub.app.get(`/v2/${name}/manifests/x`)
    assert.equal(got.status, 400, name)
    assert.equal(codeOf(got), 'NAME_INVALID', name)
  }
  assert.equal(hub.registry.count(), 0)
})

test('15 a repository may be called after an endpoint: the last keyword counts', async () => {
  await using hub = await startHub()
  const image = buildImage({ seed: 'odd' })
  for (const name of ['a/manifests/b', 'tags/list', 'manifests', 'v2/blobs']) {
    hub.registry.add(name.includes('/') ? name : `library/${name}`, image, 'latest')
    await assertRouted(hub, name)
  }
})

test('15 a repository may be called after uploads, too', async () => {
  await using hub = await startHub()
  hub.registry.add('a/blobs/uploads', buildImage({ seed: 'odd' }), 'latest')
  await assertRouted(hub, 'a/blobs/uploads')
})

test('33 If-None-Match with the digest is 304 without a body', async () => {
  await using hub = await startHub()
  const { digest } = hub.index.manifest
  for (const value of [`"${digest}"`, `W/"${digest}"`, `"other", "${digest}"`, '*']) {
    const headers = { 'If-None-Match': value }
    for (const send of [hub.app.get, hub.app.head]) {
      const got = await send(`${APP}/manifests/v1`, { headers })
      assert.equal(got.status, 304, value)
      assert.equal(got.body.length, 0)
      assert.equal(got.headers.etag, `"${digest}"`)
    }
  }
  const other = await hub.app.get(`${APP}/manifests/v1`, { headers: { 'If-None-Match': '"x"' } })
  assertServes(other, hub.index.manifest)
})

test('34 a Range on a manifest is ignored, cold and warm', async () => {
  await using hub = await startHub()
  for (const state of ['cold', 'warm']) {
    const got = await hub.app.get(`${APP}/manifests/v1`, { range: 'bytes=0-9' })
    assert.equal(got.status, 200, state)
    assertServes(got, hub.index.manifest)
  }
})

test('35 nothing is encoded, whatever encodings the client takes', async () => {
  await using hub = await startHub()
  const headers = { 'Accept-Encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' }
  for (const path of [
    '/v2/',
    `${APP}/manifests/v1`,
    `${APP}/manifests/v1`,
    `${APP}/blobs/${hub.blob.digest}`,
    `${APP}/tags/list`,
    `${APP}/manifests/absent`,
  ]) {
    const got = await hub.app.get(path, { headers })
    assert.equal(got.headers['content-encoding'], undefined, path)
    assert.equal(got.headers['transfer-encoding'], undefined, path)
    assert.equal(got.headers['content-length'], String(got.body.length), path)
  }
})

test('79 the tag of a signature that is not there is MANIFEST_UNKNOWN', async () => {
  await using hub = await startHub()
  const tag = `${hub.index.manifest.digest.replace(':', '-')}.sig`
  const got = await hub.app.get(`${APP}/manifests/${tag}`)
  assert.equal(got.status, 404)
  assert.equal(codeOf(got), 'MANIFEST_UNKNOWN')
})

test('84 manifests of 3.9 MB and of exactly 4 MiB are served, a larger one is 502', async () => {
  await using hub = await startHub()
  const limit = 4 * 1024 * 1024
  for (const [tag, size, status] of [
    ['large', 3_900_000, 200],
    ['full', limit, 200],
    ['over', limit + 1, 502],
  ] as const) {
    const manifest = manifestOfSize(size)
    hub.registry.content.putManifest('library/app', manifest, tag)
    const got = await hub.app.get(`${APP}/manifests/${tag}`)
    assert.equal(got.status, status, tag)
    if (status === 200) assertServes(got, manifest)
    assert.equal((await hub.app.head(`${APP}/manifests/${tag}`)).status, status, tag)
  }
})

test('a manifest of any artifactType is served as it is', async () => {
  await using hub = await startHub()
  const chart = buildArtifact({ artifactType: 'application/vnd.cncf.helm.config.v1+json' })
  hub.registry.add('library/app', chart, 'chart')
  assertServes(await hub.app.get(`${APP}/manifests/chart`), chart.manifest)
})

test('a manifest whose bytes or type are not what was promised is 502 and is not kept', async () => {
  await using hub = await startHub()
  const { digest, bytes, mediaType } = hub.index.manifest
  const type = { 'content-type': mediaType, 'docker-content-digest': digest }
  const lies = [
    answer(200, type, Buffer.concat([bytes, Buffer.from(' ')])),
    answer(200, { ...type, 'docker-content-digest': digestOf(Buffer.from('x')) }, bytes),
    answer(200, { 'content-type': OCI_MANIFEST, 'docker-content-digest': digest }, bytes),
    answer(200, { 'content-type': 'text/html' }, '<html>log in</html>'),
  ]
  for (const lie of lies) {
    hub.registry.clearScripts()
    hub.registry.script({ path: /manifests/ }, lie)
    const got = await hub.app.get(`${APP}/manifests/v1`)
    assert.equal(got.status, 502)
    assert.equal(got.headers['docker-content-digest'], undefined)
  }
  hub.registry.clearScripts()
  assertServes(await hub.app.get(`${APP}/manifests/v1`), hub.index.manifest)
})

test('a tag asked for by many at once is asked for once', async () => {
  await using hub = await startHub()
  const held = hub.registry.hold({ path: /manifests/ })
  const pulls = Array.from({ length: 20 }, () => hub.app.get(`${APP}/manifests/v1`))
  await held.arrived()
  await hub.app.until('larder_http_requests_in_flight', 20)
  held.release()
  for (const got of await Promise.all(pulls)) assertServes(got, hub.index.manifest)
  assert.equal(hub.registry.count(), 1)
})

async function assertRouted({ app }: Hub, name: string): Promise<void> {
  assert.equal((await app.get(`/v2/${name}/manifests/latest`)).status, 200, name)
  const tags = await app.get(`/v2/${name}/tags/list`)
  assert.deepEqual(JSON.parse(tags.body.toString()), { name, tags: ['latest'] })
}

function manifestOfSize(size: number): BuiltManifest {
  const { bytes, mediaType } = buildImage({ seed: 'large', annotations: { filler: '' } }).manifest
  const filler = 'x'.repeat(size - bytes.length)
  const filled = Buffer.from(bytes.toString().replace('"filler":""', `"filler":"${filler}"`))
  assert.equal(filled.length, size)
  return { bytes: filled, mediaType, digest: digestOf(filled) }
}

function assertDescribes(got: ClientResponse, manifest: BuiltManifest): void {
  assert.equal(got.status, 200)
  assert.equal(got.headers['docker-content-digest'], manifest.digest)
  assert.equal(got.headers['content-length'], String(manifest.bytes.length))
  assert.equal(got.headers['content-type'], manifest.mediaType)
  assert.equal(got.headers.etag, `"${manifest.digest}"`)
  assert.equal(got.headers['docker-distribution-api-version'], 'registry/2.0')
}

function assertServes(got: ClientResponse, manifest: BuiltManifest): void {
  assertDescribes(got, manifest)
  assert.deepEqual(got.body, manifest.bytes)
}

/** Headers without those that differ from one request to the next. */
function stable({ headers }: ClientResponse) {
  const { date: _date, age: _age, 'x-request-id': _id, ...rest } = headers
  return rest
}
