import { PULL_RESULTS, type PullResult } from '../oci/pull-result.ts'
import type { PullTotals } from './pulls.ts'

const MINUTE_MS = 60_000
/** Minutes that are kept: a day, and the one under way. */
const KEPT_MINUTES = 24 * 60 + 1

/** What came of the pulls of some time. */
export interface Tally {
  readonly results: Readonly<Record<PullResult, number>>
  readonly servedBytes: number
  readonly fetchedBytes: number
  /** Of those, by preloads. */
  readonly preloadedBytes: number
}

/** Of one minute. */
export interface MinuteTally extends Tally {
  /** Since the epoch. */
  readonly minute: number
  /** Of the disk, at the end of it. */
  readonly usedBytes: number
}

export interface HistoryOptions {
  readonly totals: () => Promise<readonly PullTotals[]>
  readonly usedBytes: () => number
  /** Epoch milliseconds, which never go back. */
  readonly now: () => number
  /** Adds to what is kept of those minutes, and forgets what is before `from`. */
  readonly put: (minutes: readonly MinuteTally[], from: number) => Promise<void>
  /** What is kept from that minute on, oldest first. */
  readonly list: (from: number) => Promise<readonly MinuteTally[]>
  readonly onError: (error: unknown) => void
}

/**
 * A day of minutes, so that there is a yesterday without Prometheus too. What is written is what a
 * minute has added, so a restart, which begins to count anew, loses nothing and turns nothing back;
 * a process that is killed loses a minute at most.
 */
export class History {
  readonly #options: HistoryOptions
  /** What was counted already. */
  #before = NOTHING
  #minute: number
  /** Ended, and not yet written: the disk may refuse. */
  #waiting: MinuteTally[] = []
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: HistoryOptions) {
    this.#options = options
    this.#minute = this.#minuteNow()
  }

  /** Begins to write each minute at its end. */
  start(): void {
    const untilNext = MINUTE_MS - (this.#options.now() % MINUTE_MS)
    this.#timer = setTimeout(() => {
      this.#inTurn(() => this.#roll()).catch(this.#options.onError)
      this.start()
    }, untilNext).unref()
  }

  /** The last `minutes` and the one under way, oldest first; those without Larder are not there. */
  async last(minutes: number): Promise<readonly MinuteTally[]> {
    return await this.#inTurn(async () => {
      await this.#roll()
      const from = this.#minute - minutes
      const kept = await this.#options.list(from)
      const waiting = this.#waiting.filter(({ minute }) => minute >= from)
      return merge([...kept, ...waiting, await this.#underWay()])
    })
  }

  /** Writes the minute under way too. */
  async close(): Promise<void> {
    // What nobody has started is a command's, which is no time that Larder ran.
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    await this.#inTurn(async () => {
      await this.#roll()
      await this.#end()
    }).catch(this.#options.onError)
  }

  /** One at a time: what is counted twice, or not at all, is never noticed. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }

  /** The minute that was under way has ended, if another one is. */
  async #roll(): Promise<void> {
    const now = this.#minuteNow()
    if (now <= this.#minute) return
    await this.#end()
    this.#minute = now
  }

  async #end(): Promise<void> {
    const totals = sum(await this.#options.totals())
    this.#waiting.push(this.#since(totals))
    this.#before = totals
    const from = this.#minute - KEPT_MINUTES
    this.#waiting = this.#waiting.filter(({ minute }) => minute >= from)
    try {
      await this.#options.put(this.#waiting, from)
      this.#waiting = []
    } catch (error) {
      this.#options.onError(error)
    }
  }

  async #underWay(): Promise<MinuteTally> {
    return this.#since(sum(await this.#options.totals()))
  }

  #since(totals: Tally): MinuteTally {
    const usedBytes = this.#options.usedBytes()
    return { minute: this.#minute, usedBytes, ...subtract(totals, this.#before) }
  }

  #minuteNow(): number {
    return Math.floor(this.#options.now() / MINUTE_MS)
  }
}

/** Of several; a minute may be there twice, the first part of it as another process has left it. */
function merge(minutes: readonly MinuteTally[]): readonly MinuteTally[] {
  const merged = new Map<number, MinuteTally>()
  for (const one of minutes) {
    const known = merged.get(one.minute)
    merged.set(one.minute, known === undefined ? one : { ...one, ...add(known, one) })
  }
  return [...merged.values()]
}

export function add(one: Tally, other: Tally): Tally {
  return combine(one, other, (a, b) => a + b)
}

/** A counter that is less than it was has begun anew. */
function subtract(after: Tally, before: Tally): Tally {
  return combine(after, before, (a, b) => (a < b ? a : a - b))
}

function combine(one: Tally, other: Tally, by: (a: number, b: number) => number): Tally {
  const results = PULL_RESULTS.map((name) => [name, by(one.results[name], other.results[name])])
  return {
    results: Object.fromEntries(results) as Record<PullResult, number>,
    servedBytes: by(one.servedBytes, other.servedBytes),
    fetchedBytes: by(one.fetchedBytes, other.fetchedBytes),
    preloadedBytes: by(one.preloadedBytes, other.preloadedBytes),
  }
}

export const NOTHING: Tally = {
  results: Object.fromEntries(PULL_RESULTS.map((name) => [name, 0])) as Record<PullResult, number>,
  servedBytes: 0,
  fetchedBytes: 0,
  preloadedBytes: 0,
}

/** Of all upstreams and types. */
export function sum(totals: readonly PullTotals[]): Tally {
  let all = NOTHING
  for (const one of totals) {
    const results = { ...NOTHING.results, ...Object.fromEntries(one.results) }
    all = add(all, { ...one, results })
  }
  return all
}
