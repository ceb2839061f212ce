import type { Digest } from '../oci/digest.ts'
import type { ListedRow, RetentionRows, StoredRow } from './catalog/retention.ts'
import type { Leases } from './leases.ts'
import type { Slices } from './slices.ts'

/** What must never be removed, referrers of such included. Whatever it lists stays with it. */
export interface Protection {
  isProtected(digest: Digest): boolean
}

export interface PlanOptions {
  readonly rows: RetentionRows
  readonly leases: Pick<Leases, 'has'>
  readonly protection: Protection
  readonly slices: Slices
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Whether what was used much later than what lists it stays. */
  readonly keepsRecent: boolean
  /** Rows whose files are gone already. */
  readonly gone: Iterable<Digest>
}

export interface Leaving {
  readonly digest: Digest
  /** Bytes; `undefined`: it is not here, and only what is known of it goes. */
  readonly size: number | undefined
}

/** Why something stays. */
export type Kept = 'pinned' | 'inUse'

export type Verdict =
  | { readonly leaving: readonly Leaving[]; readonly bytes: number }
  | { readonly kept: Kept }

/**
 * A pull asks for an index, its manifests and their blobs, one after the other: what was used
 * within this time after what lists it was used with it, and leaves with it.
 */
export const PULL_SPAN_MS = 3_600_000

/**
 * Which content leaves together. A manifest takes along what it lists, unless another manifest that
 * stays lists that too. Nothing is changed here: the plan is made first, so that nothing goes for
 * the sake of what then has no room all the same.
 */
export class Plan {
  readonly #options: PlanOptions
  readonly #gone: Set<Digest>
  /** A manifest that stays, by what it lists. It is looked for in one direction only. */
  readonly #witnesses = new Map<Digest, Digest>()
  readonly #leaving: Leaving[] = []
  /** What stays although what listed it leaves: from then on it is judged by its own use. */
  readonly #released = new Set<Digest>()
  #bytes = 0

  constructor(options: PlanOptions) {
    this.#options = options
    this.#gone = new Set(options.gone)
  }

  /** Everything that leaves, what lists before what is listed. */
  get leaving(): readonly Leaving[] {
    return this.#leaving
  }

  /** What would be gained. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether a manifest that is here, and stays, lists it. */
  isListed(digest: Digest): boolean {
    return this.parentsOf(digest).next().done !== true
  }

  /** The manifests that are here, and stay, and list it. */
  *parentsOf(digest: Digest): Generator<Digest, void, undefined> {
    const { rows } = this.#options
    let parent = rows.nextParent(digest, '')
    for (; parent !== undefined; parent = rows.nextParent(digest, parent)) {
      if (!this.#gone.has(parent)) yield parent
    }
  }

  /** Whether it is listed in the rows, but no longer once this plan is carried out. */
  isReleased(digest: Digest): boolean {
    return this.#released.has(digest) && !this.isListed(digest)
  }

  /** Takes `root` into the plan, with all that leaves with it, or says why it stays. */
  async take(root: StoredRow): Promise<Verdict> {
    if (this.#gone.has(root.digest)) return { leaving: [], bytes: 0 }
    if (this.#options.protection.isProtected(root.digest)) return { kept: 'pinned' }
    if (this.#options.leases.has(root.digest)) return { kept: 'inUse' }
    const family = new Family(root, this.#gone, this.#witnesses)
    for (const member of family.leaving.values()) {
      if (member.size === undefined) continue
      for (const child of this.#options.rows.listedBy(member.digest)) {
        await this.#options.slices.rest()
        if (!this.#leavesWith(root, child, family)) continue
        if (this.#isInUse(root, child)) return { kept: 'inUse' }
        family.leaving.set(child.digest, { digest: child.digest, size: child.size ?? undefined })
      }
    }
    return this.#accept(family)
  }

  #accept(family: Family): Verdict {
    const leaving = [...family.leaving.values()]
    let bytes = 0
    for (const one of leaving) {
      this.#leaving.push(one)
      this.#gone.add(one.digest)
      bytes += one.size ?? 0
    }
    this.#bytes += bytes
    for (const [child, witness] of family.witnesses) this.#witnesses.set(child, witness)
    for (const digest of family.released) this.#released.add(digest)
    return { leaving, bytes }
  }

  #leavesWith(root: StoredRow, child: ListedRow, family: Family): boolean {
    const { keepsRecent, rows, protection } = this.#options
    if (family.isGone(child.digest) || family.isListedElsewhere(child.digest, rows)) return false
    if (child.size === null) return true
    const isRecent = keepsRecent && (child.usedAt ?? 0) > root.usedAt + PULL_SPAN_MS
    if (!isRecent && !protection.isProtected(child.digest)) return true
    family.released.add(child.digest)
    return false
  }

  /** Being read; or on its way here, and so a part of what is being pulled now. */
  #isInUse(root: StoredRow, child: ListedRow): boolean {
    if (!this.#options.leases.has(child.digest)) return false
    return child.size !== null || root.usedAt > this.#options.now() - PULL_SPAN_MS
  }
}

/** What leaves with one root, until it is certain that it does. */
class Family {
  readonly leaving = new Map<Digest, Leaving>()
  readonly witnesses = new Map<Digest, Digest>()
  readonly released = new Set<Digest>()
  readonly #gone: ReadonlySet<Digest>
  readonly #known: ReadonlyMap<Digest, Digest>

  constructor(root: StoredRow, gone: ReadonlySet<Digest>, known: ReadonlyMap<Digest, Digest>) {
    this.#gone = gone
    this.#known = known
    this.leaving.set(root.digest, { digest: root.digest, size: root.size })
  }

  isGone(digest: Digest): boolean {
    return this.leaving.has(digest) || this.#gone.has(digest)
  }

  isListedElsewhere(child: Digest, rows: RetentionRows): boolean {
    let witness = this.witnesses.get(child) ?? this.#known.get(child) ?? rows.nextParent(child, '')
    while (witness !== undefined && this.isGone(witness)) witness = rows.nextParent(child, witness)
    if (witness === undefined) return false
    this.witnesses.set(child, witness)
    return true
  }
}
