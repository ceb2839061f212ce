import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Child } from '../ports.ts'

interface MemberKey {
  readonly repositoryId: number
  readonly digest: Digest
  readonly kind: Child['kind']
}

/** Rows of `members`: what each repository is known to have. */
export class MemberRows {
  readonly #upsert: Statement<[MemberKey & { readonly size: number }]>
  readonly #select: Statement<[MemberKey], { readonly size: number }>
  readonly #delete: Statement<[MemberKey]>

  constructor(database: Database) {
    // A size that is known is not given up for one that is not.
    this.#upsert = database.prepare(
      `insert into members values (:repositoryId, :digest, :kind, :size)
       on conflict do update set size = excluded.size
       where excluded.size >= 0 and excluded.size <> members.size`,
    )
    const where = 'where repository_id = :repositoryId and digest = :digest and kind = :kind'
    this.#select = database.prepare(`select size from members ${where}`)
    this.#delete = database.prepare(`delete from members ${where}`)
  }

  put(repositoryId: number, { digest, kind, size }: Child): void {
    this.#upsert.run({ repositoryId, digest, kind, size })
  }

  get(key: MemberKey): { readonly size: number } | undefined {
    return this.#select.get(key)
  }

  delete(key: MemberKey): void {
    this.#delete.run(key)
  }
}
