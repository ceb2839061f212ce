import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export type CircuitState = 'closed' | 'open' | 'half_open'
export type PullType = 'manifest' | 'blob' | 'tags' | 'referrers'

/** Every pull has exactly one. */
export type PullResult =
  | 'hit'
  | 'miss'
  | 'revalidated'
  | 'stale'
  | 'coalesced'
  | 'negative'
  | 'bypass'
  | 'denied'
  | 'error'

export type ByteSource = 'cache' | 'upstream'
export type FetchReason = 'pull' | 'preload' | 'revalidate' | 'repair'

const TYPES: readonly PullType[] = ['manifest', 'blob', 'tags', 'referrers']
const RESULTS: readonly PullResult[] = [
  'hit',
  'miss',
  'revalidated',
  'stale',
  'coalesced',
  'negative',
  'bypass',
  'denied',
  'error',
]

const ERROR_REASONS = [
  'auth',
  'circuit_open',
  'connect',
  'credential',
  'descriptors',
  'digest_mismatch',
  'dns',
  'http_5xx',
  'queue_full',
  'queue_timeout',
  'reset',
  'size_mismatch',
  'throttled',
  'timeout',
  'tls',
  'too_slow',
]
const CIRCUIT_STATES: readonly CircuitState[] = ['closed', 'open', 'half_open']
const AUTH_FAILURES = ['password', 'certificate', 'caller', 'limited'] as const
const CONNECTION_REJECTIONS = ['total', 'address'] as const
const STORE_OPERATIONS = [
  'blob',
  'catalog',
  'evict',
  'ingest',
  'list',
  'manifest',
  'member',
  'quarantine',
  'read',
  'tag',
  'usage',
]

/** Why a content is not stored that the disk was not asked to take, or has no room for. */
const NOT_STORED = [
  'resting',
  'too_large',
  'unknown_size',
  'starting',
  'no_room',
  'no_inodes',
] as const

/** What is wrong with the disk; see `store/trouble.ts`. */
const TROUBLES = ['full', 'inodes', 'read_only', 'denied', 'io', 'descriptors', 'other'] as const

/** `io`: the disk could not read them. */
const CHECK_RESULTS = ['ok', 'digest', 'size', 'missing', 'io'] as const
const EVICTION_REASONS = ['lru', 'unused', 'manual', 'corrupt'] as const

/** Docker Hub's, for a registry that does not say. */
const DEFAULT_WINDOW_SECONDS = 21_600

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const FIRST_BYTE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** From a minute to 30 days: a tag's usual `maxAge` and `staleIfError` are among them. */
const TAG_AGE_SECONDS = [
  60, 300, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 259_200, 604_800, 2_592_000,
]
const RESPONSE_BYTES = Array.from({ length: 10 }, (_, power) => 1024 * 5 ** power)

/** What is read at the moment of a scrape, because nobody keeps count of it. */
export interface Readings {
  store(): Promise<StoreReadings>
  flights(): ReadonlyMap<string, number>
  /** Absent: nothing can be pinned. */
  pins?(): Promise<PinReadings>
  /** Absent: nobody watches the disk. */
  health?(): HealthReadings
}

export interface HealthReadings {
  /** Whether what is pulled is stored. */
  readonly isWritable: boolean
  readonly troubles: readonly (typeof TROUBLES)[number][]
}

export interface StoreReadings {
  readonly bytes: number
  readonly blobs: number
  readonly manifests: number
  readonly tags: number
  readonly quotaBytes: number
  readonly filesystemBytes: number
  readonly availableBytes: number
  /** Of downloads that are not finished; absent: nobody keeps count of them. */
  readonly partialBytes?: number
  /** When what was not used for the longest time was used, epoch milliseconds. */
  readonly oldestAccessAt?: number | undefined
}

export interface PinReadings {
  readonly pinnedBytes: number
  /** References that have everything in the store. */
  readonly complete: number
  readonly incomplete: number
}

/**
 * Every metric of Larder, on a registry of its own. Labels are configured names and fixed words:
 * never a repository, tag, digest, user or address, whose number has no bound.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #requests = this.#counter('requests_total', 'Pulls, by their one result', [
    'upstream',
    'type',
    'result',
  ])
  readonly #served = this.#counter('served_bytes_total', 'Body bytes written to clients', [
    'upstream',
    'type',
    'source',
  ])
  readonly #fetched = this.#counter('fetched_bytes_total', 'Body bytes read from upstreams', [
    'upstream',
    'type',
    'reason',
  ])
  readonly #httpRequests = this.#counter('http_requests_total', 'HTTP answers', [
    'handler',
    'method',
    'code',
  ])
  readonly #httpSeconds = this.#histogram(
    'http_request_duration_seconds',
    'From the request to the end of its answer',
    ['handler', 'method'],
    REQUEST_SECONDS,
  )
  readonly #firstByte = this.#histogram(
    'http_time_to_first_byte_seconds',
    'From the request to its first body byte: what a cache is for',
    ['handler', 'result'],
    FIRST_BYTE_SECONDS,
  )
  readonly #responseBytes = this.#histogram(
    'http_response_size_bytes',
    'Body bytes of an answer',
    ['handler'],
    RESPONSE_BYTES,
  )
  readonly #tagAge = this.#histogram(
    'tag_age_seconds',
    'Since the registry last said what the tag means, of each tag that is answered',
    ['upstream', 'result'],
    TAG_AGE_SECONDS,
  )
  readonly #connections = this.#gauge('connections', 'Open connections of clients', [])
  readonly #rejected = this.#counter(
    'connections_rejected_total',
    'Connections closed at once: too many in total, or of one address when there is little room',
    ['reason'],
  )
  readonly #inFlight = this.#gauge('http_requests_in_flight', 'Requests being answered', [
    'handler',
  ])
  readonly #upstreamRequests = this.#counter(
    'upstream_requests_total',
    'Requests to registries; code 0 is a transport error',
    ['upstream', 'endpoint', 'code'],
  )
  readonly #upstreamSeconds = this.#histogram(
    'upstream_request_duration_seconds',
    'Until the headers of the answer',
    ['upstream', 'endpoint'],
    REQUEST_SECONDS,
  )
  readonly #upstreamErrors = this.#counter('upstream_errors_total', 'What went wrong elsewhere', [
    'upstream',
    'reason',
  ])
  readonly #upstreamRetries = this.#counter('upstream_retries_total', 'Requests made again', [
    'upstream',
  ])
  readonly #upstreamResumes = this.#counter(
    'upstream_resumes_total',
    'Downloads continued with Range',
    ['upstream'],
  )
  readonly #circuit = this.#gauge(
    'upstream_circuit_state',
    '1 for the state that the best endpoint of the upstream is in: open means not asked',
    ['upstream', 'state'],
  )
  readonly #up = this.#gauge(
    'upstream_up',
    '0 from repeated failures of all endpoints until one answers',
    ['upstream'],
  )
  readonly #waiting = this.#gauge(
    'upstream_waiting',
    'Requests that wait because as many are under way as the upstream is asked at once',
    ['upstream'],
  )
  readonly #tokens = this.#counter('upstream_token_requests_total', 'Tokens asked for', [
    'upstream',
    'result',
  ])
  readonly #throttled = this.#counter('upstream_throttled_total', 'Answers 429 and the like', [
    'upstream',
  ])
  readonly #rateLimit = this.#gauge('upstream_ratelimit_limit', 'Pulls a window allows', [
    'upstream',
  ])
  readonly #rateRemaining = this.#gauge('upstream_ratelimit_remaining', 'Pulls left in it', [
    'upstream',
  ])
  readonly #rateWindow = this.#gauge('upstream_ratelimit_window_seconds', 'Length of the window', [
    'upstream',
  ])
  readonly #lastSuccess = this.#gauge(
    'upstream_last_success_timestamp_seconds',
    'When the registry last answered with something usable',
    ['upstream'],
  )
  readonly #credentialExpiry = this.#gauge(
    'upstream_credential_expiry_timestamp_seconds',
    'When the first of the credentials in use expires, where that is known',
    ['upstream'],
  )
  readonly #authFailures = this.#counter(
    'auth_failures_total',
    'Callers refused: password and certificate at the front door, caller by the registry',
    ['kind'],
  )
  readonly #integrity = this.#counter(
    'integrity_checks_total',
    'Stored contents that were read and hashed: ok, or what was wrong with them',
    ['result'],
  )
  readonly #storeErrors = this.#counter('store_errors_total', 'Writes that the disk refused', [
    'operation',
  ])
  readonly #notStored = this.#counter(
    'store_not_stored_total',
    'Contents that passed through uncached: for want of room, or as the disk refuses writes',
    ['reason'],
  )
  readonly #storeWritable = this.#gauge(
    'store_writable',
    '0 while the disk refuses writes: pulls pass through uncached',
    [],
  )
  readonly #storeTrouble = this.#gauge('store_trouble', '1 for what is wrong with the disk now', [
    'reason',
  ])

  readonly #reloadOk = this.#gauge(
    'config_last_reload_successful',
    '1 when the configuration was read as it is now in the file, 0 when that could not be used',
    [],
  )
  readonly #reloadedAt = this.#gauge(
    'config_last_reload_success_timestamp_seconds',
    'When the configuration in use was read',
    [],
  )

  readonly #evictions = this.#counter(
    'evictions_total',
    'Contents removed: not used for longest, not used for too long, by hand, damaged',
    ['reason'],
  )
  readonly #evictedBytes = this.#counter('evicted_bytes_total', 'Bytes of contents removed', [
    'reason',
  ])
  readonly #oldestAccess = this.#gauge(
    'store_oldest_access_timestamp_seconds',
    'When what was not used for the longest time was used: how far back the cache reaches',
    [],
  )
  readonly #pinnedBytes = this.#gauge(
    'store_pinned_bytes',
    'Bytes of everything in the store that pins protect',
    [],
  )
  readonly #pins = this.#gauge(
    'pins',
    'Pinned references, by whether everything they need is in the store',
    ['state'],
  )
  readonly #preloadedAt = this.#gauge(
    'preload_last_success_timestamp_seconds',
    'When everything that a preload job names was last found or fetched',
    ['job'],
  )
  readonly #preloadFailed = this.#gauge(
    'preload_failed_images',
    'Images that the last run of a preload job could not get',
    ['job'],
  )
  readonly #inflightFetches = this.#gauge('inflight_fetches', 'Downloads under way', ['upstream'])
  readonly #storeGauges: Readonly<Record<Exclude<keyof StoreReadings, 'oldestAccessAt'>, Gauge>> = {
    bytes: this.#gauge('store_bytes', 'Bytes of content on disk', []),
    blobs: this.#gauge('store_blobs', 'Blobs on disk', []),
    manifests: this.#gauge('store_manifests', 'Manifests known', []),
    tags: this.#gauge('store_tags', 'Tags known', []),
    quotaBytes: this.#gauge('store_quota_bytes', 'The cap that is configured', []),
    filesystemBytes: this.#gauge('store_filesystem_size_bytes', 'Size of the disk', []),
    availableBytes: this.#gauge('store_filesystem_avail_bytes', 'Free on the disk', []),
    partialBytes: this.#gauge('store_partial_bytes', 'Bytes of downloads not finished', []),
  }
  #readings: Readings | undefined
  #pullsInFlight = 0

  readonly #monotonic: () => number
  /** When what a registry said of its quota is no longer true, by upstream. */
  readonly #rateLimitEnds = new Map<string, number>()

  /** @param monotonic milliseconds of a clock that never jumps */
  constructor(
    version: string,
    upstreams: readonly string[],
    monotonic: () => number = () => performance.now(),
  ) {
    this.#monotonic = monotonic
    collectDefaultMetrics({ register: this.#registry })
    this.#gauge('build_info', 'What runs here', ['version', 'node_version']).set(
      { version, node_version: process.version },
      1,
    )
    this.initialize(upstreams)
    this.reloaded(true)
  }

  /** The configuration was read, and is in use or not. */
  reloaded(isInUse: boolean): void {
    this.#reloadOk.set(isInUse ? 1 : 0)
    if (isInUse) this.#reloadedAt.set(Date.now() / 1000)
  }

  /** Series start at 0, so that `rate()` sees the first event. */
  initialize(upstreams: readonly string[]): void {
    for (const upstream of upstreams) {
      for (const type of TYPES) {
        for (const result of RESULTS) this.#requests.inc({ upstream, type, result }, 0)
        for (const source of ['cache', 'upstream']) this.#served.inc({ upstream, type, source }, 0)
        this.#fetched.inc({ upstream, type, reason: 'pull' }, 0)
      }
      for (const type of ['manifest', 'blob']) {
        this.#fetched.inc({ upstream, type, reason: 'preload' }, 0)
      }
      this.#fetched.inc({ upstream, type: 'manifest', reason: 'revalidate' }, 0)
      this.#throttled.inc({ upstream }, 0)
      this.circuit({ upstream, state: 'closed' })
      this.waiting({ upstream, count: 0 })
      for (const reason of ERROR_REASONS) this.#upstreamErrors.inc({ upstream, reason }, 0)
    }
    for (const reason of CONNECTION_REJECTIONS) this.#rejected.inc({ reason }, 0)
    for (const kind of AUTH_FAILURES) this.#authFailures.inc({ kind }, 0)
    for (const result of CHECK_RESULTS) this.#integrity.inc({ result }, 0)
    for (const reason of EVICTION_REASONS) {
      this.#evictions.inc({ reason }, 0)
      this.#evictedBytes.inc({ reason }, 0)
    }
    for (const operation of STORE_OPERATIONS) this.#storeErrors.inc({ operation }, 0)
    for (const reason of NOT_STORED) this.#notStored.inc({ reason }, 0)
  }

  pull(upstream: string, type: PullType, result: PullResult): void {
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

  /** Whether pulls are being answered. */
  get isBusy(): boolean {
    return this.#pullsInFlight > 0
  }

  connections(open: number): void {
    this.#connections.set(open)
  }

  connectionRejected(reason: (typeof CONNECTION_REJECTIONS)[number]): void {
    this.#rejected.inc({ reason })
  }

  httpStarted(handler: string): void {
    if (isPull(handler)) this.#pullsInFlight++
    this.#inFlight.inc({ handler })
  }

  httpFinished(
    handler: string,
    method: string,
    code: number,
    seconds: number,
    bytes: number,
  ): void {
    if (isPull(handler)) this.#pullsInFlight--
    this.#inFlight.dec({ handler })
    this.#httpRequests.inc({ handler, method, code })
    this.#httpSeconds.observe({ handler, method }, seconds)
    this.#responseBytes.observe({ handler }, bytes)
  }

  firstByte(handler: PullType, result: PullResult, seconds: number): void {
    this.#firstByte.observe({ handler, result }, seconds)
  }

  authFailure(kind: (typeof AUTH_FAILURES)[number]): void {
    this.#authFailures.inc({ kind })
  }

  integrity(result: (typeof CHECK_RESULTS)[number]): void {
    this.#integrity.inc({ result })
  }

  evicted(reason: (typeof EVICTION_REASONS)[number], contents: number, bytes: number): void {
    this.#evictions.inc({ reason }, contents)
    this.#evictedBytes.inc({ reason }, bytes)
  }

  storeError(operation: string): void {
    this.#storeErrors.inc({ operation })
  }

  notStored(reason: (typeof NOT_STORED)[number]): void {
    this.#notStored.inc({ reason })
  }

  resume(upstream: string): void {
    this.#upstreamResumes.inc({ upstream })
  }

  /** @see UpstreamObserver */
  request(event: {
    upstream: string
    endpoint: string
    method: string
    code: string
    seconds: number
  }): void {
    const { upstream, endpoint, code, seconds } = event
    this.#upstreamRequests.inc({ upstream, endpoint, code })
    this.#upstreamSeconds.observe({ upstream, endpoint }, seconds)
    if (/^[23]/.test(code)) this.#lastSuccess.set({ upstream }, Date.now() / 1000)
    if (code === '429') this.#throttled.inc({ upstream })
  }

  rateLimit(event: {
    upstream: string
    limit: number | undefined
    remaining: number | undefined
    windowSeconds: number | undefined
  }): void {
    const { upstream, limit, remaining, windowSeconds } = event
    if (limit !== undefined) this.#rateLimit.set({ upstream }, limit)
    if (remaining !== undefined) this.#rateRemaining.set({ upstream }, remaining)
    if (windowSeconds !== undefined) this.#rateWindow.set({ upstream }, windowSeconds)
    const validMs = (windowSeconds ?? DEFAULT_WINDOW_SECONDS) * 1000
    this.#rateLimitEnds.set(upstream, this.#monotonic() + validMs)
  }

  error({ upstream, reason }: { upstream: string; reason: string }): void {
    this.#upstreamErrors.inc({ upstream, reason })
  }

  retry({ upstream }: { upstream: string }): void {
    this.#upstreamRetries.inc({ upstream })
  }

  /** A job of the configuration has ended. */
  preloadJob(
    job: string,
    { isWhole, failedImages }: { readonly isWhole: boolean; readonly failedImages: number },
  ): void {
    if (isWhole) this.#preloadedAt.set({ job }, Date.now() / 1000)
    this.#preloadFailed.set({ job }, failedImages)
  }

  /** Those are no longer in the configuration. */
  forgetPreloadJobs(jobs: readonly string[]): void {
    for (const job of jobs) {
      this.#preloadedAt.remove({ job })
      this.#preloadFailed.remove({ job })
    }
  }

  circuit({ upstream, state }: { upstream: string; state: CircuitState }): void {
    for (const one of CIRCUIT_STATES) {
      this.#circuit.set({ upstream, state: one }, one === state ? 1 : 0)
    }
    this.#up.set({ upstream }, state === 'closed' ? 1 : 0)
  }

  waiting({ upstream, count }: { upstream: string; count: number }): void {
    this.#waiting.set({ upstream }, count)
  }

  token({ upstream, result }: { upstream: string; result: 'cached' | 'fetched' | 'error' }): void {
    this.#tokens.inc({ upstream, result })
  }

  credentialExpiry({ upstream, at }: { upstream: string; at: number | undefined }): void {
    if (at === undefined) this.#credentialExpiry.remove({ upstream })
    else this.#credentialExpiry.set({ upstream }, at / 1000)
  }

  /** Gauges whose value is read when Prometheus asks. */
  readFrom(readings: Readings): void {
    this.#readings = readings
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  async render(): Promise<string> {
    this.#forgetRateLimits()
    if (this.#readings !== undefined) await this.#read(this.#readings)
    return this.#registry.metrics()
  }

  /** A quota that was low in a window that has passed would raise a false alarm. */
  #forgetRateLimits(): void {
    for (const [upstream, endsAt] of this.#rateLimitEnds) {
      if (this.#monotonic() < endsAt) continue
      this.#rateLimitEnds.delete(upstream)
      for (const gauge of [this.#rateLimit, this.#rateRemaining, this.#rateWindow]) {
        gauge.remove({ upstream })
      }
    }
  }

  async #read(readings: Readings): Promise<void> {
    this.#inflightFetches.reset()
    for (const [upstream, count] of readings.flights()) {
      this.#inflightFetches.set({ upstream }, count)
    }
    const pins = await readings.pins?.()
    if (pins !== undefined) {
      this.#pinnedBytes.set(pins.pinnedBytes)
      this.#pins.set({ state: 'complete' }, pins.complete)
      this.#pins.set({ state: 'incomplete' }, pins.incomplete)
    }
    const health = readings.health?.()
    if (health !== undefined) {
      this.#storeWritable.set(health.isWritable ? 1 : 0)
      for (const reason of TROUBLES) {
        this.#storeTrouble.set({ reason }, health.troubles.includes(reason) ? 1 : 0)
      }
    }
    const now = await readings.store()
    for (const [name, gauge] of Object.entries(this.#storeGauges)) {
      gauge.set(now[name as keyof StoreReadings] ?? 0)
    }
    // Of an empty cache it is no time at all: 0 would say that it reaches back to 1970.
    this.#oldestAccess.set((now.oldestAccessAt ?? Number.NaN) / 1000)
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name: `larder_${name}`, help, labelNames, registers: [this.#registry] })
  }

  #gauge(name: string, help: string, labelNames: string[]): Gauge {
    return new Gauge({ name: `larder_${name}`, help, labelNames, registers: [this.#registry] })
  }

  #histogram(name: string, help: string, labelNames: string[], buckets: number[]): Histogram {
    const registers = [this.#registry]
    return new Histogram({ name: `larder_${name}`, help, labelNames, buckets, registers })
  }
}

function isPull(handler: string): boolean {
  return (TYPES as readonly string[]).includes(handler)
}
