import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'

import { digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST } from '../../src/oci/media-types.ts'
import { buildArtifact, buildImage, buildIndex, seededBytes } from './images.ts'
import { tarLayer } from './tar.ts'

test('the same seed makes the same image, another seed another one', () => {
  const options = { layers: [10, 2000], seed: 'x' }
  assert.deepEqual(buildImage(options), buildImage(options))
  const [a, b] = [buildImage(options), buildImage({ ...options, seed: 'y' })]
  assert.notEqual(a.manifest.digest, b.manifest.digest)
  assert.deepEqual(seededBytes('s', 100), seededBytes('s', 200).subarray(0, 100))
})

test('every blob that a manifest names is there, with its size and digest', () => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const image = buildImage({ layers: [0, 1, 5000], algorithm })
    const { blobs, mediaType } = parseManifest(image.manifest.bytes, image.manifest.mediaType)
    assert.equal(mediaType, image.manifest.mediaType)
    assert.equal(blobs.length, 4)
    for (const { digest, size } of blobs) {
      const bytes = image.blobs.get(digest)
      assert.equal(bytes?.length, size)
      assert.equal(digestOf(bytes ?? Buffer.alloc(0), algorithm), digest)
    }
    assert.equal(digestOf(image.manifest.bytes, algorithm), image.manifest.digest)
  }
})

test('Docker media types, for an image and for a list', () => {
  const image = buildImage({ mediaTypes: 'docker', layers: [tarLayer({ a: 'b' })] })
  const list = buildIndex([image], { mediaTypes: 'docker' })
  assert.equal(image.manifest.mediaType, DOCKER_MANIFEST)
  assert.equal(image.layers[0]?.mediaType, 'application/vnd.docker.image.rootfs.diff.tar.gzip')
  const { manifests, mediaType } = parseManifest(list.manifest.bytes, DOCKER_LIST)
  assert.equal(mediaType, DOCKER_LIST)
  assert.equal(manifests[0]?.digest, image.manifest.digest)
  assert.equal(manifests[0]?.platform?.architecture, 'amd64')
})

test('an artifact names its subject and its type', () => {
  const subject = buildImage().descriptor
  const artifact = buildArtifact({ artifactType: 'application/x.sig', subject })
  const parsed = parseManifest(artifact.manifest.bytes, undefined)
  assert.equal(parsed.subject?.digest, subject.digest)
  assert.equal(parsed.artifactType, 'application/x.sig')
  assert.equal(artifact.descriptor.artifactType, 'application/x.sig')
})

test('a layer is an archive that tar reads, named by the digest of what is unpacked', () => {
  const layer = tarLayer({ 'etc/motd': 'hello', empty: '', big: Buffer.alloc(1000, 'x') })
  const read = (...flags: string[]) =>
    execFileSync('tar', [...flags], { input: layer, encoding: 'utf8' })
  assert.deepEqual(read('-tzf', '-').trim().split('\n'), ['etc/motd', 'empty', 'big'])
  assert.equal(read('-xzOf', '-', 'etc/motd'), 'hello')
  const image = buildImage({ layers: [layer] })
  const config = image.blobs.get(image.config.digest)?.toString() ?? ''
  assert.match(config, new RegExp(digestOf(gunzipSync(layer))))
})
