import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { PlaceRow } from './catalog/selection.ts'
import { matcherOf } from './selection.ts'

/** Which images of a place are meant; `undefined`: none of them. */
export type ImageFilter = (place: PlaceRow) => Matches | undefined

export interface Matches {
  isTag(tag: Tag, digest: Digest): boolean
  /** Of an image that has no tag. */
  isDigest(digest: Digest): boolean
}

const ALL: Matches = { isTag: () => true, isDigest: () => true }

/**
 * @param search a glob over `<upstream>/<repository>:<tag>`, as for removal, or a text that is
 *   somewhere in that; `undefined`: everything
 */
export function imageFilter(search: string | undefined): ImageFilter {
  if (search === undefined || search === '') return () => ALL
  if (/[*?[{]/.test(search)) return globFilter(search)
  const text = search.toLowerCase()
  return ({ upstream, repository }) => {
    const place = `${upstream}/${repository}`.toLowerCase()
    if (place.includes(text)) return ALL
    return {
      isTag: (tag) => `${place}:${tag.toLowerCase()}`.includes(text),
      isDigest: (digest) => `${place}@${digest}`.includes(text),
    }
  }
}

function globFilter(glob: string): ImageFilter {
  const matcher = matcherOf({ kind: 'pattern', glob })
  const matches = { isTag: matcher.isTag, isDigest: matcher.isContent }
  return (place) => (matcher.isPlace(place) ? matches : undefined)
}
