import type { Database, Statement } from 'better-sqlite3'

/** Larder's own time line when it was written down, in milliseconds. */
export interface ClockRecord {
  /** Since the epoch, as all on the line. */
  readonly at: number
  /** The wall clock at that moment. */
  readonly wall: number
  /** How far the wall clock was believed to be ahead of the line; negative: behind. */
  readonly ahead: number
  /** How far the line might still leap at once. */
  readonly leave: number
}

/** The one row of `clock`. */
export class ClockRow {
  readonly #select: Statement<[], ClockRecord>
  readonly #upsert: Statement<[ClockRecord]>

  constructor(database: Database) {
    this.#select = database.prepare('select at, wall, ahead, leave from clock where id = 1')
    this.#upsert = database.prepare(
      `insert into clock (id, at, wall, ahead, leave) values (1, :at, :wall, :ahead, :leave)
       on conflict do update set at = excluded.at, wall = excluded.wall, ahead = excluded.ahead,
         leave = excluded.leave
       where excluded.at >= clock.at`,
    )
  }

  get(): ClockRecord | undefined {
    return this.#select.get()
  }

  /** Only ever forwards. */
  put(record: ClockRecord): void {
    this.#upsert.run(record)
  }
}
