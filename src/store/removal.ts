import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { RetentionRows } from './catalog/retention.ts'
import { isRefusedWrite } from './errors.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import type { Leases } from './leases.ts'
import type { Leaving, Protection } from './plan.ts'
import type { BlobStore, Place } from './ports.ts'
import type { Quota } from './quota.ts'
import { Slices } from './slices.ts'
import type { Unlinking } from './unlinking.ts'

export type EvictionReason = 'lru' | 'unused' | 'manual' | 'corrupt'

export interface StoreEvents {
  /** So many contents, manifests included, with so many bytes. */
  evicted(reason: EvictionReason, contents: number, bytes: number): void
  /** They are no longer here: what is remembered of them elsewhere is to be forgotten. */
  removed(digests: readonly Digest[]): void
  /** The place no longer has them, wherever else their bytes may be wanted: the same. */
  purged(place: Place, references: readonly (Tag | Digest)[]): void
  storeFailed(operation: string, error: unknown): void
}

export interface Removed {
  readonly tags: number
  readonly manifests: number
  /** Without manifests. */
  readonly blobs: number
  /** Of both. */
  readonly bytes: number
  /** What was asked for and stays. */
  readonly kept: {
    readonly pinned: number
    readonly inUse: number
    /** Part of an image of the same place that stays. */
    readonly listed: number
  }
}

export interface RemovalOptions {
  readonly rows: RetentionRows
  readonly blobs: Pick<BlobStore, 'delete' | 'stat'>
  readonly quota: Quota
  readonly leases: Pick<Leases, 'has'>
  readonly unlinking: Pick<Unlinking, 'add'>
  readonly events: StoreEvents
  readonly failAt?: FailAt
}

/** What is deleted before everything else gets its turn. */
const SLICE = 32

const NOTHING: Removed = {
  tags: 0,
  manifests: 0,
  blobs: 0,
  bytes: 0,
  kept: { pinned: 0, inUse: 0, listed: 0 },
}

/**
 * Carries out what was planned: rows first, then files, so that no row is ever without its file for
 * long. When the database refuses, files go first: that makes the room it needs, and a row without
 * a file is only a miss.
 */
export class Removal {
  readonly #options: RemovalOptions
  readonly #failAt: FailAt
  /** Files that are gone and whose rows could not be deleted, with their bytes. */
  readonly #owed = new Map<Digest, number>()

  constructor(options: RemovalOptions) {
    this.#options = options
    this.#failAt = options.failAt ?? NEVER_FAILS
  }

  /** Contents whose rows remain although they are gone. */
  get owed(): Iterable<Digest> {
    return this.#owed.keys()
  }

  /** Before a content that is held gets its final name: the row of an older one may still be owed. */
  forgive(digest: Digest): void {
    if (this.#owed.delete(digest)) this.#reckon()
  }

  /**
   * Removes what `plan` says, in slices, in its order. What has become pinned, used or listed since
   * it was planned stays.
   */
  async run(
    plan: readonly Leaving[],
    reason: EvictionReason,
    protection: Protection,
  ): Promise<Removed> {
    this.#failAt('evict.chosen')
    const slices = new Slices()
    let total = NOTHING
    for (let at = 0; at < plan.length; ) {
      const slice = new Doomed()
      at = this.#condemn(plan, at, slice, protection, slices)
      this.#failAt('evict.rowsDeleted')
      const unlinked = this.#unlink(slice)
      await unlinked
      this.#failAt('evict.unlinked')
      total = sum(total, slice.removed)
      this.#report(slice, reason)
      if (this.#owed.size > 0) await this.settleDebts()
      await slices.end()
    }
    return total
  }

  /** Deletes the rows whose files went first. Never rejects: what is refused again is owed on. */
  async settleDebts(): Promise<void> {
    const { rows, blobs } = this.#options
    const slices = new Slices()
    for (const digest of [...this.#owed.keys()]) {
      const isBack = (await blobs.stat(digest).catch(() => undefined)) !== undefined
      if (!this.#owed.has(digest)) continue
      try {
        if (!isBack) rows.transact(() => void rows.remove(digest))
      } catch (error) {
        if (!isRefusedWrite(error)) throw error
        return
      }
      this.#owed.delete(digest)
      this.#reckon()
      await slices.rest()
    }
  }

  /** @returns where the next slice begins */
  #condemn(
    plan: readonly Leaving[],
    from: number,
    slice: Doomed,
    protection: Protection,
    slices: Slices,
  ): number {
    const { rows } = this.#options
    let at = from
    // A row that comes back has no file, and goes at the next start: the last waits for them all.
    const isLast = from + SLICE >= plan.length
    const transact = (work: () => void) => (isLast ? rows.transact(work) : rows.transactSoon(work))
    try {
      transact(() => {
        for (; at < plan.length && at < from + SLICE && (at === from || !slices.isOver); at++) {
          const one = plan[at]
          if (one === undefined) continue
          if (one.size === undefined) rows.forget(one.digest)
          else if (this.#mayGo(one.digest, slice, protection)) {
            slice.add(one.digest, rows.remove(one.digest))
          }
        }
      })
    } catch (error) {
      if (!isRefusedWrite(error)) throw error
      this.#options.events.storeFailed('evict', error)
      slice.clear()
      return this.#condemnFiles(plan, from, slice, protection)
    }
    return at
  }

  /** The rows cannot be deleted now: only the files go. */
  #condemnFiles(
    plan: readonly Leaving[],
    from: number,
    slice: Doomed,
    protection: Protection,
  ): number {
    const { rows } = this.#options
    const end = Math.min(plan.length, from + SLICE)
    for (const { digest, size } of plan.slice(from, end)) {
      if (size === undefined || !this.#mayGo(digest, slice, protection)) continue
      const isManifest = rows.isManifest(digest)
      slice.add(digest, { tags: 0, manifests: isManifest ? 1 : 0, blobs: 1, bytes: size })
      this.#owed.set(digest, size)
    }
    this.#reckon()
    return end
  }

  #mayGo(digest: Digest, slice: Doomed, protection: Protection): boolean {
    const { rows, leases } = this.#options
    if (this.#owed.has(digest)) return false
    if (rows.blob(digest) === undefined) return false
    if (protection.isProtected(digest)) return slice.keep('pinned')
    if (leases.has(digest)) return slice.keep('inUse')
    let parent = rows.nextParent(digest, '')
    while (parent !== undefined && this.#owed.has(parent)) parent = rows.nextParent(digest, parent)
    return parent === undefined
  }

  #unlink(slice: Doomed): Promise<unknown> {
    const { blobs, quota, unlinking, events } = this.#options
    return Promise.all(
      [...slice.bytes].map(([digest, bytes]) => {
        const endGoing = quota.going(bytes)
        const unlinked = blobs.delete(digest).then(
          () => quota.gone(digest, bytes),
          (error: unknown) => events.storeFailed('evict', error),
        )
        const ended = unlinked.finally(endGoing)
        unlinking.add(digest, ended)
        return ended
      }),
    )
  }

  #report(slice: Doomed, reason: EvictionReason): void {
    const { events } = this.#options
    if (slice.bytes.size === 0) return
    events.evicted(reason, slice.bytes.size, slice.removed.bytes)
    events.removed([...slice.bytes.keys()])
  }

  #reckon(): void {
    let bytes = 0
    for (const size of this.#owed.values()) bytes += size
    this.#options.quota.owe(bytes)
  }
}

/** What goes in one slice. */
class Doomed {
  /** By digest. */
  readonly bytes = new Map<Digest, number>()
  removed = NOTHING

  add(
    digest: Digest,
    rows: { readonly tags: number; readonly manifests: number; readonly bytes: number } & {
      readonly blobs: number
    },
  ): void {
    this.bytes.set(digest, rows.bytes)
    const { tags, manifests, bytes } = rows
    const blobs = rows.blobs - Math.min(rows.blobs, manifests)
    this.removed = sum(this.removed, { ...NOTHING, tags, manifests, blobs, bytes })
  }

  keep(why: keyof Removed['kept']): false {
    const kept = { ...NOTHING.kept, [why]: 1 }
    this.removed = sum(this.removed, { ...NOTHING, kept })
    return false
  }

  clear(): void {
    this.bytes.clear()
    this.removed = NOTHING
  }
}

/** @returns both together */
export function sum(one: Removed, other: Removed): Removed {
  return {
    tags: one.tags + other.tags,
    manifests: one.manifests + other.manifests,
    blobs: one.blobs + other.blobs,
    bytes: one.bytes + other.bytes,
    kept: {
      pinned: one.kept.pinned + other.kept.pinned,
      inUse: one.kept.inUse + other.kept.inUse,
      listed: one.kept.listed + other.kept.listed,
    },
  }
}

/** Nothing was removed, though so much of what was asked for stays. */
export function keptOnly(kept: Partial<Removed['kept']>): Removed {
  return { ...NOTHING, kept: { ...NOTHING.kept, ...kept } }
}
