import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import { send } from '../support/http-client.ts'
import type { Content } from '../support/images.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { nodeSetup } from './node-setup.ts'
import { type Podman, preparePodman } from './podman.ts'
import { PASSWORD, type RealRegistry, USER } from './real-registry.ts'
import { KINDS, makeImage, makeIndex, pullColdThenWarm, type Site, startSite } from './site.ts'
import { skopeoCopy, skopeoInspect, skopeoRaw, skopeoTags } from './skopeo.ts'

let site: Site
let containerd: Containerd
let podman: Podman
/** `host:port` of Larder, as a person writes it before a repository. */
let host: string

before(async () => {
  site = await startSite()
  host = new URL(site.larder.url).host
  containerd = await startContainerd()
  for (const kind of KINDS) await containerd.setMirror(`${kind}.test`, site.larder.url)
  const registries = KINDS.map((kind) => [`${kind}.test`, site.registries[kind].url])
  podman = await preparePodman(nodeSetup(site.larder.url, Object.fromEntries(registries)))
})

after(async () => {
  await podman?.[Symbol.asyncDispose]()
  await containerd?.[Symbol.asyncDispose]()
  await site?.close()
})

/** Digests that a client fetches of an image or of all of an index. */
function contentsOf(content: Content): { manifests: Digest[]; blobs: Digest[] } {
  const manifests = [content, ...content.children].map(({ manifest }) => manifest.digest)
  return { manifests, blobs: [...content.blobs.keys()] }
}

for (const kind of KINDS) {
  describe(`upstream ${kind}`, () => {
    let registry: RealRegistry
    before(() => {
      registry = site.registries[kind]
    })

    test('the upstream itself lets nobody in without a credential, unless it is open', async () => {
      assert.equal((await send(registry.url, '/v2/')).status, kind === 'open' ? 200 : 401)
    })

    for (const mediaTypes of ['oci', 'docker'] as const) {
      test(`skopeo copies an image by tag (${mediaTypes})`, async () => {
        const image = makeImage(`${kind} skopeo ${mediaTypes}`, mediaTypes)
        await registry.push(`team/skopeo-${mediaTypes}`, 'v1', image)
        const reference = `${host}/${kind}.test/team/skopeo-${mediaTypes}:v1`
        const pull = () => skopeoCopy(reference)
        await pullColdThenWarm({ registry, ...contentsOf(image), pull })
        assert.equal(await skopeoRaw(reference), image.manifest.bytes.toString())
      })
    }

    test('skopeo copies an image by digest', async () => {
      const image = makeImage(`${kind} skopeo by digest`)
      await registry.push('team/by-digest', 'v1', image)
      const reference = `${host}/${kind}.test/team/by-digest@${image.manifest.digest}`
      const pull = () => skopeoCopy(reference)
      await pullColdThenWarm({ registry, ...contentsOf(image), pull })
    })

    test('skopeo copies every platform of an index', async () => {
      const index = makeIndex(`${kind} skopeo index`)
      await registry.push('team/skopeo-index', 'v1', index)
      const reference = `${host}/${kind}.test/team/skopeo-index:v1`
      const pull = () => skopeoCopy(reference, '--all')
      await pullColdThenWarm({ registry, ...contentsOf(index), pull })
    })

    test('skopeo inspects an image and lists tags', async () => {
      const image = makeImage(`${kind} skopeo inspect`)
      const tags = ['v1', 'v2', 'v3']
      for (const tag of tags) await registry.push('team/inspected', tag, image)
      const repository = `${host}/${kind}.test/team/inspected`
      const { Digest, RepoTags, Layers } = await skopeoInspect(`${repository}:v2`)
      assert.equal(Digest, image.manifest.digest)
      assert.deepEqual(RepoTags.toSorted(), tags)
      assert.deepEqual(
        Layers,
        image.layers.map(({ digest }) => digest),
      )
      assert.deepEqual((await skopeoTags(repository)).toSorted(), tags)
    })

    test('ctr pulls and unpacks an image by tag', async () => {
      const image = makeImage(`${kind} ctr`)
      await registry.push('team/ctr', 'v1', image)
      const reference = `${kind}.test/team/ctr:v1`
      const expected = contentsOf(image)
      await pullColdThenWarm({
        registry,
        ...expected,
        pull: () => containerd.pull(reference),
        forget: async () => {
          const content = await containerd.listContent('default')
          assert.deepEqual(
            content.toSorted(),
            [...expected.manifests, ...expected.blobs].toSorted(),
          )
          await containerd.remove(reference)
          assert.deepEqual(await containerd.listContent('default'), [])
        },
      })
      await containerd.remove(reference)
    })

    test('ctr pulls its platform of an index by digest', async () => {
      const index = makeIndex(`${kind} ctr index`)
      await registry.push('team/ctr-index', 'v1', index)
      const [here] = index.children
      assert(here)
      const reference = `${kind}.test/team/ctr-index@${index.manifest.digest}`
      await pullColdThenWarm({
        registry,
        manifests: [index.manifest.digest, here.manifest.digest],
        blobs: [...here.blobs.keys()],
        pull: () => containerd.pull(reference),
        forget: () => containerd.remove(reference),
      })
      await containerd.remove(reference)
    })

    test('the CRI pulls an image as the kubelet asks for it', async () => {
      const index = makeIndex(`${kind} cri`)
      await registry.push('team/cri', 'v1', index)
      const [here] = index.children
      assert(here)
      const reference = `${kind}.test/team/cri:v1`
      await pullColdThenWarm({
        registry,
        manifests: [index.manifest.digest, here.manifest.digest],
        blobs: [...here.blobs.keys()],
        pull: async () => {
          assert.equal(await containerd.cri.pullImage(reference), here.config.digest)
        },
        forget: async () => {
          await containerd.cri.removeImage(reference)
          assert.deepEqual(await containerd.listContent('k8s.io'), [])
        },
      })
      await containerd.cri.removeImage(reference)
    })

    test('podman pulls from a mirror in registries.conf', async () => {
      const image = makeImage(`${kind} podman mirror`)
      await registry.push('team/podman-mirror', 'v1', image)
      const reference = `${kind}.test/team/podman-mirror:v1`
      await pullColdThenWarm({
        registry,
        ...contentsOf(image),
        pull: async () => assert.equal(await podman.pull(reference), image.manifest.digest),
        forget: () => podman.remove(reference),
      })
    })

    test('podman pulls by prefix', async () => {
      const index = makeIndex(`${kind} podman prefix`)
      await registry.push('team/podman-prefix', 'v1', index)
      const [here] = index.children
      assert(here)
      const reference = `${host}/${kind}.test/team/podman-prefix:v1`
      await pullColdThenWarm({
        registry,
        manifests: [index.manifest.digest, here.manifest.digest],
        blobs: [...here.blobs.keys()],
        pull: () => podman.pull(reference),
        forget: () => podman.remove(reference),
      })
    })

    test('latest is asked for again, but never fetched again', async () => {
      const image = makeImage(`${kind} latest`)
      await registry.push('team/latest', 'latest', image)
      const reference = `${kind}.test/team/latest:latest`
      await pullColdThenWarm({
        registry,
        ...contentsOf(image),
        pull: () => containerd.pull(reference),
        forget: () => containerd.remove(reference),
        warm: 'revalidation',
      })
      await containerd.remove(reference)
    })

    test('a moved latest is noticed', async () => {
      const reference = `${host}/${kind}.test/team/moving:latest`
      for (const seed of ['before', 'after']) {
        const image = makeImage(`${kind} moving ${seed}`)
        await registry.push('team/moving', 'latest', image)
        assert.equal((await skopeoInspect(reference)).Digest, image.manifest.digest)
      }
    })

    test('what the upstream does not have is not found, and the client says so', async () => {
      await assert.rejects(skopeoRaw(`${host}/${kind}.test/team/absent:v1`), /unknown/)
      await assert.rejects(containerd.pull(`${kind}.test/team/absent:v1`), /not found/)
    })
  })
}

test('one token is enough for a whole pull', async () => {
  const registry = site.registries.token
  const index = makeIndex('one token')
  await registry.push('team/one-token', 'v1', index)
  const server = registry.tokens?.server
  assert(server)
  server.forget()
  await skopeoCopy(`${host}/token.test/team/one-token:v1`, '--all')
  assert.equal(server.count(), 1)
})

test('what one upstream has is not to be had under another name', async () => {
  await site.registries.htpasswd.push('team/private', 'v1', makeImage('private'))
  await skopeoCopy(`${host}/htpasswd.test/team/private:v1`)
  for (const registry of ['open.test', 'unknown.test']) {
    await assert.rejects(skopeoRaw(`${host}/${registry}/team/private:v1`), /unknown/)
  }
})

test('no password is in the log or in the metrics', async () => {
  const encoded = Buffer.from(`${USER}:${PASSWORD}`).toString('base64')
  const { body } = await send(site.larder.adminUrl, '/metrics')
  assert.match(body.toString(), /larder_requests_total/)
  for (const text of [JSON.stringify(site.larder.logs()), body.toString()]) {
    assert.equal(text.includes(PASSWORD) || text.includes(encoded), false)
  }
})
