import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { PlaceRow, SelectionRows, TagRow } from './catalog/selection.ts'
import type { Plan } from './plan.ts'

/** A tag, or a content, of one place. */
export interface Target {
  readonly place: PlaceRow
  readonly digest: Digest
  readonly tag: Tag | undefined
}

/** What would keep a content that is selected: whatever is not selected with it. */
export class Claims {
  readonly #tags: ReadonlySet<string>
  readonly #places: ReadonlySet<number>

  constructor(targets: readonly Target[]) {
    this.#places = new Set(targets.map(({ place }) => place.id))
    this.#tags = new Set(targets.map(({ place, tag }) => keyOf(place.id, tag)))
  }

  isClaimedElsewhere(digest: Digest, rows: SelectionRows): boolean {
    const isOther = ({ repositoryId, tag }: TagRow) => !this.#tags.has(keyOf(repositoryId, tag))
    if (rows.tagsOf(digest).some(isOther)) return true
    return rows.placesOf(digest).some((id) => !this.#places.has(id))
  }
}

/**
 * Of what leaves a place, what an image that stays there lists: without it that image would need its
 * registry again.
 */
export class Listings {
  readonly #plan: Pick<Plan, 'parentsOf'>
  readonly #rows: SelectionRows
  readonly #digests: ReadonlySet<string>
  readonly #tags: ReadonlySet<string>
  readonly #known = new Map<string, boolean>()

  /** @param plan complete: what is in it goes everywhere */
  constructor(targets: readonly Target[], plan: Pick<Plan, 'parentsOf'>, rows: SelectionRows) {
    this.#plan = plan
    this.#rows = rows
    this.#digests = new Set(targets.map(({ place, digest }) => keyOf(place.id, digest)))
    this.#tags = new Set(targets.map(({ place, tag }) => keyOf(place.id, tag)))
  }

  has(placeId: number, digest: Digest): boolean {
    const key = keyOf(placeId, digest)
    const isListed = this.#known.get(key) ?? this.#isListed(placeId, digest)
    this.#known.set(key, isListed)
    return isListed
  }

  #isListed(placeId: number, digest: Digest): boolean {
    return this.#plan.parentsOf(digest).some((parent) => {
      if (!this.#rows.placesOf(parent).includes(placeId)) return false
      return !this.#isLeaving(placeId, parent) || this.has(placeId, parent)
    })
  }

  #isLeaving(placeId: number, digest: Digest): boolean {
    if (!this.#digests.has(keyOf(placeId, digest))) return false
    const isStaying = ({ repositoryId, tag }: TagRow) =>
      repositoryId === placeId && !this.#tags.has(keyOf(placeId, tag))
    return !this.#rows.tagsOf(digest).some(isStaying)
  }
}

function keyOf(repositoryId: number, reference: string | undefined): string {
  return `${repositoryId} ${reference ?? ''}`
}
