import type { Database, Statement } from 'better-sqlite3'

const MAX_RUNS = 100
/** A list of ten thousand images takes half a megabyte. */
const MAX_CHARACTERS = 8 * 1024 * 1024

interface RunRow {
  readonly id: string
  readonly createdAt: number
  readonly body: string
}

/** Rows of `preload_runs`: what preloads were asked and came to. */
export class RunRows {
  readonly #upsert: Statement<[RunRow]>
  readonly #sizes: Statement<[], { readonly id: string; readonly size: number }>
  readonly #delete: Statement<[{ readonly id: string }]>
  readonly #list: Statement<[], string>

  constructor(database: Database) {
    this.#upsert = database.prepare(
      `insert into preload_runs (id, created_at, body) values (:id, :createdAt, :body)
       on conflict do update set body = excluded.body`,
    )
    this.#sizes = database.prepare(
      `select id, length(body) as size from preload_runs
       where created_at >= 0 order by created_at desc, id desc`,
    )
    this.#delete = database.prepare('delete from preload_runs where id = :id')
    this.#list = database
      .prepare<[], string>(
        'select body from preload_runs where created_at >= 0 order by created_at, id',
      )
      .pluck()
  }

  /** The newest stay, whatever their size: so many, and so much. */
  put(row: RunRow): void {
    this.#upsert.run(row)
    let characters = 0
    for (const [index, { id, size }] of this.#sizes.all().entries()) {
      characters += size
      const isSpare = index >= MAX_RUNS || characters > MAX_CHARACTERS
      if (isSpare && id !== row.id) this.#delete.run({ id })
    }
  }

  /** The oldest first. */
  list(): string[] {
    return this.#list.all()
  }
}
