/**
 * `larder-bundle.json`, the first entry of a bundle: what it holds, from where, of when, and which
 * other bundle it needs. All else in a bundle is an OCI image layout that any tool can read.
 */
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { formatPlatform, type Platforms, parsePlatform } from '../../oci/platform.ts'
import { isRepository, isTag, type Repository, type Tag } from '../../oci/reference.ts'
import { ArchiveError } from './errors.ts'

/** The file's name in an archive. */
export const BUNDLE_FILE = 'larder-bundle.json'
/** What `<bundle>.index.json` beside a bundle ends with: a copy of the file. */
export const BUNDLE_INDEX_SUFFIX = '.index.json'
export const BUNDLE_VERSION = 1
/** Bytes of the file: more than a hundred thousand contents. */
export const MAX_BUNDLE_BYTES = 20 * 1024 * 1024
/** Images of one bundle, and descriptors of one `index.json`. */
export const MAX_BUNDLE_IMAGES = 10_000
/** Contents of one bundle, and entries of one archive. */
export const MAX_BUNDLE_BLOBS = 200_000

export interface Bundle {
  /** `larder 1.2.3` */
  readonly createdBy: string
  /** The newest check of a tag that it holds, epoch milliseconds: the same content says the same. */
  readonly contentAt: number
  readonly images: readonly BundledImage[]
  /** Of each image. */
  readonly platforms: Platforms
  /** Everything that the images reach, what the base has included. */
  readonly blobs: readonly BundledBlob[]
  /** What it builds on; absent: it has everything itself. */
  readonly base?: BundleBase
}

export interface BundledImage {
  /** As nodes name it, such as `docker.io`. */
  readonly registry: string
  readonly repository: Repository
  readonly tag?: Tag
  readonly digest: Digest
  readonly mediaType: string
  /** Of the manifest, bytes. */
  readonly size: number
  /** Whether its registry let anyone pull it. */
  readonly isPublic: boolean
  /** When its registry last said so, epoch milliseconds. */
  readonly checkedAt: number
}

export interface BundledBlob {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly kind: 'manifest' | 'blob'
}

export interface BundleBase {
  /** See {@link bundleIdOf}. */
  readonly id: Digest
  /** As its `contentAt`. */
  readonly contentAt: number
  /** What was left out because the base has it. */
  readonly blobs: readonly Digest[]
}

/** The name of a bundle: the digest of its `larder-bundle.json`. */
export function bundleIdOf(bytes: Uint8Array): Digest {
  return digestOf(bytes)
}

/** `docker.io/library/nginx:1.27`; what has no tag is named by its digest. */
export function bundledName({
  registry,
  repository,
  tag,
  digest,
}: Pick<BundledImage, 'registry' | 'repository' | 'tag' | 'digest'>): string {
  return `${registry}/${repository}${tag === undefined ? `@${digest}` : `:${tag}`}`
}

/** The same bundle gives the same bytes, in whatever order its parts are. */
export function formatBundle(bundle: Bundle): Buffer {
  const { createdBy, contentAt, platforms, base } = bundle
  const images = bundle.images.map(imageDocument).sort(by('image', 'digest'))
  const blobs = bundle.blobs
    .map(({ digest, size, kind }) => ({ digest, size, kind }))
    .sort(by('digest', 'kind'))
  const document = {
    version: BUNDLE_VERSION,
    createdBy,
    contentAt: toIso(contentAt),
    images,
    platforms: platforms === 'all' ? platforms : platforms.map(formatPlatform).sort(),
    blobs,
    ...(base && {
      base: { id: base.id, contentAt: toIso(base.contentAt), blobs: base.blobs.toSorted() },
    }),
  }
  return Buffer.from(`${JSON.stringify(document)}\n`)
}

/**
 * Reads what {@link formatBundle} wrote. Keys that it does not know are those of a later release,
 * which would have another version if they changed what the others mean.
 *
 * @throws {ArchiveError} which value is not what it has to be
 */
export function parseBundle(bytes: Uint8Array): Bundle {
  if (bytes.byteLength > MAX_BUNDLE_BYTES) throw wrong('is larger than 20 MiB')
  const document = toObject(parseJson(bytes), 'the document')
  const { version, createdBy, platforms } = document
  if (version !== BUNDLE_VERSION) {
    const known = `this release reads version ${BUNDLE_VERSION}`
    throw wrong(`has version ${shown(version)}, and ${known}: use a newer Larder`)
  }
  const base = document['base']
  return {
    createdBy: toText(createdBy, 'createdBy'),
    contentAt: toTime(document['contentAt'], 'contentAt'),
    images: toList(document['images'], 'images', MAX_BUNDLE_IMAGES).map(toImage),
    platforms: platforms === 'all' ? 'all' : toList(platforms, 'platforms', 100).map(toPlatform),
    blobs: toList(document['blobs'], 'blobs', MAX_BUNDLE_BLOBS).map(toBlob),
    ...(base === undefined ? {} : { base: toBase(base) }),
  }
}

function imageDocument(image: BundledImage) {
  const { registry, repository, tag, digest, mediaType, size, isPublic, checkedAt } = image
  return {
    image: bundledName(image),
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    digest,
    mediaType,
    size,
    public: isPublic,
    checkedAt: toIso(checkedAt),
  }
}

function toImage(value: unknown, index: number): BundledImage {
  const at = `images[${index}]`
  const document = toObject(value, at)
  const { registry, repository, tag, size } = document
  if (typeof registry !== 'string' || !/^[^\s/]{1,255}$/.test(registry)) {
    throw wrong(`has ${at}.registry ${shown(registry)}, which is no registry`)
  }
  if (typeof repository !== 'string' || !isRepository(repository)) {
    throw wrong(`has ${at}.repository ${shown(repository)}, which is no repository`)
  }
  if (tag !== undefined && (typeof tag !== 'string' || !isTag(tag))) {
    throw wrong(`has ${at}.tag ${shown(tag)}, which is no tag`)
  }
  if (typeof document['public'] !== 'boolean') throw wrong(`has ${at}.public that is no boolean`)
  const image: BundledImage = {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    digest: toDigest(document['digest'], `${at}.digest`),
    mediaType: toText(document['mediaType'], `${at}.mediaType`),
    size: toSize(size, `${at}.size`),
    isPublic: document['public'],
    checkedAt: toTime(document['checkedAt'], `${at}.checkedAt`),
  }
  if (document['image'] === bundledName(image)) return image
  throw wrong(`calls ${bundledName(image)} ${shown(document['image'])}`)
}

function toBlob(value: unknown, index: number): BundledBlob {
  const at = `blobs[${index}]`
  const { digest, size, kind } = toObject(value, at)
  if (kind !== 'manifest' && kind !== 'blob') throw wrong(`has ${at}.kind ${shown(kind)}`)
  return { digest: toDigest(digest, `${at}.digest`), size: toSize(size, `${at}.size`), kind }
}

function toBase(value: unknown): BundleBase {
  const { id, contentAt, blobs } = toObject(value, 'base')
  return {
    id: toDigest(id, 'base.id'),
    contentAt: toTime(contentAt, 'base.contentAt'),
    blobs: toList(blobs, 'base.blobs', MAX_BUNDLE_BLOBS).map((one) => toDigest(one, 'base.blobs')),
  }
}

function toPlatform(value: unknown) {
  const platform = typeof value === 'string' ? parsePlatform(value) : undefined
  if (platform === undefined) throw wrong(`has a platform ${shown(value)}`)
  return platform
}

function toObject(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw wrong(`has ${at} that is no object`)
}

function toList(value: unknown, at: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(`has ${at} that is no list`)
  if (value.length > most) throw wrong(`has more than ${most} ${at}`)
  return value
}

function toText(value: unknown, at: string): string {
  if (typeof value === 'string' && value.length <= 255) return value
  throw wrong(`has ${at} that is no short text`)
}

function toDigest(value: unknown, at: string): Digest {
  if (isDigest(value)) return value
  throw wrong(`has ${at} ${shown(value)}, which is no digest`)
}

function toSize(value: unknown, at: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw wrong(`has ${at} ${shown(value)}, which is no size`)
}

function toTime(value: unknown, at: string): number {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN
  if (time >= 0 && toIso(time) === value) return time
  throw wrong(`has ${at} ${shown(value)}, which is no time such as 2026-01-31T12:00:00.000Z`)
}

function toIso(epochMs: number): string {
  return new Date(Math.floor(epochMs)).toISOString()
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ArchiveError(`${BUNDLE_FILE} is not JSON`, { cause })
  }
}

/** Of what somebody made, no more than fits into a line. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 100)
}

function wrong(problem: string): ArchiveError {
  return new ArchiveError(`${BUNDLE_FILE} ${problem}`)
}

function by<Key extends string>(...keys: readonly Key[]) {
  return (one: Readonly<Record<Key, string>>, other: Readonly<Record<Key, string>>): number => {
    const key = keys.find((name) => one[name] !== other[name])
    return key === undefined ? 0 : one[key] < other[key] ? -1 : 1
  }
}
