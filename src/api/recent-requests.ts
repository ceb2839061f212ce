import type { PullResult } from '../oci/pull-result.ts'
import type { RequestRecord } from './request-record.ts'

/** Some minutes of a busy cache, in about a megabyte. */
const KEPT = 2_000

export interface RecentRequest extends RequestRecord {
  /** Counts up from 1. */
  readonly seq: number
  /** When it ended, epoch milliseconds. */
  readonly at: number
}

export interface RecentQuery {
  readonly upstream: string | undefined
  readonly result: PullResult | undefined
  /** An address. */
  readonly client: string | undefined
  /** A text in `repository:reference`; `undefined`: any. */
  readonly search: string | undefined
  /** Only those that came after, or before, the one with this number. */
  readonly after: number | undefined
  readonly before: number | undefined
  readonly limit: number
}

export interface RecentPage {
  /** The newest first. */
  readonly requests: readonly RecentRequest[]
  /** The number of the newest that there is, whether it is shown or not; 0: none. */
  readonly last: number
}

/** The last requests, in memory and for operators only: they name images, which may be private. */
export class RecentRequests {
  readonly #now: () => number
  /** The one with the number `seq` is at `seq % KEPT`. */
  readonly #ring: RecentRequest[] = []
  #last = 0

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  add(record: RequestRecord): void {
    const seq = ++this.#last
    this.#ring[seq % KEPT] = { seq, at: this.#now(), ...record }
  }

  list(query: RecentQuery): RecentPage {
    const { after = 0, before = this.#last + 1, limit } = query
    const requests: RecentRequest[] = []
    const oldest = Math.max(after, this.#last - KEPT)
    const newest = Math.min(before - 1, this.#last)
    for (let seq = newest; seq > oldest && requests.length < limit; seq--) {
      const one = this.#ring[seq % KEPT]
      if (one !== undefined && isWanted(one, query)) requests.push(one)
    }
    return { requests, last: this.#last }
  }
}

function isWanted(one: RecentRequest, { upstream, result, client, search }: RecentQuery): boolean {
  if (upstream !== undefined && one.upstream !== upstream) return false
  if (result !== undefined && one.result !== result) return false
  if (client !== undefined && one.client !== client) return false
  return search === undefined || `${one.repository}:${one.reference ?? ''}`.includes(search)
}
