import type { Admission } from './breaker.ts'
import type { Circuits } from './circuits.ts'
import type { Clock } from './clock.ts'
import { UpstreamError } from './errors.ts'
import { isOurs } from './failures.ts'
import type { UpstreamObserver } from './observer.ts'
import { Pauses } from './pauses.ts'

const MAX_RETRIES = 2
const MIN_DELAY_MS = 200
const MAX_DELAY_MS = 2_000

/** One address of an upstream. */
export interface RetryEndpoint {
  /** Tells it from the others. */
  readonly key: string
  /** Whether it is the registry itself: what it says of its content is final. */
  readonly authoritative: boolean
}

export interface RetryOptions {
  readonly upstream: string
  readonly connectTimeoutMs: number
  readonly clock: Clock
  readonly observe: UpstreamObserver
  /** Of all endpoints that may be asked. */
  readonly circuits: Circuits
  /** In [0, 1). */
  readonly random: () => number
  readonly sleep: (delayMs: number, signal?: AbortSignal) => Promise<void>
}

/**
 * Runs an operation on the endpoints in order until one succeeds. What could not be reached or
 * failed of itself is asked again, up to twice and only while that takes no longer than the connect
 * timeouts allow, and is asked last for a while; what fails each time is not asked at all for a while.
 * Only for operations that change nothing.
 */
export class Retry {
  readonly #options: RetryOptions
  readonly #failing: Pauses
  /** Who answers, but not with what is of use. */
  readonly #setBack: Pauses

  constructor(options: RetryOptions) {
    this.#options = options
    this.#failing = new Pauses(options.clock)
    this.#setBack = new Pauses(options.clock)
  }

  async run<E extends RetryEndpoint, T>(
    endpoints: readonly E[],
    operation: (endpoint: E) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const { clock, circuits, connectTimeoutMs, observe, sleep, upstream } = this.#options
    const endsAt = clock.elapsed() + connectTimeoutMs * endpoints.length
    const errors = new Map<E, UpstreamError>()
    // Who has failed just now gets one try, so that a dead registry costs a miss no waiting.
    const patient = new Set(endpoints.filter((one) => !this.#isFailing(one)))
    let candidates = this.#inOrder(endpoints)
    for (let round = 0; ; round++) {
      for (const endpoint of candidates) {
        if (errors.size > 0) observe.retry({ upstream })
        const outcome = await this.#attempt(endpoint, operation, errors.has(endpoint))
        if ('value' in outcome) return outcome.value
        const { error } = outcome
        errors.set(endpoint, error)
        if (endpoint.authoritative && isFinal(error)) throw error
      }
      candidates = candidates.filter(
        (one) => patient.has(one) && isWorthRepeating(errors.get(one)) && circuits.lets(one.key),
      )
      const delayMs = this.#delay(round, candidates, errors)
      const late = clock.elapsed() + delayMs > endsAt
      if (round === MAX_RETRIES || candidates.length === 0 || late) throw worst(errors)
      if (delayMs > 0) await sleep(delayMs, signal)
    }
  }

  /**
   * Runs an operation that may be run only once.
   *
   * @throws {UpstreamError}
   */
  async once<E extends RetryEndpoint, T>(
    endpoint: E,
    operation: (endpoint: E) => Promise<T>,
  ): Promise<T> {
    const outcome = await this.#attempt(endpoint, operation, false)
    if ('value' in outcome) return outcome.value
    throw outcome.error
  }

  /** What it answered with turned out to be of no use: it is asked last for a while. */
  setBack({ key }: RetryEndpoint): void {
    this.#setBack.pause(key)
  }

  async #attempt<E extends RetryEndpoint, T>(
    endpoint: E,
    operation: (endpoint: E) => Promise<T>,
    isRepeated: boolean,
  ): Promise<{ readonly value: T } | { readonly error: UpstreamError }> {
    const { circuits, observe, upstream } = this.#options
    const admission = circuits.admit(endpoint.key)
    if (admission instanceof UpstreamError) {
      observe.error({ upstream, reason: admission.reason })
      return { error: admission }
    }
    try {
      const value = await operation(endpoint)
      this.#answered(endpoint, admission)
      return { value }
    } catch (error) {
      if (!(error instanceof UpstreamError)) {
        admission.abandoned()
        throw error
      }
      if (error.kind !== 'unknown') observe.error({ upstream, reason: error.reason })
      if (isOurs(error)) admission.abandoned()
      else if (isFailing(error)) this.#failed(endpoint, admission, isRepeated)
      else this.#answered(endpoint, admission)
      return { error }
    }
  }

  #answered({ key }: RetryEndpoint, admission: Admission): void {
    this.#failing.end(key)
    admission.answered()
  }

  /** A question that is asked again is still one question: its retries do not open a circuit. */
  #failed({ key }: RetryEndpoint, admission: Admission, isRepeated: boolean): void {
    this.#failing.pause(key)
    if (isRepeated) admission.abandoned()
    else admission.failed()
  }

  #inOrder<E extends RetryEndpoint>(endpoints: readonly E[]): readonly E[] {
    const isLast = (one: E) => this.#isFailing(one) || this.#setBack.remaining(one.key) > 0
    return [...endpoints.filter((one) => !isLast(one)), ...endpoints.filter(isLast)]
  }

  #isFailing({ key }: RetryEndpoint): boolean {
    return this.#failing.remaining(key) > 0
  }

  /** A kept connection that the registry had just closed is no reason to wait. */
  #delay<E>(round: number, endpoints: readonly E[], errors: ReadonlyMap<E, UpstreamError>): number {
    const reset = endpoints.some((one) => errors.get(one)?.reason === 'reset')
    if (round === 0 && reset) return 0
    return MIN_DELAY_MS + Math.floor(this.#options.random() * (MAX_DELAY_MS - MIN_DELAY_MS))
  }
}

/** The registry has answered the question; no mirror knows better. */
function isFinal({ kind }: UpstreamError): boolean {
  return kind === 'unknown' || kind === 'denied'
}

/** A 501 is about the request, not about how the registry is. */
function isFailing({ kind, reason, status }: UpstreamError): boolean {
  if (kind === 'failed') return reason === 'http_5xx' && status !== 501
  return kind === 'unreachable' || kind === 'timeout'
}

/** A timeout is not: it has already cost what a client is willing to wait. */
function isWorthRepeating(error: UpstreamError | undefined): boolean {
  if (error === undefined || !isFailing(error) || error.kind === 'timeout') return false
  if (error.reason === 'tls' || error.reason === 'circuit_open') return false
  return (error.retryAfterMs ?? 0) <= MAX_DELAY_MS
}

/** The registry's own failure says more than a mirror's. */
function worst<E extends RetryEndpoint>(errors: ReadonlyMap<E, UpstreamError>): UpstreamError {
  const entries = [...errors]
  const own = entries.find(([endpoint]) => endpoint.authoritative) ?? entries[0]
  if (own === undefined) throw new Error('an upstream has no endpoints')
  return own[1]
}
