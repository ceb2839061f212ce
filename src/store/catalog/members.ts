import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Child } from '../../oci/manifest.ts'
import type { Member, Place } from '../ports.ts'

interface MemberKey {
  readonly repositoryId: number
  readonly digest: Digest
  readonly kind: Child['kind']
}

interface MemberRow {
  readonly size: number
  readonly proven: 0 | 1
}

interface Pulls {
  readonly count: number
  /** The last of them, epoch milliseconds. */
  readonly at: number
}

/** A place that has it, or lists it, as that kind. */
export interface MemberPlace extends Place {
  readonly kind: Child['kind']
}

/** Rows of `members`: what each repository is known to have. */
export class MemberRows {
  readonly #upsert: Statement<[MemberKey & { readonly size: number; readonly confirmed: 0 | 1 }]>
  readonly #select: Statement<[MemberKey], MemberRow>
  readonly #delete: Statement<[MemberKey]>
  readonly #pulled: Statement<[Omit<MemberKey, 'kind'> & Pulls]>
  readonly #placesOf: Statement<[{ readonly digest: Digest; readonly limit: number }], MemberPlace>

  constructor(database: Database) {
    // Neither a size that is known nor a confirmation is given up for none.
    this.#upsert = database.prepare(
      `insert into members (repository_id, digest, kind, size, confirmed)
       values (:repositoryId, :digest, :kind, :size, :confirmed)
       on conflict do update set
         size = case when excluded.size < 0 then members.size else excluded.size end,
         confirmed = max(members.confirmed, excluded.confirmed)
       where (excluded.size >= 0 and excluded.size <> members.size)
         or excluded.confirmed > members.confirmed`,
    )
    const where = 'where repository_id = :repositoryId and digest = :digest and kind = :kind'
    // What a public place was shown to have is nobody's secret, wherever else it is listed.
    this.#select = database.prepare(
      `select size, confirmed = 1 or exists (
         select 1
         from members as other join repositories on repositories.id = other.repository_id
         where other.digest = members.digest and other.kind = members.kind
           and other.confirmed = 1 and repositories.public_at is not null
       ) as proven
       from members ${where}`,
    )
    this.#pulled = database.prepare(
      `update members set pulls = pulls + :count, pulled_at = max(coalesce(pulled_at, 0), :at)
       where repository_id = :repositoryId and digest = :digest and kind = 'manifest'`,
    )
    this.#delete = database.prepare(`delete from members ${where}`)
    const places = (confirmed: 0 | 1) =>
      `select upstreams.name as upstream, repositories.name as repository, kind
       from members
         join repositories on repositories.id = members.repository_id
         join upstreams on upstreams.id = repositories.upstream_id
       where digest = :digest and confirmed = ${confirmed}`
    this.#placesOf = database.prepare(`${places(1)} union all ${places(0)} limit :limit`)
  }

  /** The registry has given or confirmed it there. */
  confirm(repositoryId: number, { digest, kind, size }: Child): void {
    this.#upsert.run({ repositoryId, digest, kind, size, confirmed: 1 })
  }

  /** A manifest there names it. */
  list(repositoryId: number, { digest, kind, size }: Child): void {
    this.#upsert.run({ repositoryId, digest, kind, size, confirmed: 0 })
  }

  /** A manifest was pulled there so many more times. */
  pulled(repositoryId: number, digest: Digest, { count, at }: Pulls): void {
    this.#pulled.run({ repositoryId, digest, count, at })
  }

  get(key: MemberKey): Member | undefined {
    const row = this.#select.get(key)
    return row && { size: row.size, isProven: row.proven === 1 }
  }

  /** At most `limit`; first those whose registry has given or confirmed it. */
  placesOf(digest: Digest, limit: number): MemberPlace[] {
    return this.#placesOf.all({ digest, limit })
  }

  delete(key: MemberKey): void {
    this.#delete.run(key)
  }
}
