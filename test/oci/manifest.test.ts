import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { digestOf } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { MAX_MANIFEST_BYTES, parseManifest } from '../../src/oci/manifest.ts'
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../src/oci/media-types.ts'
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts'

const digest = digestOf(Buffer.from('x'))
const descriptor = { mediaType: 'application/x', digest, size: 5 }
const image = {
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: descriptor,
  layers: [descriptor],
}
const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] }

test('an image lists its config and its layers', () => {
  for (const mediaTypes of ['oci', 'docker'] as const) {
    const built = buildImage({ mediaTypes, layers: [10, 20] })
    const parsed = parseManifest(built.manifest.bytes, built.manifest.mediaType)
    assert.equal(parsed.mediaType, mediaTypes === 'oci' ? OCI_MANIFEST : DOCKER_MANIFEST)
    assert.deepEqual(parsed.blobs, [built.config, ...built.layers])
    assert.deepEqual(parsed.manifests, [])
    assert.equal(parsed.subject, undefined)
    assert.equal(parsed.artifactType, built.config.mediaType)
  }
})

test('an index lists its manifests, with their platforms', () => {
  for (const mediaTypes of ['oci', 'docker'] as const) {
    const platform = { architecture: 'arm', os: 'linux', variant: 'v7' }
    const built = buildIndex([buildImage(), buildImage({ seed: 1, platform })], { mediaTypes })
    const parsed = parseManifest(built.manifest.bytes, built.manifest.mediaType)
    assert.equal(parsed.mediaType, mediaTypes === 'oci' ? OCI_INDEX : DOCKER_LIST)
    assert.deepEqual(
      parsed.manifests,
      built.children.map((child) => child.descriptor),
    )
    assert.deepEqual(parsed.manifests[1]?.platform, platform)
    assert.deepEqual(parsed.blobs, [])
    assert.equal(parsed.artifactType, undefined)
  }
})

test('an artifact has its type, its subject and its annotations', () => {
  const subject = buildImage().descriptor
  const annotations = { 'org.example.key': 'value' }
  const built = buildArtifact({ artifactType: 'application/x.sbom', subject, annotations })
  const parsed = parseManifest(built.manifest.bytes, OCI_MANIFEST)
  assert.equal(parsed.artifactType, 'application/x.sbom')
  assert.equal(parsed.subject?.digest, subject.digest)
  assert.deepEqual(parsed.annotations, annotations)
})

test('a manifest of ORAS lists its blobs', () => {
  const bytes = json({ mediaType: OCI_ARTIFACT, artifactType: 'a/b', blobs: [descriptor] })
  assert.deepEqual(parseManifest(bytes, OCI_ARTIFACT).blobs, [descriptor])
})

test('schema 1 lists its layers, whose sizes it does not know', () => {
  const document = { schemaVersion: 1, fsLayers: [{ blobSum: digest }] }
  const signed = { ...document, signatures: [] }
  assert.equal(parseManifest(json(document), undefined).mediaType, DOCKER_SCHEMA1)
  assert.equal(parseManifest(json(signed), 'application/json').mediaType, DOCKER_SCHEMA1_SIGNED)
  const [layer] = parseManifest(json(signed), DOCKER_SCHEMA1_SIGNED).blobs
  assert.equal(layer?.digest, digest)
  assert.equal(layer?.size, -1)
  assert.match(problemOf(json({ schemaVersion: 1, fsLayers: [{}] }), DOCKER_SCHEMA1), /digest/)
})

test('without a mediaType the type it was served with, or its shape, decides', () => {
  const { mediaType: _image, ...bareImage } = image
  const { mediaType: _index, ...bareIndex } = index
  assert.equal(parseManifest(json(bareImage), OCI_MANIFEST).mediaType, OCI_MANIFEST)
  assert.equal(parseManifest(json(bareIndex), DOCKER_LIST).mediaType, DOCKER_LIST)
  for (const served of [undefined, 'application/json', 'text/plain', 'application/octet-stream']) {
    assert.equal(parseManifest(json(bareImage), served).mediaType, OCI_MANIFEST)
    assert.equal(parseManifest(json(bareIndex), served).mediaType, OCI_INDEX)
  }
  assert.match(problemOf(json({}), undefined), /no known media type/)
})

test('an image that is also an index is refused', () => {
  for (const document of [
    { ...image, manifests: [descriptor] },
    { ...index, layers: [descriptor] },
    { ...index, config: descriptor },
    { ...index, layers: [] },
    { ...image, manifests: [] },
    { ...image, manifests: null },
    { schemaVersion: 2, config: descriptor, layers: [], manifests: [] },
  ]) {
    for (const served of [OCI_MANIFEST, OCI_INDEX, undefined]) {
      assert.ok(problemOf(json(document), served), JSON.stringify(document))
    }
  }
})

test('a document that is not what its type says is refused', () => {
  const { mediaType: _image, ...bareImage } = image
  const { mediaType: _index, ...bareIndex } = index
  assert.ok(problemOf(json(bareImage), OCI_INDEX))
  assert.ok(problemOf(json(bareIndex), OCI_MANIFEST))
  assert.match(problemOf(json(image), DOCKER_MANIFEST), /served as/)
  assert.match(problemOf(json(image), OCI_INDEX), /served as/)
  assert.match(problemOf(json(index), OCI_MANIFEST), /served as/)
  assert.ok(problemOf(json({ ...image, mediaType: 5 }), OCI_MANIFEST))
})

test('a manifest of 4 MiB is read, a larger one refused', () => {
  const filled = (size: number) => {
    const bare = json({ ...image, annotations: { filler: '' } })
    const filler = 'x'.repeat(size - bare.length)
    return json({ ...image, annotations: { filler } })
  }
  assert.equal(filled(MAX_MANIFEST_BYTES).length, 4 * 1024 * 1024)
  assert.equal(parseManifest(filled(MAX_MANIFEST_BYTES), OCI_MANIFEST).mediaType, OCI_MANIFEST)
  assert.match(problemOf(filled(MAX_MANIFEST_BYTES + 1), OCI_MANIFEST), /4 MiB/)
})

test('nesting that would exhaust a stack is refused before it is parsed', () => {
  const nested = (depth: number, open: string, close: string) =>
    `{"schemaVersion":2,"config":${JSON.stringify(descriptor)},"x":${open.repeat(depth)}1${close.repeat(depth)}}`
  assert.ok(parseManifest(Buffer.from(nested(20, '[', ']')), OCI_MANIFEST))
  for (const depth of [40, 100_000]) {
    assert.match(problemOf(Buffer.from(nested(depth, '[', ']')), OCI_MANIFEST), /deep/)
    assert.match(problemOf(Buffer.from(nested(depth, '{"a":', '}')), OCI_MANIFEST), /deep/)
  }
  const text = json({ ...image, annotations: { a: `${'['.repeat(100)}\\"${'{'.repeat(100)}` } })
  assert.ok(parseManifest(text, OCI_MANIFEST), 'brackets in a text are not nesting')
})

test('entries that are no descriptors, and too many of them, are refused', () => {
  const bad = [
    null,
    5,
    'text',
    [],
    {},
    { ...descriptor, digest: 'sha256:00' },
    { ...descriptor, digest: undefined },
    { ...descriptor, digest: digest.toUpperCase() },
    { ...descriptor, size: -1 },
    { ...descriptor, size: 1.5 },
    { ...descriptor, size: '5' },
    { ...descriptor, size: 2 ** 53 },
    { ...descriptor, mediaType: 5 },
  ]
  for (const entry of bad) {
    assert.ok(problemOf(json({ ...image, layers: [entry] }), OCI_MANIFEST), JSON.stringify(entry))
    assert.ok(problemOf(json({ ...index, manifests: [entry] }), OCI_INDEX), JSON.stringify(entry))
    if (entry === null) continue
    assert.ok(problemOf(json({ ...image, config: entry }), OCI_MANIFEST), JSON.stringify(entry))
  }
  assert.ok(problemOf(json({ ...image, layers: {} }), OCI_MANIFEST))
  const many = Array.from({ length: 10_001 }, () => ({ ...descriptor }))
  assert.match(problemOf(json({ ...index, manifests: many }), OCI_INDEX), /10000/)
})

test('what a descriptor may say besides is kept only in its right form', () => {
  const urls = ['https://a.example/', 5]
  const annotations = { good: 'text', bad: 5 }
  const platform = { architecture: 'amd64', os: 'windows', 'os.version': '10', variant: 5 }
  const layer = { ...descriptor, urls, annotations, platform, artifactType: 5, more: true }
  const [, parsed] = parseManifest(json({ ...image, layers: [layer] }), OCI_MANIFEST).blobs
  assert.deepEqual(parsed, {
    ...descriptor,
    urls: ['https://a.example/'],
    annotations: { good: 'text' },
    platform: { architecture: 'amd64', os: 'windows', 'os.version': '10' },
  })
})

test('keys that objects have are data', () => {
  const text = JSON.stringify({ ...image, annotations: {} }).replace(
    '"annotations":{}',
    '"annotations":{"__proto__":"polluted","constructor":"x"},"__proto__":{"subject":1}',
  )
  const parsed = parseManifest(Buffer.from(text), OCI_MANIFEST)
  assert.deepEqual(Object.keys(parsed.annotations).sort(), ['__proto__', 'constructor'])
  assert.equal(({} as Record<string, unknown>)['subject'], undefined)
})

test('what is not UTF-8 or JSON, or not an object, is refused', () => {
  for (const bytes of [
    Buffer.from([0xff, 0xfe, 0x7b, 0x7d]),
    Buffer.from('{"schemaVersion":2,"x":"\xff"}', 'latin1'),
    ...['', '{', '[]', 'null', '5', '"text"', '{}{}', '<html>', '\0'].map((text) =>
      Buffer.from(text),
    ),
  ]) {
    assert.ok(problemOf(bytes, OCI_MANIFEST), bytes.toString())
  }
})

test('nothing that is thrown at it makes it throw anything but MANIFEST_INVALID', () => {
  const key = fc.constantFrom(
    ...[
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'blobs',
      'subject',
      'digest',
    ],
    ...[
      'size',
      'annotations',
      'platform',
      'artifactType',
      'urls',
      'fsLayers',
      'blobSum',
      '__proto__',
    ],
  )
  const value = fc.constantFrom<unknown>(
    ...[2, 1, -1, 0.5, null, true, '', 'text', digest, OCI_MANIFEST, OCI_INDEX, DOCKER_SCHEMA1],
    ...[[], {}, descriptor, [descriptor], [null], [[]]],
  )
  const { document } = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      value,
      tie('document'),
      fc.array(tie('node'), { maxLength: 3 }),
    ),
    document: fc.dictionary(key, tie('node'), { maxKeys: 6 }),
  }))
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((text) => Buffer.from(text)),
    document.map(json),
    fc
      .tuple(fc.constantFrom(image, index), document)
      .map(([base, more]) => json({ ...base, ...(more as object) })),
  )
  const served = fc.constantFrom(
    undefined,
    OCI_MANIFEST,
    OCI_INDEX,
    DOCKER_LIST,
    DOCKER_SCHEMA1,
    'x/y',
  )
  fc.assert(
    fc.property(bytes, served, (input, contentType) => {
      try {
        const { manifests, blobs } = parseManifest(input, contentType)
        assert.ok(manifests.length === 0 || blobs.length === 0, 'an image and an index at once')
      } catch (error) {
        assert.ok(error instanceof RegistryError, String(error))
        assert.equal(error.code, 'MANIFEST_INVALID')
      }
    }),
    { numRuns: 5000 },
  )
})

/** What it says is wrong; empty when it takes the document. */
function problemOf(bytes: Uint8Array, contentType: string | undefined): string {
  try {
    parseManifest(bytes, contentType)
    return ''
  } catch (error) {
    assert.ok(error instanceof RegistryError, String(error))
    assert.equal(error.code, 'MANIFEST_INVALID')
    return error.message
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
