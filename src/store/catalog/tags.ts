import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/reference.ts'
import type { TagRecord } from '../ports.ts'

interface TagKey {
  readonly repositoryId: number
  readonly tag: Tag
}

interface TagRow {
  readonly digest: Digest
  readonly checkedAt: number
  readonly refusedAt: number | null
}

/** Rows of `tags`, what each points at, and of `tag_history`, what it has pointed at. */
export class TagRows {
  readonly #select: Statement<[TagKey], TagRow>
  readonly #upsert: Statement<[TagKey & TagRecord]>
  readonly #refuse: Statement<[TagKey & { readonly refusedAt: number }]>
  readonly #delete: Statement<[TagKey]>
  readonly #list: Statement<[{ readonly repositoryId: number }], Tag>
  readonly #insertHistory: Statement<[TagKey & TagRecord]>
  readonly #listHistory: Statement<[TagKey], { readonly digest: Digest; readonly seenAt: number }>

  constructor(database: Database) {
    const where = 'where repository_id = :repositoryId and tag = :tag'
    this.#select = database.prepare(
      `select digest, checked_at as checkedAt, refused_at as refusedAt from tags ${where}`,
    )
    this.#upsert = database.prepare(
      `insert into tags (repository_id, tag, digest, checked_at)
       values (:repositoryId, :tag, :digest, :checkedAt)
       on conflict do update set
         digest = excluded.digest, checked_at = excluded.checked_at, refused_at = null`,
    )
    this.#refuse = database.prepare(`update tags set refused_at = :refusedAt ${where}`)
    this.#delete = database.prepare(`delete from tags ${where}`)
    this.#list = database
      .prepare<[{ readonly repositoryId: number }], Tag>(
        'select tag from tags where repository_id = :repositoryId order by tag',
      )
      .pluck()
    this.#insertHistory = database.prepare(
      `insert into tag_history (repository_id, tag, digest, seen_at)
       values (:repositoryId, :tag, :digest, :checkedAt)`,
    )
    this.#listHistory = database.prepare(
      `select digest, seen_at as seenAt from tag_history ${where} order by seen_at, id`,
    )
  }

  get(repositoryId: number, tag: Tag): TagRecord | undefined {
    const row = this.#select.get({ repositoryId, tag })
    if (row === undefined) return undefined
    const { refusedAt, ...record } = row
    return refusedAt === null ? record : { ...record, refusedAt }
  }

  /** Within a transaction of the caller's. */
  put(repositoryId: number, tag: Tag, { digest, checkedAt }: TagRecord): void {
    const row = { repositoryId, tag, digest, checkedAt }
    if (this.get(repositoryId, tag)?.digest !== digest) this.#insertHistory.run(row)
    this.#upsert.run(row)
  }

  refuse(repositoryId: number, tag: Tag, refusedAt: number): void {
    this.#refuse.run({ repositoryId, tag, refusedAt })
  }

  /** The history stays. */
  delete(repositoryId: number, tag: Tag): void {
    this.#delete.run({ repositoryId, tag })
  }

  list(repositoryId: number): Tag[] {
    return this.#list.all({ repositoryId })
  }

  listHistory(repositoryId: number, tag: Tag) {
    return this.#listHistory.all({ repositoryId, tag })
  }
}
