import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { Reference } from '../oci/reference.ts'
import type { SqliteCatalog, TagMove } from './catalog.ts'
import { readManifest } from './image-platforms.ts'
import type { ImageSummary, Images } from './images.ts'
import type { BlobStore, ManifestRecord, Place } from './ports.ts'
import { Slices } from './slices.ts'

/** One image with all that is known of it. */
export interface ImageDetail extends ImageSummary {
  /** `undefined`: not even its manifest is here. */
  readonly mediaType: string | undefined
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
  /** Of the tag that it was asked for by. */
  readonly tag: ShownTag | undefined
  /** Of an index those that it lists, the first of them; else the image itself. */
  readonly manifests: readonly ShownManifest[]
  /** What has this image as its subject, such as signatures. */
  readonly referrers: readonly ManifestRecord[]
  /** The manifest as its registry gave it; `undefined`: it is not here. */
  readonly raw: string | undefined
}

export interface ShownTag {
  readonly tag: string
  /** When the registry last said what it means, epoch milliseconds. */
  readonly checkedAt: number
  /** When the registry has since said that there is no such tag, or none for us. */
  readonly refusedAt: number | undefined
  /** What it has meant, the oldest first. */
  readonly history: readonly TagMove[]
}

export interface ShownContent {
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  /** Whether it is here. */
  readonly here: boolean
}

export interface ShownManifest extends ShownContent {
  /** `linux/arm/v7`, where the index says so. */
  readonly platform: string | undefined
  /** Its configuration is the first; empty where the manifest is not here. */
  readonly layers: readonly ShownContent[]
}

export interface ImageDetailOptions {
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'read'>
  readonly images: Images
}

/** Each is a file that is read. */
const MAX_MANIFESTS = 100

/** @returns `undefined`: the place is not known to have it */
export async function detailOf(
  options: ImageDetailOptions,
  at: Place,
  reference: Reference,
): Promise<ImageDetail | undefined> {
  const { catalog, blobs, images } = options
  const place = catalog.images.place(at.upstream, at.repository)
  if (place === undefined) return undefined
  const tag = reference.kind === 'tag' ? await shownTag(catalog, at, reference.tag) : undefined
  const digest = reference.kind === 'digest' ? reference.digest : tag?.digest
  if (digest === undefined) return undefined
  const member = await catalog.getMember(at, digest, 'manifest')
  if (tag === undefined && member === undefined) return undefined
  const record = await catalog.findManifest(digest)
  const read = await readManifest(blobs, digest, record?.mediaType)
  const first =
    reference.kind === 'tag' ? reference.tag : catalog.images.tagsOf(place.id, digest, 1)[0]
  const summary = await images.summarize({ place, digest, tag: first }, new Slices())
  return {
    ...summary,
    mediaType: record?.mediaType,
    artifactType: record?.artifactType,
    annotations: record?.annotations ?? {},
    tag: tag?.shown,
    manifests: read === undefined ? [] : await manifestsOf(options, digest, read),
    referrers: await catalog.listReferrers(at, digest),
    raw: read?.bytes.toString(),
  }
}

async function shownTag(
  catalog: SqliteCatalog,
  place: Place,
  tag: Extract<Reference, { readonly kind: 'tag' }>['tag'],
) {
  const record = await catalog.getTag(place, tag)
  if (record === undefined) return undefined
  const { digest, checkedAt, refusedAt } = record
  const history = await catalog.listTagHistory(place, tag)
  return { digest, shown: { tag, checkedAt, refusedAt, history } }
}

async function manifestsOf(
  { catalog, blobs }: ImageDetailOptions,
  digest: Digest,
  { manifest, bytes }: { readonly manifest: Manifest; readonly bytes: Buffer },
): Promise<readonly ShownManifest[]> {
  const shown = ({ digest, mediaType, size }: Descriptor): ShownContent => {
    const here = catalog.retention.blob(digest) !== undefined
    return { digest, mediaType, size, here }
  }
  if (manifest.manifests.length === 0) {
    const { mediaType, blobs: layers } = manifest
    const own = { ...shown({ digest, mediaType, size: bytes.length }), platform: undefined }
    return [{ ...own, layers: layers.map(shown) }]
  }
  const manifests: ShownManifest[] = []
  for (const entry of manifest.manifests.slice(0, MAX_MANIFESTS)) {
    const child = await readManifest(blobs, entry.digest, entry.mediaType)
    const platform = entry.platform && formatPlatform(entry.platform)
    manifests.push({
      ...shown(entry),
      platform,
      layers: child?.manifest.blobs.map(shown) ?? [],
    })
  }
  return manifests
}
