import assert from 'node:assert/strict'
import { test } from 'node:test'

import { type Reached, type WalkSource, walk } from '../../src/airgap/walk.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type Manifest, parseManifest } from '../../src/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { parsePlatform } from '../../src/oci/platform.ts'

class Documents implements WalkSource {
  readonly asked: Digest[] = []
  readonly #manifests = new Map<Digest, Manifest>()
  readonly #referrers = new Map<Digest, { digest: Digest; size: number; mediaType: string }[]>()

  add(document: object) {
    const bytes = Buffer.from(JSON.stringify(document))
    const manifest = parseManifest(bytes, undefined)
    const descriptor = {
      digest: digestOf(bytes),
      size: bytes.length,
      mediaType: manifest.mediaType,
    }
    this.#manifests.set(descriptor.digest, manifest)
    if (manifest.subject !== undefined) {
      const { digest } = manifest.subject
      this.#referrers.set(digest, [...(this.#referrers.get(digest) ?? []), descriptor])
    }
    return descriptor
  }

  remove(digest: Digest): void {
    this.#manifests.delete(digest)
  }

  async manifest({ digest }: { readonly digest: Digest }): Promise<Manifest | undefined> {
    this.asked.push(digest)
    return this.#manifests.get(digest)
  }

  async referrers(digest: Digest) {
    return this.#referrers.get(digest) ?? []
  }
}

function blob(text: string) {
  const bytes = Buffer.from(text)
  return { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length }
}

function imageOf(name: string, rest: object = {}) {
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: blob(`${name} config`),
    layers: [blob('shared layer'), blob(`${name} layer`)],
    ...rest,
  }
}

function site() {
  const documents = new Documents()
  const amd = documents.add(imageOf('amd'))
  const arm = documents.add(imageOf('arm'))
  const platform = (text: string) => ({ platform: parsePlatform(text) })
  const index = documents.add({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [
      { ...amd, ...platform('linux/amd64') },
      { ...arm, ...platform('linux/arm64') },
    ],
  })
  return { documents, amd, arm, index }
}

async function collect(steps: AsyncIterable<Reached>): Promise<Reached[]> {
  return Array.fromAsync(steps)
}

test('an index is walked to the last layer of every platform, what is shared once', async () => {
  const { documents, index, amd, arm } = site()
  const reached = await collect(walk(index, 'all', documents))
  const digests = reached.map(({ descriptor }) => descriptor.digest)
  assert.equal(new Set(digests).size, digests.length)
  assert.equal(digests.length, 3 + 5)
  assert.equal(digests[0], index.digest)
  assert.ok(digests.indexOf(amd.digest) < digests.indexOf(blob('amd config').digest))
  const armLayer = reached.find(({ descriptor }) => descriptor.digest === blob('arm layer').digest)
  assert.equal(armLayer?.platform?.architecture, 'arm64')
  assert.equal(armLayer?.parent, arm.digest)
})

test('only the chosen platforms are walked', async () => {
  const { documents, index, arm } = site()
  const wanted = [parsePlatform('linux/amd64') ?? assert.fail()]
  const reached = await collect(walk(index, wanted, documents))
  assert.equal(reached.length, 2 + 3)
  assert.ok(!documents.asked.includes(arm.digest))
})

test('a manifest that cannot be had is told of, and the walk goes on', async () => {
  const { documents, index, amd } = site()
  documents.remove(amd.digest)
  const reached = await collect(walk(index, 'all', documents))
  const missing = reached.filter(({ kind, manifest }) => kind === 'manifest' && !manifest)
  assert.deepEqual(
    missing.map(({ descriptor }) => descriptor.digest),
    [amd.digest],
  )
  assert.equal(reached.length, 3 + 3)
})

test('what points at an image comes with it, and what points at that too', async () => {
  const { documents, index, amd } = site()
  const signature = documents.add(imageOf('signature', { subject: amd }))
  const countersignature = documents.add(imageOf('counter', { subject: signature }))
  const reached = await collect(walk(index, 'all', documents))
  const referrers = reached.filter(({ isReferrer }) => isReferrer)
  for (const { digest } of [signature, countersignature]) {
    assert.ok(referrers.some(({ descriptor }) => descriptor.digest === digest))
  }
  // The shared layer was the image's before.
  assert.equal(referrers.length, 2 + 4)
  const layer = referrers.find(({ parent }) => parent === signature.digest)
  assert.equal(layer?.descriptor.digest, blob('signature config').digest)
})

test('an index within indexes without end is walked for a while, not for ever', async () => {
  const documents = new Documents()
  let inner = documents.add(imageOf('deep'))
  for (let depth = 0; depth < 50; depth++) {
    inner = documents.add({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [inner] })
  }
  const reached = await collect(walk(inner, 'all', documents))
  assert.ok(reached.length < 20, `${reached.length}`)
  assert.equal(reached.at(-1)?.manifest, undefined)
})
