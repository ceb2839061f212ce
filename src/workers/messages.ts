/** What the process that decides and its workers say to each other, apart from requests. */

import type { TlsMaterial } from '../listener/certificates.ts'
import type { ConnectionLimits, RejectReason } from '../listener/connections.ts'

/** What a worker has to know to begin. */
export interface Setup {
  /** Where the process that decides answers its workers. */
  readonly socketPath: string
  /** Shows there that a request is a worker's. */
  readonly secret: string
  /** The data directory. */
  readonly path: string
  readonly chunkCacheBytes: number
  readonly material: TlsMaterial | undefined
  readonly connections: ConnectionLimits
}

export type ToWorker =
  | { readonly kind: 'setup'; readonly setup: Setup }
  /** With the connection itself. One at a time, until it is `taken`. */
  | { readonly kind: 'connection' }
  | { readonly kind: 'certificates'; readonly material: TlsMaterial }
  /** No more connections come: answers under way may end, for at most so long; then it ends itself. */
  | { readonly kind: 'drain'; readonly ms: number }
  /** Every connection is ended now. */
  | { readonly kind: 'hurry' }

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'taken' }
  | { readonly kind: 'connections'; readonly open: number }
  | { readonly kind: 'rejected'; readonly reason: RejectReason }
  | {
      readonly kind: 'full'
      readonly isFull: boolean
      readonly open: number
      readonly limit: number
    }
  | { readonly kind: 'usage'; readonly usage: Usage }

/** What a worker has used, and how quickly it comes to what it has to do. */
export interface Usage {
  /** Since it began. */
  readonly cpuSeconds: number
  readonly memoryBytes: number
  /** The longest that its event loop has kept anything waiting since it last said so. */
  readonly delaySeconds: number
}
