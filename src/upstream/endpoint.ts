import type { Dispatchers } from './dispatchers.ts'
import type { Exchange } from './exchange.ts'
import type { RetryEndpoint } from './retry.ts'

/** One address of an upstream, the registry itself or a mirror, with all that belongs to it. */
export interface Endpoint extends RetryEndpoint {
  /** The configured name of the upstream, for errors. */
  readonly upstream: string
  readonly base: URL
  readonly exchange: Exchange
  readonly dispatchers: Dispatchers
  /** For a whole document, such as a manifest. */
  readonly timeoutMs: number
}
