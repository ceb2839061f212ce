import type { Target } from './target.ts'

/** What is to be removed. */
export type Selection =
  | Target
  | { readonly kind: 'upstream'; readonly upstream: string }
  | { readonly kind: 'unused'; readonly forMs: number }
  /** Least recently used first, until no more than so many bytes are left. */
  | { readonly kind: 'size'; readonly bytes: number }

export interface Removal {
  /** What is pinned is kept, and counted so, unless it is forced. */
  purge(selection: Selection, options: PurgeOptions): Promise<Removed>
  /** Removes what nobody can come by any more, and what downloads and damage left behind. */
  gc(options: GcOptions): Promise<Collected>
}

export interface PurgeOptions {
  readonly dryRun: boolean
  /** Whether what is pinned goes too. */
  readonly force: boolean
}

export interface GcOptions {
  readonly dryRun: boolean
  /** What was used since stays; `undefined`: the store's own rule. */
  readonly olderThanMs: number | undefined
}

/** What went, or in a dry run would go. */
export interface Removed {
  readonly tags: number
  readonly manifests: number
  /** Without manifests. */
  readonly blobs: number
  /** Of both. */
  readonly bytes: number
  /** What was selected and stays. */
  readonly kept: {
    readonly pinned: number
    readonly inUse: number
    /** Part of an image of the same repository that stays. */
    readonly listed: number
  }
  /** The first of them, by name; only of a dry run. */
  readonly items: readonly RemovedItem[]
}

export interface RemovedItem {
  /** A reference, a digest, or the name of a file. */
  readonly name: string
  /** Bytes; `undefined`: it has none of its own, as a tag. */
  readonly size: number | undefined
}

export interface Collected extends Removed {
  /** Parts of downloads, damaged content put aside, and content without a row. */
  readonly files: { readonly count: number; readonly bytes: number }
}
