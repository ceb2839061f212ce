/**
 * The steps of the store between which a process may die, in the order in which they come. Tests end
 * it, or have it fail, at each of them; otherwise nothing happens there.
 */
export const FAILPOINTS = [
  'ingest.open',
  'ingest.append',
  'commit.beforeSync',
  'commit.afterSync',
  'commit.afterRename',
  'commit.afterDirectorySync',
  'put.beforeSync',
  'put.afterSync',
  'catalog.beforeBlob',
  'catalog.afterBlob',
  'catalog.beforeManifest',
  'catalog.afterManifest',
  'evict.chosen',
  'evict.rowsDeleted',
  'evict.unlinked',
  'pin.beforeRename',
  'pin.afterRename',
  'pin.afterRow',
  'unpin.afterUnlink',
  'scrub.damaged',
  'scrub.quarantined',
  'import.staged',
  'import.committed',
  'import.published',
] as const

export type Failpoint = (typeof FAILPOINTS)[number]

/** Told that a step is reached. What it throws is what the step fails with. */
export type FailAt = (point: Failpoint) => void

/** Nothing ever fails of itself. */
export const NEVER_FAILS: FailAt = () => {}
