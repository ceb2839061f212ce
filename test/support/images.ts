import { createCipheriv, createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'

import type { Descriptor, Platform } from '../../src/oci/descriptor.ts'
import { type Algorithm, type Digest, digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-types.ts'

/** A manifest's bytes, as a registry serves them. */
export interface BuiltManifest {
  readonly bytes: Buffer
  readonly mediaType: string
  readonly digest: Digest
}

/** A manifest with everything that it names. */
export interface Content {
  readonly manifest: BuiltManifest
  /** What names the manifest: for an index, or as a subject. */
  readonly descriptor: Descriptor
  /** Of an index; empty for an image. */
  readonly children: readonly Content[]
  /** The manifest's own blobs, and those of its children. */
  readonly blobs: ReadonlyMap<Digest, Buffer>
}

export interface Image extends Content {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ManifestOptions {
  readonly mediaTypes?: 'oci' | 'docker'
  /** Of the manifest and of what it names. */
  readonly algorithm?: Algorithm
  readonly annotations?: Readonly<Record<string, string>>
  readonly subject?: Descriptor
  readonly artifactType?: string
}

export interface ImageOptions extends ManifestOptions {
  /** Bytes as they are (a `tarLayer` can be unpacked), or how many bytes to make from the seed. */
  readonly layers?: readonly (Buffer | number)[]
  readonly seed?: string | number
  readonly platform?: Platform
}

const LINUX: Platform = { architecture: 'amd64', os: 'linux' }
const TYPES = {
  oci: {
    manifest: OCI_MANIFEST,
    index: OCI_INDEX,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar',
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: DOCKER_MANIFEST,
    index: DOCKER_LIST,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const

/** A true image; the same options make the same bytes. */
export function buildImage(options: ImageOptions = {}): Image {
  const { seed = 0, platform = LINUX, algorithm = 'sha256' } = options
  const types = TYPES[options.mediaTypes ?? 'oci']
  const layers = (options.layers ?? [1024]).map((layer, i) =>
    typeof layer === 'number' ? seededBytes(`${seed}/${i}`, layer) : layer,
  )
  const config = json({
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    created: '2020-01-01T00:00:00Z',
    config: { Labels: { seed: String(seed) } },
    rootfs: { type: 'layers', diff_ids: layers.map(diffId) },
  })
  const blobs = new Map<Digest, Buffer>()
  const add = (bytes: Buffer, mediaType: string) => describe(bytes, mediaType, algorithm, blobs)
  const parts = {
    config: add(config, types.config),
    layers: layers.map((layer) => add(layer, isGzip(layer) ? types.gzip : types.layer)),
  }
  const built = build({ ...parts, ...extrasOf(options) }, types.manifest, algorithm)
  return { ...built, ...parts, descriptor: { ...built.descriptor, platform }, children: [], blobs }
}

/** An index over `children`; each keeps its platform. */
export function buildIndex(children: readonly Content[], options: ManifestOptions = {}): Content {
  const types = TYPES[options.mediaTypes ?? 'oci']
  const manifests = children.map((child) => child.descriptor)
  const built = build({ manifests, ...extrasOf(options) }, types.index, options.algorithm)
  return { ...built, children, blobs: new Map(children.flatMap((child) => [...child.blobs])) }
}

/** Something that is not an image, such as a signature; with `subject` it refers to one. */
export function buildArtifact(
  options: Omit<ImageOptions, 'mediaTypes' | 'platform'> & { readonly artifactType: string },
): Image {
  const { seed = 0, algorithm = 'sha256', layers = [64] } = options
  const blobs = new Map<Digest, Buffer>()
  const parts = {
    config: describe(json({}), 'application/vnd.oci.empty.v1+json', algorithm, blobs),
    layers: layers.map((layer, i) => {
      const bytes = typeof layer === 'number' ? seededBytes(`${seed}/${i}`, layer) : layer
      return describe(bytes, 'application/octet-stream', algorithm, blobs)
    }),
  }
  const built = build({ ...parts, ...extrasOf(options) }, OCI_MANIFEST, algorithm)
  return { ...built, ...parts, children: [], blobs }
}

/** Bytes that look random and cannot be compressed, the same for the same seed. */
export function seededBytes(seed: string | number, length: number): Buffer {
  const key = createHash('sha256').update(`larder/${seed}`).digest()
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16))
  return cipher.update(Buffer.alloc(length))
}

function build(
  fields: Record<string, unknown>,
  mediaType: string,
  algorithm: Algorithm = 'sha256',
): Pick<Content, 'manifest' | 'descriptor'> {
  const bytes = json({ schemaVersion: 2, mediaType, ...fields })
  const digest = digestOf(bytes, algorithm)
  const artifactType = fields['artifactType']
  const type = typeof artifactType === 'string' ? { artifactType } : {}
  return {
    manifest: { bytes, mediaType, digest },
    descriptor: { mediaType, digest, size: bytes.length, ...type },
  }
}

function extrasOf({ artifactType, subject, annotations }: ManifestOptions) {
  return {
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

function describe(
  bytes: Buffer,
  mediaType: string,
  algorithm: Algorithm,
  blobs: Map<Digest, Buffer>,
): Descriptor {
  const digest = digestOf(bytes, algorithm)
  blobs.set(digest, bytes)
  return { mediaType, digest, size: bytes.length }
}

/** Engines compare this with what they unpacked: always the digest of the uncompressed archive. */
function diffId(layer: Buffer): Digest {
  return digestOf(isGzip(layer) ? gunzipSync(layer) : layer)
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
