import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { SqliteCatalog } from './catalog.ts'
import {
  contentsOf,
  type ImageContents,
  isWhole,
  missingBytes,
  sharedBytes,
  storedBytes,
} from './image-contents.ts'
import { imageFilter } from './image-filter.ts'
import { type ImagePlatform, platformsOf, readManifest } from './image-platforms.ts'
import { compareKeys, type FoundImage, type ImageKey, keyOf, walkImages } from './image-walk.ts'
import { nameOf } from './pin.ts'
import type { BlobStore } from './ports.ts'
import { Slices } from './slices.ts'

/** By name; largest first; what was used last first; what was pulled most often first. */
export const IMAGE_ORDERS = ['name', 'size', 'last-use', 'pulls'] as const
export type ImageOrder = (typeof IMAGE_ORDERS)[number]

export interface ImageQuery {
  /** See `imageFilter`; `undefined`: everything. */
  readonly search: string | undefined
  readonly order: ImageOrder
  /** Only what was not used since, epoch milliseconds; `undefined`: whenever it was. */
  readonly usedBefore: number | undefined
  readonly limit: number
  /** Where a page before this one has ended. */
  readonly after: ImageCursor | undefined
}

/** An image's place in an order. */
export interface ImageCursor extends ImageKey {
  /** Bytes, epoch milliseconds, or a number of pulls; 0 where names alone are the order. */
  readonly value: number
}

export interface ImagePage {
  readonly images: readonly ImageSummary[]
  /** `undefined`: there is no more. */
  readonly next: ImageCursor | undefined
}

/** A manifest in a repository, under all of its tags there. All sizes in bytes. */
export interface ImageSummary {
  /** With its first tag, or its digest. */
  readonly name: string
  readonly upstream: string
  readonly repository: string
  readonly digest: Digest
  /** The first of them, in order. */
  readonly tags: readonly Tag[]
  readonly platforms: readonly ImagePlatform[]
  /** Of all that is here, the shared part included. */
  readonly bytes: number
  /** Of that, what stays when the image goes. */
  readonly sharedBytes: number
  /** As far as it is known. */
  readonly missingBytes: number
  /** Whether everything is here, all platforms of an index included. */
  readonly complete: boolean
  /** When it was last pulled, preloaded or imported, epoch milliseconds; `undefined`: it is not here. */
  readonly lastUsedAt: number | undefined
  /** How often nodes have pulled it there; an index once, whatever of it they take. */
  readonly pulls: number
  /** Epoch milliseconds; `undefined`: never. */
  readonly lastPulledAt: number | undefined
  readonly pinned: boolean
}

export interface ImagesOptions {
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'read'>
  readonly isPinned: (digest: Digest) => boolean
}

const MAX_TAGS = 100

interface Ranked {
  readonly image: FoundImage
  readonly cursor: ImageCursor
}

/** What is in the cache, for people. Looks in slices, between which everything else goes on. */
export class Images {
  readonly #options: ImagesOptions

  constructor(options: ImagesOptions) {
    this.#options = options
  }

  async list(query: ImageQuery): Promise<ImagePage> {
    const slices = new Slices()
    const found = await (query.order === 'name'
      ? this.#firstByName(query, slices)
      : this.#firstByValue(query, slices))
    const shown = found.slice(0, query.limit)
    const images: ImageSummary[] = []
    for (const { image } of shown) images.push(await this.summarize(image, slices))
    const next = found.length > query.limit ? shown.at(-1)?.cursor : undefined
    return { images, next }
  }

  async summarize(image: FoundImage, slices: Slices): Promise<ImageSummary> {
    const { catalog, blobs, isPinned } = this.#options
    const { place, digest, tag } = image
    const contents = await this.contents(digest, slices)
    const record = await catalog.findManifest(digest)
    const read = await readManifest(blobs, digest, record?.mediaType)
    const platforms =
      read === undefined ? [] : await platformsOf(blobs, digest, read.manifest, contents)
    const { pulls, pulledAt } = catalog.images.pullsOf(place.id, digest)
    return {
      name: nameOf(place, tag ?? digest),
      upstream: place.upstream,
      repository: place.repository,
      digest,
      tags: catalog.images.tagsOf(place.id, digest, MAX_TAGS),
      platforms,
      bytes: storedBytes(contents),
      sharedBytes: await sharedBytes(catalog.images, place.id, digest, contents, slices),
      missingBytes: missingBytes(contents),
      complete: isWhole(contents, digest),
      lastUsedAt: catalog.retention.blob(digest)?.usedAt,
      pulls,
      lastPulledAt: pulledAt ?? undefined,
      pinned: isPinned(digest),
    }
  }

  contents(digest: Digest, slices: Slices): Promise<ImageContents> {
    const { images, retention } = this.#options.catalog
    const storedSize = retention.blob(digest)?.size ?? null
    return contentsOf(images, { digest, storedSize }, slices)
  }

  /** One more than are wanted, if there are: only what comes before them is looked at. */
  async #firstByName({ limit, ...query }: ImageQuery, slices: Slices): Promise<readonly Ranked[]> {
    const found: Ranked[] = []
    for await (const image of this.#walk(query, query.after, slices)) {
      found.push({ image, cursor: { ...keyOf(image), value: 0 } })
      if (found.length > limit) break
    }
    return found
  }

  /** As by name; everything has to be looked at, and no more than that is kept. */
  async #firstByValue(query: ImageQuery, slices: Slices): Promise<readonly Ranked[]> {
    const { order, limit, after } = query
    const best: Ranked[] = []
    for await (const image of this.#walk(query, undefined, slices)) {
      const value = await this.#valueOf(image, order, slices)
      const one = { image, cursor: { ...keyOf(image), value } }
      if (after !== undefined && compareCursors(one.cursor, after) <= 0) continue
      const last = best.at(-1)
      if (best.length > limit && last && compareCursors(one.cursor, last.cursor) > 0) continue
      insert(best, one)
      if (best.length > limit + 1) best.pop()
    }
    return best
  }

  async *#walk(
    { search, usedBefore }: Pick<ImageQuery, 'search' | 'usedBefore'>,
    after: ImageKey | undefined,
    slices: Slices,
  ): AsyncGenerator<FoundImage> {
    const { images: rows, selection, retention } = this.#options.catalog
    const filter = imageFilter(search)
    for await (const image of walkImages({ rows, selection, filter, after, slices })) {
      if (!this.#options.catalog.isOpen) return
      const isUsed = usedBefore !== undefined
      if (isUsed && (retention.blob(image.digest)?.usedAt ?? 0) >= usedBefore) continue
      yield image
    }
  }

  async #valueOf(image: FoundImage, order: ImageOrder, slices: Slices): Promise<number> {
    const { images, retention } = this.#options.catalog
    if (order === 'pulls') return images.pullsOf(image.place.id, image.digest).pulls
    const stored = retention.blob(image.digest)
    if (order !== 'size') return stored?.usedAt ?? 0
    // Most list nothing but blobs: one question instead of a walk.
    const { bytes, hasManifests } = images.listedSum(image.digest)
    if (hasManifests === 0) return bytes + (stored?.size ?? 0)
    return storedBytes(await this.contents(image.digest, slices))
  }
}

/** The largest value first; of equal ones, by name. */
function compareCursors(one: ImageCursor, other: ImageCursor): number {
  return other.value - one.value || compareKeys(one, other)
}

function insert(sorted: Ranked[], one: Ranked): void {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const other = sorted[middle]
    if (other !== undefined && compareCursors(other.cursor, one.cursor) < 0) low = middle + 1
    else high = middle
  }
  sorted.splice(low, 0, one)
}
