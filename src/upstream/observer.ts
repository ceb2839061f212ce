import type { CircuitState } from './breaker.ts'

/** What a request was for, as a metric label. */
export type RequestKind = 'token' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'ping'

/** Told what happens at an upstream, so that metrics stay outside of this room. Must not throw. */
export interface UpstreamObserver {
  /** One a request on the wire; `seconds` until its headers. `code` is `'0'` when none came. */
  request(event: {
    readonly upstream: string
    readonly endpoint: RequestKind
    readonly method: string
    readonly code: string
    readonly seconds: number
  }): void
  /** What the registry says of its quota. */
  rateLimit(event: {
    readonly upstream: string
    readonly limit: number | undefined
    readonly remaining: number | undefined
    readonly windowSeconds: number | undefined
  }): void
  error(event: { readonly upstream: string; readonly reason: string }): void
  retry(event: { readonly upstream: string }): void
  /** Whether it is asked; of several endpoints the best counts. Told when that changes. */
  circuit(event: { readonly upstream: string; readonly state: CircuitState }): void
  /** How many requests wait for a place, because so many are under way. Told when that changes. */
  waiting(event: { readonly upstream: string; readonly count: number }): void
  token(event: { readonly upstream: string; readonly result: 'cached' | 'fetched' | 'error' }): void
  /** Of the credential in use that expires first; epoch milliseconds, `undefined`: none known. */
  credentialExpiry(event: { readonly upstream: string; readonly at: number | undefined }): void
}
