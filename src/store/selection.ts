import picomatch from 'picomatch'

import type { Digest } from '../oci/digest.ts'
import { formatReference, type Reference, type Repository, type Tag } from '../oci/reference.ts'
import type { ReferencePin } from './pin.ts'
import type { Place } from './ports.ts'

/** What an operator wants removed. */
export type Selection =
  | {
      readonly kind: 'reference'
      readonly upstream: string
      readonly repository: Repository
      readonly reference: Reference
    }
  /** Over `<upstream>/<repository>` or, with a colon after the last slash, `…:<tag>`. */
  | { readonly kind: 'pattern'; readonly glob: string }
  | { readonly kind: 'upstream'; readonly upstream: string }
  | { readonly kind: 'unused'; readonly forMs: number }
  /** What was not used for the longest time, until so many bytes are left. */
  | { readonly kind: 'size'; readonly bytes: number }

/** By name, not by use. */
export type NamedSelection = Extract<
  Selection,
  { readonly kind: 'reference' | 'pattern' | 'upstream' }
>

/** Which places are meant, and what of them. */
export interface Matcher {
  isPlace(place: Place): boolean
  isTag(tag: Tag, digest: Digest): boolean
  isContent(digest: Digest): boolean
}

export function matcherOf(wanted: NamedSelection): Matcher {
  const always = () => true
  switch (wanted.kind) {
    case 'upstream': {
      const isPlace = ({ upstream }: Place) => upstream === wanted.upstream
      return { isPlace, isTag: always, isContent: always }
    }
    case 'pattern': {
      const colon = wanted.glob.indexOf(':', wanted.glob.lastIndexOf('/') + 1)
      const places = colon < 0 ? wanted.glob : wanted.glob.slice(0, colon)
      const isName = picomatch(places, { dot: true })
      const isPlace = (place: Place) => isName(`${place.upstream}/${place.repository}`)
      if (colon < 0) return { isPlace, isTag: always, isContent: always }
      const isMatch = picomatch(wanted.glob.slice(colon + 1), { dot: true })
      return { isPlace, isTag: (tag) => isMatch(tag), isContent: () => false }
    }
    case 'reference': {
      const isPlace = ({ upstream, repository }: Place) =>
        upstream === wanted.upstream && repository === wanted.repository
      const { reference } = wanted
      return reference.kind === 'tag'
        ? { isPlace, isTag: (tag) => tag === reference.tag, isContent: () => false }
        : {
            isPlace,
            isTag: (_tag, digest) => digest === reference.digest,
            isContent: (digest) => digest === reference.digest,
          }
    }
    default:
      return wanted satisfies never
  }
}

/** Whether a pin is of what is meant. That of a tag is not by the digest which the tag means. */
export function pinMatcherOf(wanted: NamedSelection): (pin: ReferencePin) => boolean {
  const { isPlace, isTag, isContent } = matcherOf(wanted)
  return (pin) => {
    if (!isPlace(pin)) return false
    if (wanted.kind === 'reference') return pin.reference === formatReference(wanted.reference)
    return pin.kind === 'tag' ? isTag(pin.reference as Tag, pin.digest) : isContent(pin.digest)
  }
}
