export interface Storage {
  read(): Promise<StorageReport>
  /** A minute old at most. */
  usage(): Promise<SpaceReport>
}

/** Who uses the disk. */
export interface SpaceReport {
  /** Epoch milliseconds. */
  readonly countedAt: number
  /** The largest first. */
  readonly upstreams: readonly (SpaceShare & { readonly upstream: string })[]
  /** The largest fifty. */
  readonly repositories: readonly (SpaceShare & {
    readonly upstream: string
    readonly repository: string
  })[]
  /** What no repository is known to have, as after a database was lost. */
  readonly unclaimed: Omit<SpaceShare, 'sharedBytes'>
}

export interface SpaceShare {
  readonly bytes: number
  readonly blobs: number
  /** Of the bytes, those that another has too. */
  readonly sharedBytes: number
}

/** All sizes in bytes. */
export interface StorageReport {
  readonly usedBytes: number
  /** `storage.maxSize`, of a share its bytes. */
  readonly quotaBytes: number
  readonly availableBytes: number
  readonly pinnedBytes: number
  readonly blobs: number
  readonly manifests: number
  readonly tags: number
  /** Downloads under way or left to be resumed. */
  readonly parts: { readonly count: number; readonly bytes: number }
  /** What eviction would take first. */
  readonly next: readonly NextToGo[]
}

export interface NextToGo {
  /** A reference where it has one, else its digest. */
  readonly name: string
  readonly bytes: number
  /** Epoch milliseconds. */
  readonly lastUsedAt: number
}
