import { REPOSITORY, UPSTREAM, type World } from './world.ts'

const ABSENT = 'absent'

/** A pin as the admin API lists it. */
export interface ListedPin {
  readonly name: string
  readonly digest: string
}

interface Kept {
  /** What it may be: a digest, or {@link ABSENT}. Several, where no answer came. */
  may: ReadonlySet<string>
  /** It may also be at anything that its tag has meant. */
  follows: boolean
  /** Where it was when Larder last said so. */
  digest: string | undefined
  /** The image that was seen to be whole while it was pinned. */
  whole: string | undefined
}

/** Of a tag or a digest, as the admin API says it. */
export function nameOf(reference: string): string {
  return `${UPSTREAM}/${REPOSITORY}${reference.includes(':') ? '@' : ':'}${reference}`
}

/**
 * What Larder has promised to keep: each pin from the answer that acknowledged it until an unpin is
 * sent, and of a pinned image everything from the moment in which each of its contents was a hit
 * while no download was under way, so that it had both its file and its row.
 */
export class Promises {
  readonly #world: World
  readonly #kept = new Map<string, Kept>()
  /** Contents that were damaged on purpose, and have not been seen to be right since. */
  readonly injured = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  /** Until an answer comes it is as before, or pinned. */
  asksToPin(reference: string, follows: boolean): void {
    const kept = this.#of(reference)
    const may = new Set([...kept.may, ...this.#meanings(reference)])
    this.#kept.set(reference, { ...kept, may, follows: follows || kept.follows })
  }

  isPinned(reference: string, digest: string, follows: boolean): void {
    const { whole } = this.#of(reference)
    const isSame = whole === digest
    const kept = { may: new Set([digest]), follows, digest, whole: isSame ? whole : undefined }
    this.#kept.set(reference, kept)
  }

  /** Until an answer comes it is as before, or gone. */
  asksToUnpin(reference: string): void {
    const kept = this.#of(reference)
    const may = new Set([...kept.may, ABSENT])
    this.#kept.set(reference, { ...kept, may, whole: undefined })
  }

  isUnpinned(reference: string): void {
    this.#kept.delete(reference)
  }

  /** A forced removal takes what it names although another pin keeps it. */
  asksToForce(reference: string): void {
    this.asksToUnpin(reference)
    const meanings = this.#meanings(reference)
    for (const kept of this.#kept.values()) {
      if (kept.whole !== undefined && meanings.includes(kept.whole)) kept.whole = undefined
    }
  }

  isWhole(reference: string, digest: string): void {
    const kept = this.#kept.get(reference)
    if (kept !== undefined) kept.whole = digest
  }

  get references(): readonly string[] {
    return [...this.#kept.keys()]
  }

  /** Pins whose images were not yet seen to be whole. */
  get unproven(): readonly (readonly [reference: string, digest: string])[] {
    return [...this.#kept].flatMap(([reference, { may, digest, whole }]) =>
      digest === undefined || may.has(ABSENT) || whole === digest ? [] : [[reference, digest]],
    )
  }

  /** Images of which everything has to be there. To be asked after {@link compare}. */
  get whole(): readonly string[] {
    return [...this.#kept.values()].flatMap(({ whole }) => (whole === undefined ? [] : [whole]))
  }

  /**
   * Compares with what is listed, which from now on is without doubt.
   *
   * @returns what was promised otherwise
   */
  compare(listed: readonly ListedPin[]): string[] {
    const wrong: string[] = []
    const digests = new Map(listed.map(({ name, digest }) => [name, digest]))
    for (const [reference, kept] of this.#kept) {
      const digest = digests.get(nameOf(reference))
      digests.delete(nameOf(reference))
      const may = new Set([...kept.may, ...(kept.follows ? this.#meanings(reference) : [])])
      if (!may.has(digest ?? ABSENT)) {
        wrong.push(`${reference} is pinned at ${digest}, promised was ${[...may].join(' or ')}`)
      }
      if (digest === undefined) this.#kept.delete(reference)
      else {
        const whole = kept.whole === digest ? digest : undefined
        this.#kept.set(reference, { ...kept, may: new Set([digest]), digest, whole })
      }
    }
    for (const [name, digest] of digests) wrong.push(`${name} is pinned at ${digest} by nobody`)
    return wrong
  }

  #of(reference: string): Kept {
    const nothing = { may: new Set([ABSENT]), follows: false, digest: undefined, whole: undefined }
    return this.#kept.get(reference) ?? nothing
  }

  #meanings(reference: string): readonly string[] {
    return reference.includes(':') ? [reference] : this.#world.hasMeant(reference)
  }
}
