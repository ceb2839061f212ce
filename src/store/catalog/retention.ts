import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'

/** What is stored, in the order in which it leaves: by last use, then by digest. */
export interface StoredRow {
  readonly digest: Digest
  readonly size: number
  /** Epoch milliseconds. */
  readonly usedAt: number
}

export interface CandidateRow extends StoredRow {
  /** 1: a manifest that is here lists it, so it leaves with that one. */
  readonly isListed: 0 | 1
}

/** What a manifest lists, whether it is here or not. */
export interface ListedRow {
  readonly digest: Digest
  /** Bytes; `null`: it is not here. */
  readonly size: number | null
  readonly usedAt: number | null
}

/** Where an order by last use goes on. */
export type UseKey = Pick<StoredRow, 'digest' | 'usedAt'>

export interface RemovedRows {
  readonly tags: number
  readonly manifests: number
  readonly blobs: number
  readonly bytes: number
}

interface ByDigest {
  readonly digest: string
}

/**
 * What eviction and removal ask of the rows. Not by promise: what is decided of a row and what is
 * done to it must be one step. Each question is a few rows long.
 */
export class RetentionRows {
  readonly #usedBytes: Statement<[], number>
  readonly #byUse: Statement<[UseKey & { readonly limit: number }], CandidateRow>
  readonly #blob: Statement<[ByDigest], StoredRow>
  readonly #listed: Statement<[ByDigest], ListedRow>
  readonly #nextParent: Statement<[{ readonly child: string; readonly after: string }], Digest>
  readonly #isNamed: Statement<[ByDigest], 0 | 1>
  readonly #isManifest: Statement<[ByDigest], 0 | 1>
  readonly #deleteTags: Statement<[ByDigest]>
  readonly #deleteMembers: Statement<[ByDigest]>
  readonly #deleteManifest: Statement<[ByDigest]>
  readonly #deleteBlob: Statement<[ByDigest]>
  readonly #database: Database
  readonly #transact: (work: () => void) => void

  constructor(database: Database) {
    const hasParent = (digest: string) => `exists (
      select 1 from manifest_children join blobs as parents on parents.digest = parent
      where child = ${digest})`
    this.#usedBytes = database
      .prepare<[], number>('select blob_bytes from totals where id = 1')
      .pluck()
    this.#byUse = database.prepare(
      `select digest, size, last_used_at as usedAt, ${hasParent('blobs.digest')} as isListed
       from blobs indexed by blobs_by_use
       where (last_used_at, digest) > (:usedAt, :digest)
       order by last_used_at, digest limit :limit`,
    )
    this.#blob = database.prepare(
      'select digest, size, last_used_at as usedAt from blobs where digest = :digest',
    )
    this.#listed = database.prepare(
      `select child as digest, blobs.size, last_used_at as usedAt
       from manifest_children left join blobs on blobs.digest = child
       where parent = :digest`,
    )
    this.#nextParent = database
      .prepare<[{ readonly child: string; readonly after: string }], Digest>(
        `select parent from manifest_children join blobs on blobs.digest = parent
         where child = :child and parent > :after order by parent limit 1`,
      )
      .pluck()
    this.#isNamed = database
      .prepare<[ByDigest], 0 | 1>(
        `select ${hasParent(':digest')} or exists (select 1 from blobs where digest = :digest)`,
      )
      .pluck()
    this.#isManifest = database
      .prepare<[ByDigest], 0 | 1>('select exists (select 1 from manifests where digest = :digest)')
      .pluck()
    this.#deleteTags = database.prepare('delete from tags where digest = :digest')
    this.#deleteMembers = database.prepare('delete from members where digest = :digest')
    this.#deleteManifest = database.prepare('delete from manifests where digest = :digest')
    this.#deleteBlob = database.prepare('delete from blobs where digest = :digest')
    this.#database = database
    this.#transact = database.transaction((work: () => void) => work())
  }

  /** Of all rows together. */
  usedBytes(): number {
    return this.#usedBytes.get() ?? 0
  }

  /** At most `limit` that come after `after`. */
  pageByUse(after: UseKey, limit: number): CandidateRow[] {
    return this.#byUse.all({ usedAt: after.usedAt, digest: after.digest, limit })
  }

  blob(digest: Digest): StoredRow | undefined {
    return this.#blob.get({ digest })
  }

  listedBy(manifest: Digest): ListedRow[] {
    return this.#listed.all({ digest: manifest })
  }

  /** The first manifest after `after`, in the order of digests, that is here and lists `child`. */
  nextParent(child: Digest, after: string): Digest | undefined {
    return this.#nextParent.get({ child, after })
  }

  isManifest(digest: Digest): boolean {
    return this.#isManifest.get({ digest }) === 1
  }

  /** All that `work` does, or nothing of it. */
  transact(work: () => void): void {
    this.#transact(work)
  }

  /**
   * The same, but a loss of power may undo it until the next that waits for the disk: every wait
   * holds up all else.
   */
  transactSoon(work: () => void): void {
    this.#database.pragma('synchronous = normal')
    try {
      this.#transact(work)
    } finally {
      this.#database.pragma('synchronous = full')
    }
  }

  /** Of everything that is known of `digest`, but where its tags have pointed. */
  remove(digest: Digest): RemovedRows {
    const size = this.blob(digest)?.size
    const tags = this.#deleteTags.run({ digest }).changes
    this.#deleteMembers.run({ digest })
    const manifests = this.#deleteManifest.run({ digest }).changes
    const blobs = this.#deleteBlob.run({ digest }).changes
    return { tags, manifests, blobs, bytes: size ?? 0 }
  }

  /** What is known of `digest`, if it is neither here nor listed by anything that is. */
  forget(digest: Digest): void {
    if (this.#isNamed.get({ digest }) === 1) return
    this.#deleteMembers.run({ digest })
    this.#deleteManifest.run({ digest })
  }
}
