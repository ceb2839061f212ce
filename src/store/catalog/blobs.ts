import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { CatalogTotals } from '../ports.ts'

export interface BlobRow {
  readonly digest: Digest
  readonly size: number
}

interface Use {
  readonly digest: Digest
  readonly at: number
}

/** Rows of `blobs`: the files of the blob store, with when they were used. */
export class BlobRows {
  readonly #upsert: Statement<[BlobRow & Use]>
  readonly #adopt: Statement<[BlobRow & Use]>
  readonly #select: Statement<[{ readonly digest: Digest }], { readonly size: number }>
  readonly #delete: Statement<[{ readonly digest: Digest }]>
  readonly #touch: Statement<[Use]>
  readonly #page: Statement<[{ readonly after: string; readonly limit: number }], Digest>
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
    this.#select = database.prepare('select size from blobs where digest = :digest')
    this.#delete = database.prepare('delete from blobs where digest = :digest')
    this.#touch = database.prepare(
      'update blobs set last_used_at = :at where digest = :digest and last_used_at < :at',
    )
    this.#page = database
      .prepare<[{ readonly after: string; readonly limit: number }], Digest>(
        'select digest from blobs where digest > :after order by digest limit :limit',
      )
      .pluck()
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

  get(digest: Digest): { readonly size: number } | undefined {
    return this.#select.get({ digest })
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
