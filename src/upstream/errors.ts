/**
 * What the other side did.
 *
 * - `unknown`: it says 404 to a request it let us make
 * - `denied`: 401 after a fresh token, or 403
 * - `throttled`: 429, or another way to say the same
 * - `failed`: 5xx, or a status that makes no sense here
 * - `timeout`: no answer within a configured time
 * - `unreachable`: DNS, connect, TLS, reset
 * - `invalid`: it lies or breaks the protocol: wrong digest, endless redirect, foreign realm
 * - `offline`: it was not asked, because the configuration or an operator says so
 */
export type UpstreamErrorKind =
  | 'unknown'
  | 'denied'
  | 'throttled'
  | 'failed'
  | 'timeout'
  | 'unreachable'
  | 'invalid'
  | 'offline'

export interface UpstreamErrorOptions {
  /** The configured name. */
  readonly upstream: string
  /** For the metric `larder_upstream_errors_total`: dns, connect, tls, timeout, reset, auth, … */
  readonly reason: string
  /** For a person, and safe to show to any caller: no URL, no query, no secret, no address. */
  readonly message: string
  readonly status?: number
  /** The first code of the registry's error body, such as `NAME_UNKNOWN`. */
  readonly code?: string
  readonly retryAfterMs?: number
  readonly cause?: unknown
}

/** Only `pull` turns it into a stale answer or a RegistryError: only it knows if there is a copy. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly kind: UpstreamErrorKind
  readonly upstream: string
  readonly reason: string
  readonly status: number | undefined
  readonly code: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(kind: UpstreamErrorKind, options: UpstreamErrorOptions) {
    super(options.message, { cause: options.cause })
    this.kind = kind
    this.upstream = options.upstream
    this.reason = options.reason
    this.status = options.status
    this.code = options.code
    this.retryAfterMs = options.retryAfterMs
  }
}
