import { type Instruments, REQUEST_SECONDS } from './instruments.ts'

export type CircuitState = 'closed' | 'open' | 'half_open'

interface OfUpstream {
  readonly upstream: string
}

const ERROR_REASONS = [
  'auth',
  'circuit_open',
  'connect',
  'credential',
  'descriptors',
  'digest_mismatch',
  'dns',
  'encoding',
  'http_5xx',
  'protocol',
  'queue_full',
  'queue_timeout',
  'realm',
  'redirect',
  'reset',
  'size_mismatch',
  'throttled',
  'timeout',
  'tls',
  'too_slow',
]
const CIRCUIT_STATES: readonly CircuitState[] = ['closed', 'open', 'half_open']
const TOKEN_RESULTS = ['cached', 'fetched', 'error'] as const
/** What is asked of any registry; further codes begin with their first answer. */
const ENDPOINTS = ['manifest', 'blob'] as const
const USUAL_CODES = ['0', '200', '404'] as const

/** Docker Hub's, for a registry that does not say. */
const DEFAULT_WINDOW_SECONDS = 21_600

const DOWNLOAD_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800]
const MIB = 1024 * 1024
const SIZE_CLASSES = [
  ['lt5MiB', 5 * MIB],
  ['lt100MiB', 100 * MIB],
  ['lt1GiB', 1024 * MIB],
] as const

/** How registries answer, and how they are: told by `upstream`, whose observer this is. */
export class UpstreamMetrics {
  readonly #requests
  readonly #seconds
  readonly #downloadSeconds
  readonly #errors
  readonly #retries
  readonly #resumes
  readonly #circuit
  readonly #up
  readonly #blocked
  readonly #waiting
  readonly #tokens
  readonly #throttled
  readonly #rateLimit
  readonly #rateRemaining
  readonly #rateWindow
  readonly #lastSuccess
  readonly #credentialExpiry
  readonly #monotonic: () => number
  readonly #names = new Set<string>()
  /** When what a registry said of its quota is no longer true, by upstream. */
  readonly #rateLimitEnds = new Map<string, number>()

  /** @param monotonic milliseconds of a clock that never jumps */
  constructor(instruments: Instruments, monotonic: () => number) {
    this.#monotonic = monotonic
    const counter = (name: string, help: string, ...labels: readonly string[]) =>
      instruments.counter(`upstream_${name}`, help, ['upstream', ...labels])
    const gauge = (name: string, help: string, ...labels: readonly string[]) =>
      instruments.gauge(`upstream_${name}`, help, ['upstream', ...labels])
    this.#requests = counter(
      'requests_total',
      'Requests to registries; code 0 is a transport error',
      'endpoint',
      'code',
    )
    this.#seconds = instruments.histogram(
      'upstream_request_duration_seconds',
      'Until the headers of the answer',
      ['upstream', 'endpoint'],
      REQUEST_SECONDS,
    )
    this.#downloadSeconds = instruments.histogram(
      'upstream_download_duration_seconds',
      'From the request for a blob until all of it was verified and stored, by its size',
      ['upstream', 'size_class'],
      DOWNLOAD_SECONDS,
    )
    this.#errors = counter('errors_total', 'What went wrong elsewhere', 'reason')
    this.#retries = counter('retries_total', 'Requests made again')
    this.#resumes = counter('resumes_total', 'Downloads continued with Range')
    this.#circuit = gauge(
      'circuit_state',
      '1 for the state that the best endpoint of the upstream is in: open means not asked',
      'state',
    )
    this.#up = gauge('up', '0 from repeated failures of all endpoints until one answers')
    this.#blocked = gauge('blocked', '1 while an operator has forbidden to ask it')
    this.#waiting = gauge(
      'waiting',
      'Requests that wait because as many are under way as the upstream is asked at once',
    )
    this.#tokens = counter('token_requests_total', 'Tokens asked for', 'result')
    this.#throttled = counter('throttled_total', 'Answers 429 and the like')
    this.#rateLimit = gauge('ratelimit_limit', 'Pulls a window allows')
    this.#rateRemaining = gauge('ratelimit_remaining', 'Pulls left in it')
    this.#rateWindow = gauge('ratelimit_window_seconds', 'Length of the window')
    this.#lastSuccess = gauge(
      'last_success_timestamp_seconds',
      'When the registry last answered with something usable',
    )
    this.#credentialExpiry = gauge(
      'credential_expiry_timestamp_seconds',
      'When the first of the credentials in use expires, where that is known',
    )
  }

  initialize(upstream: string): void {
    this.#names.add(upstream)
    for (const endpoint of ENDPOINTS) {
      for (const code of USUAL_CODES) this.#requests.inc({ upstream, endpoint, code }, 0)
    }
    for (const reason of ERROR_REASONS) this.#errors.inc({ upstream, reason }, 0)
    for (const result of TOKEN_RESULTS) this.#tokens.inc({ upstream, result }, 0)
    for (const counter of [this.#retries, this.#resumes, this.#throttled]) {
      counter.inc({ upstream }, 0)
    }
    this.circuit({ upstream, state: 'closed' })
    this.waiting({ upstream, count: 0 })
  }

  request(event: OfUpstream & { endpoint: string; code: string; seconds: number }): void {
    const { upstream, endpoint, code, seconds } = event
    this.#requests.inc({ upstream, endpoint, code })
    this.#seconds.observe({ upstream, endpoint }, seconds)
    if (/^[23]/.test(code)) this.#lastSuccess.set({ upstream }, Date.now() / 1000)
    if (code === '429') this.#throttled.inc({ upstream })
  }

  /** A blob has come whole. */
  downloaded(upstream: string, bytes: number, seconds: number): void {
    const [size_class] = SIZE_CLASSES.find(([, limit]) => bytes < limit) ?? ['ge1GiB']
    this.#downloadSeconds.observe({ upstream, size_class }, seconds)
  }

  rateLimit(
    event: OfUpstream & {
      limit: number | undefined
      remaining: number | undefined
      windowSeconds: number | undefined
    },
  ): void {
    const { upstream, limit, remaining, windowSeconds } = event
    if (limit !== undefined) this.#rateLimit.set({ upstream }, limit)
    if (remaining !== undefined) this.#rateRemaining.set({ upstream }, remaining)
    if (windowSeconds !== undefined) this.#rateWindow.set({ upstream }, windowSeconds)
    const validMs = (windowSeconds ?? DEFAULT_WINDOW_SECONDS) * 1000
    this.#rateLimitEnds.set(upstream, this.#monotonic() + validMs)
  }

  error({ upstream, reason }: OfUpstream & { reason: string }): void {
    this.#errors.inc({ upstream, reason })
  }

  retry({ upstream }: OfUpstream): void {
    this.#retries.inc({ upstream })
  }

  resume(upstream: string): void {
    this.#resumes.inc({ upstream })
  }

  circuit({ upstream, state }: OfUpstream & { state: CircuitState }): void {
    for (const one of CIRCUIT_STATES) {
      this.#circuit.set({ upstream, state: one }, one === state ? 1 : 0)
    }
    this.#up.set({ upstream }, state === 'closed' ? 1 : 0)
  }

  readBlocked(blocked: readonly string[]): void {
    for (const upstream of this.#names) {
      this.#blocked.set({ upstream }, blocked.includes(upstream) ? 1 : 0)
    }
  }

  waiting({ upstream, count }: OfUpstream & { count: number }): void {
    this.#waiting.set({ upstream }, count)
  }

  token({ upstream, result }: OfUpstream & { result: (typeof TOKEN_RESULTS)[number] }): void {
    this.#tokens.inc({ upstream, result })
  }

  credentialExpiry({ upstream, at }: OfUpstream & { at: number | undefined }): void {
    if (at === undefined) this.#credentialExpiry.remove({ upstream })
    else this.#credentialExpiry.set({ upstream }, at / 1000)
  }

  /** A quota that was low in a window that has passed would raise a false alarm. */
  forgetRateLimits(): void {
    for (const [upstream, endsAt] of this.#rateLimitEnds) {
      if (this.#monotonic() < endsAt) continue
      this.#rateLimitEnds.delete(upstream)
      for (const gauge of [this.#rateLimit, this.#rateRemaining, this.#rateWindow]) {
        gauge.remove({ upstream })
      }
    }
  }
}
