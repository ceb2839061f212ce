import type { Digest } from '../oci/digest.ts'
import type { ImageRows, ListedContent } from './catalog/images.ts'
import type { Slices } from './slices.ts'

/** One content of an image. */
export interface ImageContent {
  readonly kind: 'manifest' | 'blob'
  /** Bytes that are here; `undefined`: none. */
  readonly storedSize: number | undefined
  /** What it is said to have where it is listed; -1: not known. */
  readonly size: number
  /** Of a manifest that is known. */
  readonly children: readonly Digest[]
}

/** All that an image reaches, the image itself first. */
export type ImageContents = ReadonlyMap<Digest, ImageContent>

export async function contentsOf(
  rows: ImageRows,
  root: Pick<ListedContent, 'digest' | 'storedSize'>,
  slices: Slices,
): Promise<ImageContents> {
  const contents = new Map<Digest, ImageContent>()
  const waiting: ListedContent[] = [{ ...root, kind: 'manifest', size: -1 }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { digest, kind, size } = next
    if (contents.has(digest)) continue
    const listed = kind === 'manifest' ? rows.listedBy(digest) : []
    const storedSize = next.storedSize ?? undefined
    contents.set(digest, { kind, size, storedSize, children: listed.map((one) => one.digest) })
    for (const one of listed) if (!contents.has(one.digest)) waiting.push(one)
    await slices.rest()
  }
  return contents
}

/** Of all that is here. */
export function storedBytes(contents: ImageContents): number {
  return contents.values().reduce((sum, { storedSize = 0 }) => sum + storedSize, 0)
}

/** Of all that is not here, as far as sizes are known: what a missing manifest lists is not. */
export function missingBytes(contents: ImageContents): number {
  return contents
    .values()
    .filter(({ storedSize }) => storedSize === undefined)
    .reduce((sum, { size }) => sum + Math.max(0, size), 0)
}

/** Whether it is here with everything that it lists. */
export function isWhole(contents: ImageContents, digest: Digest): boolean {
  const reached = new Set([digest])
  // A set yields what is added to it while it is walked.
  for (const one of reached) {
    const content = contents.get(one)
    if (content?.storedSize === undefined) return false
    for (const child of content.children) reached.add(child)
  }
  return true
}

/**
 * Bytes that stay when the image goes: what manifests list that are no part of it, or tags mean
 * that are not its own.
 */
export async function sharedBytes(
  rows: ImageRows,
  repositoryId: number,
  root: Digest,
  contents: ImageContents,
  slices: Slices,
): Promise<number> {
  const shared = new Set<Digest>()
  for (const [digest, { kind }] of contents) {
    if (isNamedElsewhere(rows, digest, kind, { repositoryId, root, contents })) shared.add(digest)
    await slices.rest()
  }
  // What is below it, too.
  for (const digest of shared) {
    for (const child of contents.get(digest)?.children ?? []) shared.add(child)
  }
  return shared.values().reduce((sum, one) => sum + (contents.get(one)?.storedSize ?? 0), 0)
}

interface Of {
  readonly repositoryId: number
  readonly root: Digest
  readonly contents: ImageContents
}

function isNamedElsewhere(
  rows: ImageRows,
  digest: Digest,
  kind: ImageContent['kind'],
  { repositoryId, root, contents }: Of,
): boolean {
  // All of its own, and one more if there is one.
  const parents = rows.parentsOf(digest, contents.size + 1)
  if (parents.some((parent) => !contents.has(parent))) return true
  if (kind === 'blob') return false
  if (rows.isTaggedElsewhere(repositoryId, digest)) return true
  return digest !== root && rows.tagsOf(repositoryId, digest, 1).length > 0
}
