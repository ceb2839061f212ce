import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { CatalogTotals } from '../ports.ts'

export interface BlobRow {
  readonly digest: Digest
  readonly size: number
}

/** A row, and when its bytes were last hashed. */
export interface StoredBlob extends BlobRow {
  /** Epoch milliseconds; `undefined`: not known. */
  readonly verifiedAt: number | undefined
}

/** Where an order by last check goes on. What was never checked comes first. */
export interface CheckKey {
  readonly verifiedAt: number | undefined
  readonly digest: string
}

interface RawBlob extends BlobRow {
  readonly verifiedAt: number | null
}

interface Use {
  readonly digest: Digest
  readonly at: number
}

/** Rows of `blobs`: the files of the blob store, with when they were used. */
export class BlobRows {
  readonly #upsert: Statement<[BlobRow & Use]>
  readonly #adopt: Statement<[BlobRow & Use]>
  readonly #select: Statement<[{ readonly digest: Digest }], Omit<RawBlob, 'digest'>>
  readonly #unknown: Statement<[{ readonly digests: string }], Digest>
  readonly #delete: Statement<[{ readonly digest: Digest }]>
  readonly #touch: Statement<[Use]>
  readonly #page: Statement<[{ readonly after: string; readonly limit: number }], Digest>
  readonly #checked: Statement<[Use]>
  readonly #pageChecked: Statement<[{ readonly after: string; readonly limit: number }], RawBlob>
  readonly #neverChecked: Statement<[{ readonly after: string; readonly limit: number }], RawBlob>
  readonly #byCheck: Statement<
    [{ at: number; after: string; until: number; limit: number }],
    RawBlob
  >
  readonly #totals: Statement<[], CatalogTotals>

  constructor(database: Database) {
    this.#upsert = database.prepare(
      `insert into blobs values (:digest, :size, :at, :at, :at)
       on conflict do update set size = excluded.size, verified_at = excluded.verified_at,
         last_used_at = max(blobs.last_used_at, excluded.last_used_at)`,
    )
    this.#adopt = database.prepare(
      `insert into blobs values (:digest, :size, :at, :at, null) on conflict do nothing`,
    )
    this.#select = database.prepare(
      'select size, verified_at as verifiedAt from blobs where digest = :digest',
    )
    this.#unknown = database
      .prepare<[{ readonly digests: string }], Digest>(
        `select value from json_each(:digests)
         where not exists (select 1 from blobs where digest = value)`,
      )
      .pluck()
    this.#delete = database.prepare('delete from blobs where digest = :digest')
    this.#touch = database.prepare(
      'update blobs set last_used_at = :at where digest = :digest and last_used_at < :at',
    )
    this.#page = database
      .prepare<[{ readonly after: string; readonly limit: number }], Digest>(
        'select digest from blobs where digest > :after order by digest limit :limit',
      )
      .pluck()
    this.#checked = database.prepare('update blobs set verified_at = :at where digest = :digest')
    const row = 'select digest, size, verified_at as verifiedAt from blobs'
    this.#pageChecked = database.prepare(
      `${row} where digest > :after order by digest limit :limit`,
    )
    this.#neverChecked = database.prepare(
      `${row} indexed by blobs_by_check where verified_at is null and digest > :after
       order by digest limit :limit`,
    )
    this.#byCheck = database.prepare(
      `${row} indexed by blobs_by_check
       where verified_at <= :until and (verified_at, digest) > (:at, :after)
       order by verified_at, digest limit :limit`,
    )
    this.#totals = database.prepare(
      'select blobs, blob_bytes as blobBytes, manifests, tags from totals where id = 1',
    )
  }

  /** Of bytes that were just verified. */
  put(digest: Digest, size: number, at: number): void {
    this.#upsert.run({ digest, size, at })
  }

  /** Of a file that was found: it was verified when it got its name, but that time is not known. */
  adopt(digest: Digest, size: number, at: number): void {
    this.#adopt.run({ digest, size, at })
  }

  get(digest: Digest): Omit<StoredBlob, 'digest'> | undefined {
    const row = this.#select.get({ digest })
    return row && { size: row.size, verifiedAt: row.verifiedAt ?? undefined }
  }

  /** Those of `digests` that have no row: one question, as each costs more than a row. */
  unknown(digests: readonly Digest[]): Digest[] {
    return this.#unknown.all({ digests: JSON.stringify(digests) })
  }

  /** Its bytes were hashed, and right. */
  checked(digest: Digest, at: number): void {
    this.#checked.run({ digest, at })
  }

  /** At most `limit` that sort after `after`, in the order of digests. */
  pageChecked(after: string, limit: number): StoredBlob[] {
    return this.#pageChecked.all({ after, limit }).map(fromRaw)
  }

  /** At most `limit` that were not checked since `until`, longest ago first. */
  pageByCheck(after: CheckKey, until: number, limit: number): StoredBlob[] {
    const { verifiedAt, digest } = after
    const never = verifiedAt === undefined ? this.#neverChecked.all({ after: digest, limit }) : []
    if (never.length > 0) return never.map(fromRaw)
    const from =
      verifiedAt === undefined ? { at: -1, after: '' } : { at: verifiedAt, after: digest }
    return this.#byCheck.all({ ...from, until, limit }).map(fromRaw)
  }

  delete(digest: Digest): void {
    this.#delete.run({ digest })
  }

  touch(digest: Digest, at: number): void {
    this.#touch.run({ digest, at })
  }

  /** At most `limit` digests that sort after `after`. */
  page(after: string, limit: number): Digest[] {
    return this.#page.all({ after, limit })
  }

  totals(): CatalogTotals {
    return this.#totals.get() ?? { blobs: 0, blobBytes: 0, manifests: 0, tags: 0 }
  }
}

function fromRaw({ verifiedAt, ...row }: RawBlob): StoredBlob {
  return { ...row, verifiedAt: verifiedAt ?? undefined }
}
