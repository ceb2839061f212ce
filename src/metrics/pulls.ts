import { PULL_RESULTS, type PullResult } from '../oci/pull-result.ts'
import type { Instruments } from './instruments.ts'

export type PullType = 'manifest' | 'blob' | 'tags' | 'referrers'

/** `upstream`: the bytes had to come from a registry first, for this pull or one beside it. */
export type ByteSource = 'cache' | 'upstream'
export type FetchReason = 'pull' | 'preload' | 'revalidate' | 'repair'

export const PULL_TYPES: readonly PullType[] = ['manifest', 'blob', 'tags', 'referrers']
/** Those that moved no content from a registry for themselves. */
export const HITS: readonly PullResult[] = ['hit', 'revalidated', 'stale', 'coalesced', 'negative']
/** Those that Larder was not there to answer. */
export const NOT_COUNTED: readonly PullResult[] = ['bypass', 'denied']
const SOURCES: readonly ByteSource[] = ['cache', 'upstream']
/** Lists are fetched for nobody but who asks for them. */
const REASONS: Readonly<Record<PullType, readonly FetchReason[]>> = {
  manifest: ['pull', 'preload', 'revalidate', 'repair'],
  blob: ['pull', 'preload', 'repair'],
  tags: ['pull'],
  referrers: ['pull'],
}

/** From a minute to 30 days: a tag's usual `maxAge` and `staleIfError` are among them. */
const TAG_AGE_SECONDS = [
  60, 300, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 259_200, 604_800, 2_592_000,
]

/** What is pulled, how that came about, and whose bytes it took. */
export class PullMetrics {
  readonly #requests
  readonly #served
  readonly #fetched
  readonly #tagAge
  readonly #inflightFetches
  readonly #coalescedWaiters
  readonly #upstreams = new Set<string>()

  constructor(instruments: Instruments) {
    this.#requests = instruments.counter('requests_total', 'Pulls, by their one result', [
      'upstream',
      'type',
      'result',
    ])
    this.#served = instruments.counter('served_bytes_total', 'Body bytes written to clients', [
      'upstream',
      'type',
      'source',
    ])
    this.#fetched = instruments.counter(
      'fetched_bytes_total',
      'Body bytes of content and lists read from upstreams, of no use or not',
      ['upstream', 'type', 'reason'],
    )
    this.#tagAge = instruments.histogram(
      'tag_age_seconds',
      'Since the registry last said what the tag means, of each tag that is answered',
      ['upstream', 'result'],
      TAG_AGE_SECONDS,
    )
    this.#inflightFetches = instruments.gauge('inflight_fetches', 'Downloads under way', [
      'upstream',
    ])
    this.#coalescedWaiters = instruments.gauge(
      'coalesced_waiters',
      'Pulls that are being answered from what another one fetches',
      ['upstream'],
    )
  }

  initialize(upstream: string): void {
    this.#upstreams.add(upstream)
    for (const type of PULL_TYPES) {
      for (const result of PULL_RESULTS) this.#requests.inc({ upstream, type, result }, 0)
      for (const source of SOURCES) this.#served.inc({ upstream, type, source }, 0)
      for (const reason of REASONS[type]) this.#fetched.inc({ upstream, type, reason }, 0)
    }
    this.#coalescedWaiters.inc({ upstream }, 0)
  }

  /** A pull has ended. */
  ended(upstream: string, type: PullType, result: PullResult): void {
    this.#requests.inc({ upstream, type, result })
  }

  served(upstream: string, type: PullType, source: ByteSource, bytes: number): void {
    this.#served.inc({ upstream, type, source }, bytes)
  }

  fetched(upstream: string, type: PullType, reason: FetchReason, bytes: number): void {
    this.#fetched.inc({ upstream, type, reason }, bytes)
  }

  tagAge(upstream: string, result: PullResult, seconds: number): void {
    this.#tagAge.observe({ upstream, result }, seconds)
  }

  /** @returns to be called once, when it waits no more */
  waits(upstream: string): () => void {
    this.#coalescedWaiters.inc({ upstream })
    return () => this.#coalescedWaiters.dec({ upstream })
  }

  /** @param flights downloads under way by upstream; who is not in it has none */
  readFlights(flights: ReadonlyMap<string, number>): void {
    for (const upstream of flights.keys()) this.#upstreams.add(upstream)
    for (const upstream of this.#upstreams) {
      this.#inflightFetches.set({ upstream }, flights.get(upstream) ?? 0)
    }
  }

  /** So far, by upstream and type. */
  async totals(): Promise<readonly PullTotals[]> {
    const totals = new Map<string, PullTotals>()
    const of = ({ upstream = '', type = '' }: Partial<Record<string, string | number>>) => {
      const key = `${upstream} ${type}`
      const known = totals.get(key)
      if (known !== undefined) return known
      const fresh = {
        upstream: String(upstream),
        type: type as PullType,
        results: new Map<PullResult, number>(),
        servedBytes: 0,
        fetchedBytes: 0,
        preloadedBytes: 0,
      }
      totals.set(key, fresh)
      return fresh
    }
    for (const { labels, value } of (await this.#requests.get()).values) {
      of(labels).results.set(labels['result'] as PullResult, value)
    }
    for (const { labels, value } of (await this.#served.get()).values) {
      of(labels).servedBytes += value
    }
    for (const { labels, value } of (await this.#fetched.get()).values) {
      of(labels).fetchedBytes += value
      if (labels['reason'] === 'preload') of(labels).preloadedBytes += value
    }
    return [...totals.values()]
  }
}

/** What has come of the pulls of one type from one upstream. */
export interface PullTotals {
  readonly upstream: string
  readonly type: PullType
  readonly results: Map<PullResult, number>
  servedBytes: number
  fetchedBytes: number
  /** Of those, by preloads. */
  preloadedBytes: number
}
