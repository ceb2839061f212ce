import type { Database, Statement } from 'better-sqlite3'

/** The one row of `clock`: where Larder's own time line was when it was last written down. */
export class ClockRow {
  readonly #select: Statement<[], number>
  readonly #upsert: Statement<[{ readonly at: number }]>

  constructor(database: Database) {
    this.#select = database.prepare<[], number>('select at from clock where id = 1').pluck()
    this.#upsert = database.prepare(
      `insert into clock (id, at) values (1, :at)
       on conflict do update set at = excluded.at where excluded.at > clock.at`,
    )
  }

  get(): number | undefined {
    return this.#select.get()
  }

  /** Only ever forwards. */
  put(at: number): void {
    this.#upsert.run({ at })
  }
}
