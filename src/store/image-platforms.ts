import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts'
import { formatPlatform } from '../oci/platform.ts'
import { type ImageContents, isWhole } from './image-contents.ts'
import type { BlobStore } from './ports.ts'

/** One of those that an image is for. */
export interface ImagePlatform {
  /** `linux/arm/v7` */
  readonly platform: string
  /** Whether all that it needs is here. */
  readonly complete: boolean
}

/** An honest one has a few KiB. */
const MAX_CONFIG_BYTES = 1024 * 1024
/** Of statements about an image, such as BuildKit's provenance. */
const UNKNOWN = 'unknown/unknown'
/** Image-spec v1.1 config.md, and Docker's own of before. */
const CONFIG_TYPES = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])

/** `undefined`: it is not here, or cannot be read. */
export async function readManifest(
  blobs: Pick<BlobStore, 'read'>,
  digest: Digest,
  mediaType: string | undefined,
): Promise<{ readonly manifest: Manifest; readonly bytes: Buffer } | undefined> {
  const bytes = await blobs.read(digest, MAX_MANIFEST_BYTES)
  if (bytes === undefined) return undefined
  try {
    return { manifest: parseManifest(bytes, mediaType), bytes }
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

/** What the manifest `digest` is for; empty where nobody says. */
export async function platformsOf(
  blobs: Pick<BlobStore, 'read'>,
  digest: Digest,
  manifest: Manifest,
  contents: ImageContents,
): Promise<readonly ImagePlatform[]> {
  const config = manifest.blobs.find(({ mediaType }) => CONFIG_TYPES.has(mediaType))
  if (config !== undefined) {
    const platform = readPlatform(await blobs.read(config.digest, MAX_CONFIG_BYTES))
    return platform === undefined ? [] : [{ platform, complete: isWhole(contents, digest) }]
  }
  return manifest.manifests.flatMap((entry) => {
    const platform = entry.platform && formatPlatform(entry.platform)
    if (platform === undefined || platform === UNKNOWN) return []
    return [{ platform, complete: isWhole(contents, entry.digest) }]
  })
}

function readPlatform(config: Buffer | undefined): string | undefined {
  if (config === undefined) return undefined
  try {
    const { os, architecture, variant } = JSON.parse(config.toString()) as Record<string, unknown>
    if (typeof os !== 'string' || typeof architecture !== 'string') return undefined
    const exact = typeof variant === 'string' && variant !== '' ? { variant } : {}
    return formatPlatform({ os, architecture, ...exact })
  } catch {
    return undefined
  }
}
