import type { Digest } from '../oci/digest.ts'
import type { RetentionRows } from './catalog/retention.ts'
import type { SelectionRows } from './catalog/selection.ts'
import type { Leaving } from './plan.ts'
import { keptOnly, type Removed, sum } from './removal.ts'
import type { Slices } from './slices.ts'

/** One thing that is removed, or would be. */
export interface RemovedItem {
  /** A reference, a digest, or the name of a file. */
  readonly name: string
  readonly digest: Digest | undefined
  /** Bytes; `undefined`: it has none of its own, as a tag. */
  readonly size: number | undefined
}

/** What a purge or a collection has removed, or in a dry run would remove. */
export interface RemovalReport {
  readonly removed: Removed
  /** The first thousand; only of a dry run. */
  readonly items: readonly RemovedItem[]
}

const MAX_ITEMS = 1000

/** What a dry run gathers. */
export class Preview {
  readonly items: RemovedItem[] = []
  #removed: Removed

  constructor(kept: Partial<Removed['kept']>) {
    this.#removed = keptOnly(kept)
  }

  add(item: RemovedItem, counted: Partial<Removed>): void {
    if (this.items.length < MAX_ITEMS) this.items.push(item)
    this.#removed = sum(this.#removed, { ...keptOnly({}), ...counted })
  }

  /** @param counted tags that are counted already */
  async addPlan(
    leaving: readonly Leaving[],
    rows: { readonly retention: RetentionRows; readonly selection: SelectionRows },
    slices: Slices,
    counted = 0,
  ): Promise<void> {
    let tags = -counted
    for (const { digest, size } of leaving) {
      if (size === undefined) continue
      const isManifest = rows.retention.isManifest(digest)
      // A tag that was named is an item of its own.
      const tag = isManifest && counted === 0 ? rows.selection.nameOf(digest) : undefined
      tags += rows.selection.tagsOf(digest).length
      const kind = isManifest ? { manifests: 1 } : { blobs: 1 }
      this.add({ name: tag ?? digest, digest, size }, { ...kind, bytes: size })
      await slices.rest()
    }
    this.#removed = { ...this.#removed, tags: this.#removed.tags + Math.max(0, tags) }
  }

  report(): RemovalReport {
    return { removed: this.#removed, items: this.items }
  }
}
