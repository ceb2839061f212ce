import type { Database, Statement } from 'better-sqlite3'

import type { Tag } from '../../oci/reference.ts'

/** One list of a registry's, where an order by the time of its check goes on. */
export interface ListPosition {
  readonly checkedAt: number
  readonly id: number
}

export interface ListSize extends ListPosition {
  /** Bytes. */
  readonly size: number
}

/** What a tag has pointed at. */
export interface History {
  readonly repositoryId: number
  readonly tag: Tag
  readonly moves: number
  /** 1: the tag is known at present. */
  readonly isHere: 0 | 1
}

/**
 * What is remembered beside content, and would grow with everything that is ever asked: registries'
 * lists, and where tags have pointed. Not by promise: see {@link RetentionRows}.
 */
export class RememberedRows {
  readonly #lists: Statement<[ListPosition & { readonly limit: number }], ListSize>
  readonly #forgetLists: Statement<[ListPosition & { readonly limit: number }]>
  readonly #histories: Statement<
    [{ readonly repositoryId: number; readonly tag: string; readonly limit: number }],
    History
  >
  readonly #shorten: Statement<
    [{ readonly repositoryId: number; readonly tag: Tag; readonly keep: number }]
  >
  readonly #forgetHistory: Statement<
    [{ readonly repositoryId: number; readonly tag: Tag; readonly before: number }]
  >

  constructor(database: Database) {
    this.#lists = database.prepare(
      `select rowid as id, checked_at as checkedAt, octet_length(body) as size
       from lists indexed by lists_by_check
       where (checked_at, rowid) < (:checkedAt, :id)
       order by checked_at desc, rowid desc limit :limit`,
    )
    this.#forgetLists = database.prepare(
      `delete from lists where rowid in (
         select rowid from lists indexed by lists_by_check
         where (checked_at, rowid) <= (:checkedAt, :id)
         order by checked_at, rowid limit :limit)`,
    )
    this.#histories = database.prepare(
      `select repository_id as repositoryId, tag, count(*) as moves,
         exists (select 1 from tags where tags.repository_id = tag_history.repository_id
           and tags.tag = tag_history.tag) as isHere
       from tag_history where (repository_id, tag) > (:repositoryId, :tag)
       group by repository_id, tag order by repository_id, tag limit :limit`,
    )
    this.#shorten = database.prepare(
      `delete from tag_history where id in (
         select id from tag_history where repository_id = :repositoryId and tag = :tag
         order by seen_at desc, id desc limit -1 offset :keep)`,
    )
    this.#forgetHistory = database.prepare(
      `delete from tag_history where repository_id = :repositoryId and tag = :tag
         and seen_at < :before
         and not exists (select 1 from blobs where blobs.digest = tag_history.digest)`,
    )
  }

  /** At most `limit`, the newest first, that come before `before` in time. */
  pageLists(before: ListPosition, limit: number): ListSize[] {
    return this.#lists.all({ checkedAt: before.checkedAt, id: before.id, limit })
  }

  /** At most `limit` of those up to `last`, the oldest first; says how many. */
  forgetLists({ checkedAt, id }: ListPosition, limit: number): number {
    return this.#forgetLists.run({ checkedAt, id, limit }).changes
  }

  pageHistories(after: Pick<History, 'repositoryId' | 'tag'>, limit: number): History[] {
    return this.#histories.all({ repositoryId: after.repositoryId, tag: after.tag, limit })
  }

  /** Leaves the newest `keep` moves. */
  shortenHistory(repositoryId: number, tag: Tag, keep: number): void {
    this.#shorten.run({ repositoryId, tag, keep })
  }

  /** Moves seen before `before`, epoch milliseconds, to what is not here. */
  forgetHistory(repositoryId: number, tag: Tag, before: number): void {
    this.#forgetHistory.run({ repositoryId, tag, before })
  }
}
