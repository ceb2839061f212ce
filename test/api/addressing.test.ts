import assert from 'node:assert/strict'
import { test } from 'node:test'

import { startTestApp } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { APP, codeOf, type Hub, startHub } from '../support/hub.ts'
import { buildImage } from '../support/images.ts'

test('59 a registry as the first path segment is that registry', async () => {
  await using hub = await startHub({ upstream: { default: false } })
  const got = await assertIndex(hub, '/v2/docker.io/library/app/manifests/v1')
  assert.equal(got.headers['oci-namespace'], undefined)
})

test('60 a registry before /v2, as containerd writes a host with a path, is that registry', async () => {
  await using hub = await startHub({ upstream: { default: false } })
  await assertIndex(hub, '/docker.io/v2/library/app/manifests/v1')
})

test('61 a prefix that agrees with ns is stripped once', async () => {
  await using hub = await startHub()
  const got = await assertIndex(hub, '/v2/docker.io/library/app/manifests/v1?ns=docker.io')
  assert.equal(got.headers['oci-namespace'], 'docker.io')
  const twice = await hub.app.get('/v2/docker.io/docker.io/app/manifests/v1?ns=docker.io')
  assert.equal(twice.status, 404)
  assert.equal(hub.registry.requests.at(-1)?.path, '/v2/docker.io/app/manifests/v1')
})

test('61 where ns and the prefix differ, ns decides and the path is the repository', async () => {
  await using other = await new FaultRegistry().start()
  const image = buildImage({ seed: 'other' })
  other.add('docker.io/library/app', image, 'v1')
  await using hub = await startHub()
  await hub.app.restart({
    upstreams: [
      { name: 'docker.io', url: hub.registry.origin },
      { name: 'ghcr.io', url: other.origin },
    ],
  })
  const got = await hub.app.get('/v2/docker.io/library/app/manifests/v1?ns=ghcr.io')
  assert.equal(got.status, 200)
  assert.equal(got.headers['docker-content-digest'], image.manifest.digest)
  assert.equal(hub.registry.count(), 0)
})

test('62 without ns and prefix the default upstream answers', async () => {
  await using hub = await startHub()
  const got = await assertIndex(hub, `${APP}/manifests/v1`)
  assert.equal(got.headers['oci-namespace'], undefined)
})

test('62 without a default upstream a path without a registry is NAME_UNKNOWN', async () => {
  await using hub = await startHub({ upstream: { default: false } })
  const got = await hub.app.get(`${APP}/manifests/v1`)
  assert.equal(got.status, 404)
  assert.equal(codeOf(got), 'NAME_UNKNOWN')
  assert.match(got.body.toString(), /does not begin with a registry that is configured/)
  assert.equal(hub.registry.count(), 0)
})

test('63 one segment on Docker Hub means library/, by every way in', async () => {
  await using hub = await startHub()
  await assertIndex(hub, '/v2/docker.io/app/manifests/v1')
  await assertIndex(hub, '/v2/app/manifests/v1')
  await assertIndex(hub, '/v2/app/manifests/v1?ns=docker.io')
  const paths = hub.registry.requests.map(({ path }) => path)
  assert.deepEqual(paths, ['/v2/library/app/manifests/v1'])
})

test('63 one segment on another registry stays one segment', async () => {
  await using quay = await new FaultRegistry().start()
  quay.add('app', buildImage(), 'v1')
  await using app = await startTestApp({ upstreams: [{ name: 'quay.io', url: quay.origin }] })
  assert.equal((await app.get('/v2/quay.io/app/manifests/v1')).status, 200)
})

test('64 the other names of Docker Hub share its cache', async () => {
  await using hub = await startHub()
  for (const ns of ['docker.io', 'registry-1.docker.io', 'index.docker.io', 'DOCKER.IO']) {
    const got = await assertIndex(hub, `${APP}/manifests/v1?ns=${ns}`)
    assert.equal(got.headers['oci-namespace'], ns)
  }
  assert.equal(hub.registry.count(), 1)
})

test('65 ns with a port selects the upstream with that port', async () => {
  await using mine = await new FaultRegistry().start()
  await using others = await new FaultRegistry().start()
  const image = buildImage({ seed: 'port' })
  mine.add('team/app', image, 'v1')
  await using app = await startTestApp({
    upstreams: [
      { name: 'reg.example', url: others.origin },
      { name: 'reg.example:5000', url: mine.origin },
    ],
  })
  for (const path of [
    '/v2/team/app/manifests/v1?ns=reg.example%3A5000',
    '/v2/team/app/manifests/v1?ns=reg.example:5000',
    '/v2/reg.example:5000/team/app/manifests/v1',
    '/v2/reg.example%3A5000/team/app/manifests/v1',
  ]) {
    const got = await app.get(path)
    assert.equal(got.status, 200, path)
    assert.equal(got.headers['docker-content-digest'], image.manifest.digest)
  }
  assert.equal(others.count(), 0)
})

test('66 an ns that is not configured is refused and nothing is asked', async () => {
  await using hub = await startHub()
  const port = hub.registry.port
  for (const ns of [
    '169.254.169.254',
    'localhost',
    `127.0.0.1:${port}`,
    `127.0.0.1%3A${port}`,
    'ghcr.io',
    'a/b',
    'docker.io/library',
    'docker.io.evil.example',
    '',
  ]) {
    const got = await hub.app.get(`${APP}/manifests/v1?ns=${ns}`)
    assert.equal(got.status, 404, ns)
    assert.equal(codeOf(got), 'NAME_UNKNOWN', ns)
    assert.match(got.body.toString(), /that registry is not configured in this cache/, ns)
    assert.doesNotMatch(got.body.toString(), /docker\.io/, 'the caller is not told what is there')
  }
  const twice = await hub.app.get(`${APP}/manifests/v1?ns=docker.io&ns=docker.io`)
  assert.equal(twice.status, 400)
  assert.equal(hub.registry.count(), 0)
})

test('67 a repository of the same name under two ns has its own tags and access, and shares bytes', async () => {
  await using one = await new FaultRegistry().start()
  await using two = await new FaultRegistry().start()
  await using three = await new FaultRegistry().start()
  const shared = buildImage({ seed: 'shared', layers: [4096] })
  const other = buildImage({ seed: 'other' })
  one.add('team/app', shared, 'v1')
  two.add('team/app', other, 'v1')
  two.add('team/app', shared, 'same')
  three.add('team/app', other, 'v1')
  await using app = await startTestApp({
    upstreams: [
      { name: 'one.example', url: one.origin },
      { name: 'two.example', url: two.origin },
      { name: 'three.example', url: three.origin },
    ],
  })
  const tagOf = async (ns: string) => (await app.get(`/v2/team/app/manifests/v1?ns=${ns}`)).headers
  assert.equal((await tagOf('one.example'))['docker-content-digest'], shared.manifest.digest)
  assert.equal((await tagOf('two.example'))['docker-content-digest'], other.manifest.digest)
  const [layer] = shared.layers
  const blob = `/v2/team/app/blobs/${layer?.digest}`
  assert.equal((await app.get(`${blob}?ns=one.example`)).status, 200)
  assert.equal(two.countBlobs(), 0)
  const again = await app.get(`${blob}?ns=two.example`)
  assert.equal(again.status, 200)
  assert.equal(two.countBlobs(), 0, 'the bytes are here already')
  assert.equal(two.count({ method: 'HEAD', path: /blobs/ }), 1, 'the right to them is asked for')
  for (const send of [app.get, app.head]) {
    const denied = await send(`${blob}?ns=three.example`)
    assert.equal(denied.status, 404, 'a registry that does not have it does not give it')
  }
})

async function assertIndex({ app, index }: Hub, path: string) {
  const got = await app.get(path)
  assert.equal(got.status, 200, path)
  assert.deepEqual(got.body, index.manifest.bytes)
  assert.equal(got.headers['docker-content-digest'], index.manifest.digest)
  return got
}
