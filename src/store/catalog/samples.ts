import type { Database, Statement } from 'better-sqlite3'

import { PULL_RESULTS, type PullResult } from '../../oci/pull-result.ts'

/** What came of the pulls of one minute. */
export interface Sample {
  /** Since the epoch. */
  readonly minute: number
  readonly results: Readonly<Record<PullResult, number>>
  readonly servedBytes: number
  readonly fetchedBytes: number
  /** Of those, by preloads. */
  readonly preloadedBytes: number
  /** Of the disk, at the end of it. */
  readonly usedBytes: number
}

type Row = Omit<Sample, 'results'> & Sample['results']

/** Rows of `samples`, which has a column for each result: a day of minutes. */
export class SampleRows {
  readonly #add: Statement<[Row]>
  readonly #from: Statement<[{ readonly minute: number }], Row>
  readonly #trim: Statement<[{ readonly minute: number }]>

  constructor(database: Database) {
    const counts = PULL_RESULTS.join(', ')
    const columns = `minute, ${counts}, served_bytes, fetched_bytes, preloaded_bytes, used_bytes`
    const values = `:minute, ${PULL_RESULTS.map((name) => `:${name}`).join(', ')}`
    const sums = [...PULL_RESULTS, 'served_bytes', 'fetched_bytes', 'preloaded_bytes'].map(
      (name) => `${name} = ${name} + excluded.${name}`,
    )
    // A restart within a minute has the rest of it added.
    this.#add = database.prepare(
      `insert into samples (${columns}) values (${values}, :servedBytes, :fetchedBytes, :preloadedBytes, :usedBytes)
       on conflict do update set ${sums.join(', ')}, used_bytes = excluded.used_bytes`,
    )
    this.#from = database.prepare(
      `select minute, ${counts}, served_bytes as servedBytes, fetched_bytes as fetchedBytes,
         preloaded_bytes as preloadedBytes, used_bytes as usedBytes
       from samples where minute >= :minute order by minute`,
    )
    this.#trim = database.prepare('delete from samples where minute < :minute')
  }

  /** To what is known of its minute already. */
  add({ results, ...sample }: Sample): void {
    this.#add.run({ ...sample, ...results })
  }

  /** Oldest first. */
  from(minute: number): Sample[] {
    return this.#from.all({ minute }).map((row) => {
      const { minute, servedBytes, fetchedBytes, preloadedBytes, usedBytes, ...results } = row
      return { minute, servedBytes, fetchedBytes, preloadedBytes, usedBytes, results }
    })
  }

  /** Only what is not before `minute` stays. */
  trim(minute: number): void {
    this.#trim.run({ minute })
  }
}
