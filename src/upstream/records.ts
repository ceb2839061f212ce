import type { UpstreamObserver } from './observer.ts'

type Event<K extends keyof UpstreamObserver> = Parameters<UpstreamObserver[K]>[0]

/** The last answers, of which latency is said. */
const LATENCIES = 200
const ERRORS = 20

/** The same thing gone wrong, once or several times without another in between. */
export interface RecentError {
  /** A word, such as `timeout`. */
  readonly reason: string
  readonly count: number
  /** Epoch milliseconds of the first and of the last. */
  readonly at: number
  readonly lastAt: number
}

/** How a registry has answered since the start. */
export interface UpstreamRecord {
  readonly requests: { readonly total: number; readonly failed: number }
  /** Until the headers of an answer; `undefined`: there was none. */
  readonly latencyMs: { readonly p50: number; readonly p95: number } | undefined
  /** Epoch milliseconds. */
  readonly lastSuccessAt: number | undefined
  /** The newest first. */
  readonly recentErrors: readonly RecentError[]
  /** Epoch milliseconds of the wall clock; `undefined`: not known. */
  readonly credentialExpiresAt: number | undefined
}

class Recording {
  total = 0
  failed = 0
  lastSuccessAt: number | undefined
  credentialExpiresAt: number | undefined
  /** Seconds; a ring. */
  readonly latencies: number[] = []
  /** The oldest first. */
  errors: readonly RecentError[] = []
}

/** What an operator wants to see of each upstream that metrics do not say. */
export class UpstreamRecords implements UpstreamObserver {
  readonly #now: () => number
  readonly #recordings = new Map<string, Recording>()

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  read(upstream: string): UpstreamRecord {
    const { total, failed, latencies, errors, ...times } = this.#of(upstream)
    const sorted = latencies.toSorted((one, other) => one - other)
    const at = (share: number) =>
      Math.round((sorted[Math.ceil(sorted.length * share) - 1] ?? 0) * 10_000) / 10
    return {
      requests: { total, failed },
      latencyMs: sorted.length === 0 ? undefined : { p50: at(0.5), p95: at(0.95) },
      lastSuccessAt: times.lastSuccessAt,
      recentErrors: errors.toReversed(),
      credentialExpiresAt: times.credentialExpiresAt,
    }
  }

  request({ upstream, code, seconds }: Event<'request'>): void {
    const recording = this.#of(upstream)
    const isAnswer = code !== '0'
    if (isAnswer) recording.latencies[recording.total % LATENCIES] = seconds
    recording.total++
    if (!isAnswer || /^5/.test(code) || code === '429') recording.failed++
    if (/^[23]/.test(code)) recording.lastSuccessAt = this.#now()
  }

  error({ upstream, reason }: Event<'error'>): void {
    const recording = this.#of(upstream)
    const lastAt = this.#now()
    const last = recording.errors.at(-1)
    const isSame = last?.reason === reason
    const before = isSame ? recording.errors.slice(0, -1) : recording.errors
    const first = isSame ? last : { at: lastAt, count: 0 }
    const error = { reason, count: first.count + 1, at: first.at, lastAt }
    recording.errors = [...before, error].slice(-ERRORS)
  }

  credentialExpiry({ upstream, at }: Event<'credentialExpiry'>): void {
    this.#of(upstream).credentialExpiresAt = at
  }

  // What the client says itself when it is asked how it is.
  rateLimit(): void {}
  circuit(): void {}
  waiting(): void {}
  retry(): void {}
  token(): void {}

  /** As many as are configured, and were. */
  #of(upstream: string): Recording {
    const known = this.#recordings.get(upstream)
    if (known !== undefined) return known
    const fresh = new Recording()
    this.#recordings.set(upstream, fresh)
    return fresh
  }
}
