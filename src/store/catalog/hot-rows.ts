import type { Database } from 'better-sqlite3'
import { LRUCache } from 'lru-cache'

import { atMost } from '../../bound.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Child } from '../../oci/manifest.ts'
import type { BlobRecord, Member, Place } from '../ports.ts'

/** The layers of some thousand images in use; one more costs a query. */
const MAX_ROWS = 50_000

/** What an answer depends on besides its own row is in these columns too: see `MemberRows`. */
const CHANGES = [
  'delete on members',
  'update of size, confirmed on members',
  'delete on blobs',
  'update of size, verified_at on blobs',
  'delete on repositories',
  'update of public_at on repositories',
]

/**
 * Answers of the catalog that every hit asks for, in memory. The database itself says when one of
 * them may be another, whoever wrote: then all are forgotten. So an answer is never older than the
 * database, and a rollout, in which nothing is written, asks it once.
 */
export class HotRows {
  readonly #members = new LRUCache<string, Member>(atMost(MAX_ROWS))
  readonly #blobs = new LRUCache<Digest, BlobRecord>(atMost(MAX_ROWS))
  #changes = 0

  constructor(database: Database) {
    database.function('hot_rows_changed', () => {
      this.#forget()
      return 0
    })
    for (const [index, change] of CHANGES.entries()) {
      // Of this connection alone: nothing of it is in the file.
      database.exec(
        `create temp trigger hot_rows_${index} after ${change} begin select hot_rows_changed(); end`,
      )
    }
  }

  /** Only a proof is remembered: what a place is not proven to have it may have the next moment. */
  member(
    place: Place,
    digest: Digest,
    kind: Child['kind'],
    ask: () => Promise<Member | undefined>,
  ): Promise<Member | undefined> {
    const key = `${kind}\n${digest}\n${place.upstream}\n${place.repository}`
    return this.#recall(this.#members, key, ask, (member) => member?.isProven === true)
  }

  blob(
    digest: Digest,
    ask: () => Promise<BlobRecord | undefined>,
  ): Promise<BlobRecord | undefined> {
    return this.#recall(this.#blobs, digest, ask, (blob) => blob !== undefined)
  }

  async #recall<Key extends string, Row extends object>(
    rows: LRUCache<Key, Row>,
    key: Key,
    ask: () => Promise<Row | undefined>,
    isKept: (row: Row | undefined) => boolean,
  ): Promise<Row | undefined> {
    const known = rows.get(key)
    if (known !== undefined) return known
    const changes = this.#changes
    const row = await ask()
    // What has changed meanwhile is not known to be so still.
    if (row !== undefined && isKept(row) && changes === this.#changes) rows.set(key, row)
    return row
  }

  #forget(): void {
    this.#changes++
    if (this.#members.size > 0) this.#members.clear()
    if (this.#blobs.size > 0) this.#blobs.clear()
  }
}
