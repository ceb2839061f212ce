import type { PullType } from '../metrics/pulls.ts'
import type { Digest } from '../oci/digest.ts'
import type { PullResult } from '../oci/pull-result.ts'
import type { Repository } from '../oci/reference.ts'

export type Handler = PullType | 'ping' | 'upload' | 'probe' | 'other'

/** What is said of one request once it has ended. No header's value besides the agent, no query. */
export interface RequestRecord {
  /** As in `X-Request-Id`. */
  readonly request: string
  /** The address at the other end. */
  readonly client: string | undefined
  readonly agent: string | undefined
  readonly method: string
  readonly handler: Handler
  readonly upstream: string | undefined
  readonly repository: Repository | undefined
  /** A tag or digest. */
  readonly reference: string | undefined
  /** What the tag means at present, of a manifest that was found. */
  readonly digest: Digest | undefined
  readonly status: number
  readonly result: PullResult | undefined
  /** Seconds since the registry last said what the tag means. */
  readonly age: number | undefined
  /** Seconds for which the tag is stale. */
  readonly stale: number | undefined
  /** Of the body, as far as it went. */
  readonly bytes: number
  readonly ms: number
  /** Not all of the answer went to the client. */
  readonly unfinished?: true
  readonly problem?: string
}

/** Told of each request at its end. Must be quick, and must not throw. */
export type OnEnded = (record: RequestRecord) => void

/** Whether a node has got a manifest: an image, or one that an index lists. */
export function isPull({ handler, method, status }: RequestRecord): boolean {
  return handler === 'manifest' && method === 'GET' && status === 200
}
