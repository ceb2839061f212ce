import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { ImageRows, MemberKey } from './catalog/images.ts'
import type { PlaceRow, SelectionRows } from './catalog/selection.ts'
import type { ImageFilter, Matches } from './image-filter.ts'
import type { Slices } from './slices.ts'

/** A manifest that a repository has under its tags, or under none. */
export interface FoundImage {
  readonly place: PlaceRow
  readonly digest: Digest
  /** The first of its tags that was looked for; `undefined`: it has none. */
  readonly tag: Tag | undefined
}

/** Where an image stands in the order of names: of a repository first its tags, then digests. */
export interface ImageKey {
  readonly upstream: string
  readonly repository: string
  /** A tag, or a digest. */
  readonly reference: string
}

export interface WalkOptions {
  readonly rows: ImageRows
  readonly selection: SelectionRows
  readonly filter: ImageFilter
  /** Not itself; `undefined`: from the beginning. */
  readonly after: ImageKey | undefined
  readonly slices: Slices
}

/** Rows of one question. */
const PAGE = 128
const FIRST_MEMBER: MemberKey = { digest: '', kind: 'blob' }

/** Every image, in the order of names, each once. */
export async function* walkImages(options: WalkOptions): AsyncGenerator<FoundImage> {
  const { rows, filter, after, slices } = options
  for (const place of placesFrom(rows, after)) {
    await slices.rest()
    const matches = filter(place)
    if (matches === undefined) continue
    const isHere = place.upstream === after?.upstream && place.repository === after.repository
    yield* imagesOf(place, matches, isHere ? after.reference : undefined, options)
  }
}

export function keyOf({ place, digest, tag }: FoundImage): ImageKey {
  const { upstream, repository } = place
  return { upstream, repository, reference: tag ?? digest }
}

export function compareKeys(one: ImageKey, other: ImageKey): number {
  return (
    compareText(one.upstream, other.upstream) ||
    compareText(one.repository, other.repository) ||
    compareReferences(one.reference, other.reference)
  )
}

/** Some may come again that are before `after`, in its own repository. */
function* placesFrom(rows: ImageRows, after: ImageKey | undefined): Generator<PlaceRow> {
  let upstream = after?.upstream ?? rows.nextUpstream('')
  const first = after && rows.place(after.upstream, after.repository as PlaceRow['repository'])
  if (first !== undefined) yield first
  let last: string = after?.repository ?? ''
  while (upstream !== undefined) {
    const place = rows.nextPlace(upstream, last)
    if (place === undefined) {
      upstream = rows.nextUpstream(upstream)
      last = ''
    } else {
      yield place
      last = place.repository
    }
  }
}

/** Begins with the first tag in any case, as an image may have been shown for that one. */
async function* imagesOf(
  place: PlaceRow,
  matches: Matches,
  after: string | undefined,
  { rows, selection, slices }: WalkOptions,
): AsyncGenerator<FoundImage> {
  const isAfter = (reference: string) =>
    after === undefined || compareReferences(reference, after) > 0
  const seen = new Set<Digest>()
  const tagged = new Set<Digest>()
  for (let last = ''; ; ) {
    const page = selection.pageTags(place.id, last, PAGE)
    for (const { tag, digest } of page) {
      tagged.add(digest)
      if (seen.has(digest) || !matches.isTag(tag, digest)) continue
      seen.add(digest)
      if (isAfter(tag)) yield { place, digest, tag }
    }
    await slices.rest()
    if (page.length < PAGE) break
    last = page.at(-1)?.tag ?? last
  }
  for (let last = FIRST_MEMBER; ; ) {
    const page = rows.pageMembers(place.id, last, PAGE)
    for (const { digest, kind, confirmed } of page) {
      if (kind !== 'manifest' || confirmed === 0 || tagged.has(digest)) continue
      if (!isAfter(digest) || !matches.isDigest(digest) || !rows.isLoose(place.id, digest)) continue
      yield { place, digest, tag: undefined }
    }
    await slices.rest()
    const end = page.at(-1)
    if (end === undefined || page.length < PAGE) return
    last = end
  }
}

/** A colon cannot occur in a tag, so what has one is a digest. */
function compareReferences(one: string, other: string): number {
  return Number(one.includes(':')) - Number(other.includes(':')) || compareText(one, other)
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
