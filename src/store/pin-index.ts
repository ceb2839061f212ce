import picomatch from 'picomatch'

import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { PinRows } from './catalog/pins.ts'
import {
  keyOf,
  nameOf,
  ownerOfMatches,
  type PatternPin,
  type Pin,
  type ReferencePin,
} from './pin.ts'
import type { Place } from './ports.ts'

/** No honest manifest is listed by as many: what is, is kept rather than looked into. */
const MAX_ANCESTORS = 1000

interface Matcher {
  readonly pin: PatternPin
  /** Of the pins that it has for the tags that it matches. */
  readonly ownerOfMatches: string
  readonly isMatch: (name: string) => boolean
}

/** All pins in memory, and what follows from them. */
export class PinIndex {
  readonly #now: () => number
  readonly #pins = new Map<string, Pin>()
  readonly #byDigest = new Map<Digest, Set<ReferencePin>>()
  readonly #byName = new Map<string, Set<ReferencePin>>()
  readonly #patterns = new Map<string, Matcher>()
  readonly #patternOfOwner = new Map<string, PatternPin>()

  /** @param now epoch milliseconds of Larder's own clock */
  constructor(now: () => number) {
    this.#now = now
  }

  get(pin: Pin): Pin | undefined {
    return this.#pins.get(keyOf(pin))
  }

  has(pin: Pin): boolean {
    return this.get(pin) === pin
  }

  all(): readonly Pin[] {
    return [...this.#pins.values()]
  }

  /** In place of the one with its key. */
  put(pin: Pin): void {
    this.delete(pin)
    const key = keyOf(pin)
    this.#pins.set(key, pin)
    if (pin.kind === 'pattern') {
      const owner = ownerOfMatches(pin)
      const isMatch = picomatch(pin.pattern, { dot: true })
      this.#patterns.set(key, { pin, ownerOfMatches: owner, isMatch })
      this.#patternOfOwner.set(owner, pin)
      return
    }
    addTo(this.#byDigest, pin.digest, pin)
    addTo(this.#byName, nameOf(pin, pin.reference), pin)
  }

  /** The one with the key of `pin`. */
  delete(pin: Pin): void {
    const key = keyOf(pin)
    const found = this.#pins.get(key)
    if (found === undefined) return
    this.#pins.delete(key)
    if (found.kind === 'pattern') {
      this.#patterns.delete(key)
      this.#patternOfOwner.delete(ownerOfMatches(found))
      return
    }
    removeFrom(this.#byDigest, found.digest, found)
    removeFrom(this.#byName, nameOf(found, found.reference), found)
  }

  isExpired(pin: Pin): boolean {
    const { expiresAt } = this.patternOf(pin) ?? pin
    return expiresAt !== undefined && expiresAt <= this.#now()
  }

  /** The pattern that a pin is for, of a tag that it has matched. */
  patternOf({ owner }: Pin): PatternPin | undefined {
    return this.#patternOfOwner.get(owner)
  }

  /** Pins of that tag, whoever asked for them. */
  ofTag(place: Place, tag: Tag): readonly ReferencePin[] {
    return [...(this.#byName.get(nameOf(place, tag)) ?? [])]
  }

  /** The owners that pins of that tag should have, for the patterns that match it. */
  ownersFor(place: Place, tag: Tag): readonly string[] {
    if (this.#patterns.size === 0) return []
    const name = nameOf(place, tag)
    const isFit = ({ pin, isMatch }: Matcher) => isMatch(name) && !this.isExpired(pin)
    return [...this.#patterns.values()].filter(isFit).map((one) => one.ownerOfMatches)
  }

  /**
   * Whether the digest is pinned, or is what a tag means that a pattern matches, or refers to
   * something that is one of these or is listed by one. What a pinned manifest lists is looked for only
   * where that is gone, as when it was damaged: else it is kept because its parent is.
   */
  isProtected(digest: Digest, rows: PinRows): boolean {
    if (this.#pins.size === 0) return false
    if (this.#isRoot(digest, rows)) return true
    const seen = new Set(rows.lostParentsOf(digest, MAX_ANCESTORS))
    const subject = rows.subjectOf(digest)
    if (subject !== undefined) seen.add(subject)
    // A set yields what is added to it while it is walked.
    for (const ancestor of seen) {
      if (this.#isRoot(ancestor, rows)) return true
      for (const parent of rows.parentsOf(ancestor, MAX_ANCESTORS)) seen.add(parent)
      const next = rows.subjectOf(ancestor)
      if (next !== undefined) seen.add(next)
      if (seen.size >= MAX_ANCESTORS) return true
    }
    return false
  }

  #isRoot(digest: Digest, rows: PinRows): boolean {
    for (const pin of this.#byDigest.get(digest) ?? []) if (!this.isExpired(pin)) return true
    if (this.#patterns.size === 0) return false
    return rows.tagsOf(digest).some((tag) => this.ownersFor(tag, tag.tag).length > 0)
  }
}

function addTo<K>(map: Map<K, Set<ReferencePin>>, key: K, pin: ReferencePin): void {
  const pins = map.get(key)
  if (pins === undefined) map.set(key, new Set([pin]))
  else pins.add(pin)
}

function removeFrom<K>(map: Map<K, Set<ReferencePin>>, key: K, pin: ReferencePin): void {
  const pins = map.get(key)
  pins?.delete(pin)
  if (pins?.size === 0) map.delete(key)
}
