import type { Database, Statement } from 'better-sqlite3'
import { LRUCache } from 'lru-cache'

import type { Place } from '../ports.ts'

/** Enough for every repository of a large cluster; one more costs a query. */
const MAX_CACHED_IDS = 10_000

/** Rows of `upstreams` and `repositories`, by which everything a place has is keyed. */
export class PlaceRows {
  readonly #ids = new LRUCache<string, number>({ max: MAX_CACHED_IDS })
  readonly #select: Statement<[Place], number>
  readonly #insertUpstream: Statement<[Place]>
  readonly #insertRepository: Statement<[Place]>
  readonly #selectPublicAt: Statement<[{ id: number }], number | null>
  readonly #updatePublicAt: Statement<[{ id: number; at: number | null }]>

  constructor(database: Database) {
    this.#select = database
      .prepare<[Place], number>(
        `select repositories.id
         from upstreams join repositories on repositories.upstream_id = upstreams.id
         where upstreams.name = :upstream and repositories.name = :repository`,
      )
      .pluck()
    this.#insertUpstream = database.prepare(
      'insert into upstreams (name) values (:upstream) on conflict do nothing',
    )
    this.#insertRepository = database.prepare(
      `insert into repositories (upstream_id, name)
       select id, :repository from upstreams where name = :upstream
       on conflict do nothing`,
    )
    this.#selectPublicAt = database
      .prepare<[{ id: number }], number | null>('select public_at from repositories where id = :id')
      .pluck()
    this.#updatePublicAt = database.prepare(
      'update repositories set public_at = :at where id = :id',
    )
  }

  publicAt(id: number): number | undefined {
    return this.#selectPublicAt.get({ id }) ?? undefined
  }

  setPublicAt(id: number, at: number | undefined): void {
    this.#updatePublicAt.run({ id, at: at ?? null })
  }

  /** `undefined` when nothing was ever stored under it. */
  find(place: Place): number | undefined {
    const key = `${place.upstream} ${place.repository}`
    const cached = this.#ids.get(key)
    if (cached !== undefined) return cached
    const id = this.#select.get(place)
    if (id !== undefined) this.#ids.set(key, id)
    return id
  }

  /**
   * Creates it if need be. To be called outside a transaction: one that is rolled back would leave
   * an id here that the database gives to another.
   */
  ensure(place: Place): number {
    const found = this.find(place)
    if (found !== undefined) return found
    this.#insertUpstream.run(place)
    this.#insertRepository.run(place)
    const id = this.find(place)
    if (id === undefined) throw new Error(`no row for ${place.upstream}/${place.repository}`)
    return id
  }
}
