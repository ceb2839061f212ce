import type { Descriptor, Platform } from './descriptor.ts'
import { type Digest, isDigest } from './digest.ts'
import { RegistryError } from './errors.ts'
import {
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
  isIndexType,
  isManifestType,
  isSchema1Type,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-types.ts'

/** The specification asks registries to take at least 4 MiB; containerd and others read no more. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
/** Deeper JSON than this is an attack: a walk over it would exhaust the stack. */
const MAX_DEPTH = 32
/** An honest index has tens of entries, an honest image at most a few hundred layers. */
const MAX_DESCRIPTORS = 10_000

/** What Larder needs to know of a manifest. Its bytes are kept and served as they came. */
export interface Manifest {
  readonly mediaType: string
  /** Child manifests, of an index. */
  readonly manifests: readonly Descriptor[]
  /** Config and layers (or an artifact's blobs), of an image. */
  readonly blobs: readonly Descriptor[]
  readonly subject: Descriptor | undefined
  /** `artifactType`, else the config's media type: image-spec v1.1 "artifactType". */
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}

/** Content that a manifest lists. A size of -1 is unknown (Docker schema 1). */
export interface Child {
  readonly digest: Digest
  readonly size: number
  readonly kind: 'manifest' | 'blob'
}

/**
 * Reads a manifest of any type the field uses. A document that could be taken for both an image
 * and an index is refused (CVE-2021-41190), and so is one whose own `mediaType` is not the type it
 * was served with.
 *
 * @param contentType the media type it was served with, without parameters
 * @param maxBytes for what is no manifest of a registry, such as the index of an image layout
 * @throws {RegistryError} `MANIFEST_INVALID`, with what is wrong
 */
export function parseManifest(
  bytes: Uint8Array,
  contentType: string | undefined,
  maxBytes = MAX_MANIFEST_BYTES,
): Manifest {
  if (bytes.byteLength > maxBytes) throw invalid(`is larger than ${maxBytes / 2 ** 20} MiB`)
  const document = parseDocument(bytes)
  const mediaType = mediaTypeOf(document, contentType)
  const schema1 = isSchema1Type(mediaType)
  const layers = schema1 ? undefined : (document['layers'] ?? document['blobs'])
  const manifests = document['manifests']
  if (manifests !== undefined && (layers !== undefined || document['config'] !== undefined)) {
    throw invalid('is both an image and an index')
  }
  if (isIndexType(mediaType) !== Array.isArray(manifests) && isManifestType(mediaType)) {
    throw invalid(`is not what its media type ${mediaType} says`)
  }
  const config = document['config']
  const blobs = [...(config === undefined ? [] : [config]), ...list(layers)].map(toDescriptor)
  return {
    mediaType,
    manifests: list(manifests).map(toDescriptor),
    blobs: schema1 ? schema1Layers(document) : blobs,
    subject: isObject(document['subject']) ? toDescriptor(document['subject']) : undefined,
    artifactType: artifactTypeOf(document, mediaType),
    annotations: annotationsOf(document['annotations']) ?? {},
  }
}

/** What an index of manifests keeps of one: its facts, without what it lists. */
export function recordOf(digest: Digest, size: number, manifest: Manifest) {
  const { mediaType, artifactType, annotations } = manifest
  return { digest, size, mediaType, subject: manifest.subject?.digest, artifactType, annotations }
}

/** What a manifest lists. Its subject is not a child: it points the other way. */
export function childrenOf(manifest: Manifest): Child[] {
  return [
    ...manifest.manifests.map(({ digest, size }): Child => ({ digest, size, kind: 'manifest' })),
    ...manifest.blobs.map(({ digest, size }): Child => ({ digest, size, kind: 'blob' })),
  ]
}

function parseDocument(bytes: Uint8Array): Record<string, unknown> {
  refuseDeep(bytes)
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new RegistryError('MANIFEST_INVALID', { message: 'manifest is not JSON', cause })
  }
  if (!isObject(document)) throw invalid('is not a JSON object')
  return document
}

/** Counts brackets outside strings, before the parser or any walk sees them. */
function refuseDeep(bytes: Uint8Array): void {
  let depth = 0
  let inString = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (inString) {
      if (byte === 0x5c) i++
      else if (byte === 0x22) inString = false
    } else if (byte === 0x22) inString = true
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_DEPTH) throw invalid('is nested too deep')
    } else if (byte === 0x7d || byte === 0x5d) depth--
  }
}

function mediaTypeOf(document: Record<string, unknown>, contentType: string | undefined): string {
  const own = document['mediaType']
  if (own !== undefined && typeof own !== 'string') throw invalid('has a mediaType that is no text')
  const served = contentType !== undefined && isManifestType(contentType) ? contentType : undefined
  if (own !== undefined && served !== undefined && own !== served) {
    throw invalid(`says ${own} but was served as ${served}`)
  }
  const mediaType = own ?? served ?? guessType(document)
  if (mediaType === undefined) throw invalid(`has no known media type (${contentType ?? 'none'})`)
  return mediaType
}

/** OCI makes `mediaType` optional; a registry may also serve it as plain JSON. */
function guessType(document: Record<string, unknown>): string | undefined {
  if (document['schemaVersion'] === 1) {
    return document['signatures'] === undefined ? DOCKER_SCHEMA1 : DOCKER_SCHEMA1_SIGNED
  }
  if (document['schemaVersion'] !== 2) return undefined
  return Array.isArray(document['manifests']) ? OCI_INDEX : OCI_MANIFEST
}

function schema1Layers(document: Record<string, unknown>): Descriptor[] {
  return list(document['fsLayers']).map((layer) => {
    const digest = isObject(layer) ? layer['blobSum'] : undefined
    if (!isDigest(digest)) throw invalid('has a layer without a digest')
    return {
      mediaType: 'application/vnd.docker.container.image.rootfs.diff+x-gtar',
      digest,
      size: -1,
    }
  })
}

function artifactTypeOf(document: Record<string, unknown>, mediaType: string): string | undefined {
  const own = document['artifactType']
  if (typeof own === 'string' && own !== '') return own
  if (isIndexType(mediaType)) return undefined
  const config = document['config']
  const type = isObject(config) ? config['mediaType'] : undefined
  return typeof type === 'string' ? type : undefined
}

function toDescriptor(value: unknown): Descriptor {
  if (!isObject(value)) throw invalid('has an entry that is not a descriptor')
  const { mediaType, digest, size, artifactType, urls } = value
  if (typeof mediaType !== 'string') throw invalid('has an entry without a media type')
  if (!isDigest(digest)) throw invalid('has an entry without a valid digest')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid('has an entry without a valid size')
  }
  const annotations = annotationsOf(value['annotations'])
  const platform = platformOf(value['platform'])
  return {
    mediaType,
    digest,
    size,
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...(annotations === undefined ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform }),
    ...(Array.isArray(urls) ? { urls: urls.filter((url) => typeof url === 'string') } : {}),
  }
}

function platformOf(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined
  const { architecture, os, variant } = value
  if (typeof architecture !== 'string' || typeof os !== 'string') return undefined
  const version = value['os.version']
  return {
    architecture,
    os,
    ...(typeof variant === 'string' ? { variant } : {}),
    ...(typeof version === 'string' ? { 'os.version': version } : {}),
  }
}

function annotationsOf(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  return Object.fromEntries(Object.entries(value).filter(isTextEntry))
}

function isTextEntry(entry: [string, unknown]): entry is [string, string] {
  return typeof entry[1] === 'string'
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid('has a list that is none')
  if (value.length > MAX_DESCRIPTORS) throw invalid(`lists more than ${MAX_DESCRIPTORS} entries`)
  return value
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(problem: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `manifest ${problem}` })
}
