import type { Database, Statement } from 'better-sqlite3'

import type { ListRecord } from '../ports.ts'

export type ListKind = 'tags' | 'referrers'

interface ListKey {
  readonly repositoryId: number
  readonly kind: ListKind
  readonly key: string
}

/** Rows of `lists`: remembered answers of registries. */
export class ListRows {
  readonly #select: Statement<[ListKey], ListRecord>
  readonly #upsert: Statement<[ListKey & ListRecord]>
  readonly #delete: Statement<[Omit<ListKey, 'key'>]>

  constructor(database: Database) {
    this.#select = database.prepare(
      `select body, checked_at as checkedAt from lists
       where repository_id = :repositoryId and kind = :kind and key = :key`,
    )
    this.#upsert = database.prepare(
      `insert into lists values (:repositoryId, :kind, :key, :body, :checkedAt)
       on conflict do update set body = excluded.body, checked_at = excluded.checked_at`,
    )
    this.#delete = database.prepare(
      'delete from lists where repository_id = :repositoryId and kind = :kind',
    )
  }

  get(key: ListKey): ListRecord | undefined {
    return this.#select.get(key)
  }

  put(key: ListKey, { body, checkedAt }: ListRecord): void {
    this.#upsert.run({ ...key, body, checkedAt })
  }

  deleteAll(repositoryId: number, kind: ListKind): void {
    this.#delete.run({ repositoryId, kind })
  }
}
