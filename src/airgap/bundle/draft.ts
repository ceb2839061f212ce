import type { Digest } from '../../oci/digest.ts'
import type { Platforms } from '../../oci/platform.ts'
import type { MissingContent } from '../survey.ts'
import {
  type Bundle,
  type BundleBase,
  type BundledBlob,
  type BundledImage,
  MAX_BUNDLE_BLOBS,
  MAX_BUNDLE_IMAGES,
} from './bundle.ts'
import { ExportError } from './export-error.ts'

/** An image that cannot be in a bundle. */
export interface IncompleteImage {
  readonly image: string
  /** Why, where it is not a matter of content. */
  readonly reason: string | undefined
  readonly missing: readonly MissingContent[]
  /** Bytes, as far as they are known, of what is missing. */
  readonly missingBytes: number
}

/** What a bundle would be. */
export interface ExportPlan {
  readonly bundle: Bundle
  /** What it has, without what its base has, in the order of their digests. */
  readonly contents: readonly Pick<BundledBlob, 'digest' | 'size'>[]
  /** Images that are not whole. Unless they were allowed to be left out, there can be no bundle. */
  readonly incomplete: readonly IncompleteImage[]
}

/** What has been found so far. What images share is there once. */
export class Draft {
  readonly #images = new Map<string, BundledImage>()
  readonly #contents = new Map<string, BundledBlob>()
  readonly #incomplete: IncompleteImage[] = []

  /** @param image `undefined`: it has gone since it was looked at, which its contents tell of */
  addImage(image: BundledImage | undefined): void {
    if (image === undefined) return
    const { registry, repository, tag, digest } = image
    this.#images.set(`${registry}/${repository} ${tag ?? digest}`, image)
  }

  addContents(contents: readonly BundledBlob[]): void {
    for (const one of contents) this.#contents.set(`${one.kind} ${one.digest}`, one)
  }

  leaveOut(image: IncompleteImage): void {
    this.#incomplete.push(image)
  }

  plan(createdBy: string, platforms: Platforms, base: BundleBase | undefined): ExportPlan {
    const images = [...this.#images.values()]
    const blobs = [...this.#contents.values()]
    if (images.length > MAX_BUNDLE_IMAGES) throw tooMany(images.length, 'images', MAX_BUNDLE_IMAGES)
    if (blobs.length > MAX_BUNDLE_BLOBS) throw tooMany(blobs.length, 'contents', MAX_BUNDLE_BLOBS)
    const inBase = new Set<Digest>(base?.blobs)
    const sizes = new Map(blobs.map(({ digest, size }) => [digest, size]))
    const leftOut = [...sizes.keys()].filter((digest) => inBase.has(digest))
    const contents = [...sizes]
      .filter(([digest]) => !inBase.has(digest))
      .map(([digest, size]) => ({ digest, size }))
      .sort((one, other) => (one.digest < other.digest ? -1 : 1))
    const contentAt = images.reduce((newest, { checkedAt }) => Math.max(newest, checkedAt), 0)
    // What needs nothing of another bundle can be imported without it.
    const needed = base === undefined || leftOut.length === 0 ? undefined : base
    const bundle: Bundle = {
      createdBy,
      contentAt,
      images,
      platforms,
      blobs,
      ...(needed === undefined ? {} : { base: { ...needed, blobs: leftOut } }),
    }
    return { bundle, contents, incomplete: this.#incomplete }
  }
}

function tooMany(count: number, what: string, most: number): ExportError {
  return new ExportError(
    'INVALID',
    `${count} ${what} are too many for one bundle, which has up to ${most}`,
  )
}
