import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

import { unmapped } from '../access/peer.ts'
import type { Logger } from '../log.ts'
import type { ByteSource, PullType } from '../metrics/pulls.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { PullResult } from '../oci/pull-result.ts'
import { RememberedError } from '../pull/negatives.ts'
import type { Outcome } from '../pull/pull.ts'
import type { Target } from '../upstream/routing.ts'
import type { BodyWriter } from './body.ts'
import type { Origin } from './origins.ts'
import type { Handler, OnEnded, RequestRecord } from './request-record.ts'

export interface ExchangeOptions {
  readonly metrics: Metrics
  readonly logger: Logger
  readonly onEnded?: OnEnded | undefined
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly origin: Origin
  readonly bodies: BodyWriter
}

const REQUEST_ID = /^[\w.:-]{1,128}$/

/** One request and its answer, and what the metrics and the log will say of it: once, at its end. */
export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly origin: Origin
  /** What its body is written with, if it is a large one. */
  readonly bodies: BodyWriter
  readonly id: string
  readonly #options: ExchangeOptions
  readonly #startedAt = performance.now()
  /** Read while it is there: who has gone has none. */
  readonly #client: string | undefined
  #handler: Handler = 'other'
  #target: Target | undefined
  #reference: string | undefined
  #digest: Digest | undefined
  #outcome: Outcome | undefined
  #onPulled: ((outcome: Outcome) => void) | undefined
  #stopWaiting: (() => void) | undefined
  #result: PullResult | undefined
  #bytes = 0
  #firstByteAt: number | undefined
  #problem: string | undefined

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.request = options.request
    this.response = options.response
    const { address } = options.origin.peer
    this.#client = address === '' ? undefined : unmapped(address)
    this.origin = options.origin
    this.bodies = options.bodies
    const given = options.request.headers['x-request-id']
    this.id = typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
    this.response.setHeader('X-Request-Id', this.id)
    this.response.setHeader('Docker-Distribution-API-Version', 'registry/2.0')
    this.response.once('close', () => this.#finish())
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD'
  }

  handledBy(handler: Handler): void {
    this.#handler = handler
    this.#options.metrics.http.started(handler)
  }

  aimedAt(target: Target, reference: string | undefined): void {
    this.#target = target
    this.#reference = reference
    if (target.namespace !== undefined) {
      this.response.setHeader('OCI-Namespace', target.namespace)
    }
  }

  /** It is this manifest that was asked for. */
  found(digest: Digest): void {
    this.#digest = digest
  }

  /** Says how the answer came about, in the headers and for the record. */
  pulled(outcome: Outcome): void {
    const { result, ageSeconds, warning } = outcome
    this.#outcome = outcome
    this.#result = result
    this.#onPulled?.(outcome)
    if (result === 'coalesced') this.#waits()
    this.response.setHeader('Cache-Status', cacheStatusOf(outcome))
    if (ageSeconds !== undefined) this.#isOfAge(ageSeconds, result)
    if (warning !== undefined) {
      this.#problem = warning
      this.response.setHeader(
        'Warning',
        `299 - "served stale: ${warning.replace(/[^ -~]|["\\]/g, ' ')}"`,
      )
    }
  }

  #isOfAge(seconds: number, result: PullResult): void {
    this.response.setHeader('Age', seconds)
    const upstream = this.#target?.upstream.config.name
    if (upstream === undefined || this.#handler !== 'manifest') return
    this.#options.metrics.pulls.tagAge(upstream, result, seconds)
  }

  /** Until the answer has ended, which it may have before it was known where it comes from. */
  #waits(): void {
    const upstream = this.#target?.upstream.config.name
    if (upstream === undefined || this.response.closed) return
    this.#stopWaiting ??= this.#options.metrics.pulls.waits(upstream)
  }

  /** Who wants to be told as soon as it is known how the answer comes about. */
  whenPulled(listener: (outcome: Outcome) => void): void {
    this.#onPulled = listener
  }

  /**
   * `bytes` of the body went to the client.
   *
   * @param at when the first of them did, where that was not just now; as `performance.now()` says it
   */
  served(source: ByteSource, bytes: number, at: number = performance.now()): void {
    this.#firstByteAt ??= at
    this.#bytes += bytes
    const upstream = this.#target?.upstream.config.name
    if (upstream === undefined || !isPull(this.#handler)) return
    this.#options.metrics.pulls.served(upstream, this.#handler, source, bytes)
  }

  failed(error: unknown): void {
    const cause = error instanceof RegistryError ? error.cause : error
    this.#problem = (cause instanceof Error ? cause : (error as Error))?.message
    const result = this.#resultOf(error)
    this.#result = result
    if (!this.response.headersSent && this.#target !== undefined) {
      this.response.setHeader('Cache-Status', FAILURE_STATUS[result])
    }
    if (error instanceof RegistryError) return
    const stack = error instanceof Error ? error.stack : String(error)
    this.#options.logger.error({ request: this.id, stack }, 'unexpected error')
  }

  /** A range that cannot be satisfied is the caller's mistake about bytes that were found. */
  #resultOf(error: unknown): PullResult {
    const isRange = error instanceof RegistryError && error.status === 416
    return isRange && this.#outcome !== undefined ? this.#outcome.result : resultOf(error)
  }

  #finish(): void {
    const { metrics } = this.#options
    this.#stopWaiting?.()
    const seconds = (performance.now() - this.#startedAt) / 1000
    const { headersSent, statusCode } = this.response
    const method = knownMethod(this.request.method)
    if (this.#handler === 'other') metrics.http.started(this.#handler)
    metrics.http.finished({
      handler: this.#handler,
      method,
      status: headersSent ? statusCode : undefined,
      seconds,
      bytes: this.#bytes,
    })
    const upstream = this.#target?.upstream.config.name
    if (upstream !== undefined && isPull(this.#handler)) {
      const result = this.#result ?? 'error'
      metrics.pulls.ended(upstream, this.#handler, result)
      if (this.#firstByteAt !== undefined) {
        metrics.http.firstByte(this.#handler, result, (this.#firstByteAt - this.#startedAt) / 1000)
      }
    }
    this.#tell(method, seconds)
  }

  #tell(method: string, seconds: number): void {
    if (this.#handler === 'probe') return
    const { statusCode: status, writableFinished } = this.response
    const record: RequestRecord = {
      request: this.id,
      client: this.#client,
      agent: this.request.headers['user-agent']?.slice(0, 200),
      method,
      handler: this.#handler,
      upstream: this.#target?.upstream.config.name,
      repository: this.#target?.repository,
      reference: this.#reference,
      digest: this.#digest,
      status,
      result: this.#result,
      age: this.#outcome?.ageSeconds,
      stale: this.#outcome?.staleSeconds,
      bytes: this.#bytes,
      ms: Math.round(seconds * 1e6) / 1e3,
      ...(writableFinished ? {} : { unfinished: true }),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    }
    this.#options.logger.info(record, 'request')
    this.#options.onEnded?.(record)
  }
}

/** RFC 9211; §2.5: what is stale has a negative `ttl`. */
function cacheStatusOf({ result, staleSeconds, isRefreshing }: Outcome): string {
  const [cache, handling, ...details] = CACHE_STATUS[result].split('; ')
  const ttl = staleSeconds === undefined ? [] : [`ttl=-${staleSeconds}`]
  const refreshing = isRefreshing === true ? ['detail=refreshing'] : []
  return [cache, handling, ...ttl, ...details, ...refreshing].join('; ')
}

const CACHE_STATUS: Readonly<Record<PullResult, string>> = {
  hit: 'larder; hit',
  miss: 'larder; fwd=miss; stored',
  revalidated: 'larder; fwd=stale; detail=revalidated',
  stale: 'larder; fwd=stale; detail=stale-if-error',
  coalesced: 'larder; fwd=miss; collapsed',
  negative: 'larder; hit; detail=negative',
  bypass: 'larder; fwd=bypass',
  denied: 'larder; detail=denied',
  error: 'larder; fwd=miss; detail=error',
}

/** An error is not stored as an answer is. */
const FAILURE_STATUS: Readonly<Record<PullResult, string>> = {
  ...CACHE_STATUS,
  miss: 'larder; fwd=miss',
}

function resultOf(error: unknown): PullResult {
  if (!(error instanceof RegistryError)) return 'error'
  if (error.cause instanceof RememberedError) return 'negative'
  if (error.code === 'DENIED' || error.code === 'UNAUTHORIZED') return 'denied'
  return error.status === 404 ? 'miss' : 'error'
}

function isPull(handler: Handler): handler is PullType {
  return (
    handler === 'manifest' || handler === 'blob' || handler === 'tags' || handler === 'referrers'
  )
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'])

/** A label's values are a closed set, whatever a caller invents. */
function knownMethod(method: string | undefined): string {
  return method !== undefined && METHODS.has(method) ? method : 'other'
}
