import type { UpstreamRecord } from '../../upstream/records.ts'
import type { Step } from '../../upstream/walk-step.ts'
import type { Traffic } from './overview.ts'

export interface Upstreams {
  /** In the order of the configuration. */
  list(): Promise<readonly UpstreamReport[]>
  /**
   * Walks the way to its registry, also where it is blocked.
   *
   * @param image of it; `undefined`: as far as its front door
   * @throws {AdminError}
   */
  test(name: string, image: string | undefined): Promise<UpstreamWalk>
  /** From now on it is not asked, also after a restart. @throws {AdminError} */
  block(name: string, reason: string | undefined): Promise<UpstreamReport>
  /** @throws {AdminError} */
  unblock(name: string): Promise<UpstreamReport>
}

export interface UpstreamWalk {
  readonly upstream: string
  readonly ok: boolean
  /** How far its clock is ahead; `undefined`: it has not said. */
  readonly clockSkewMs: number | undefined
  /** Until the first that failed. */
  readonly steps: readonly Step[]
}

export interface UpstreamReport extends UpstreamRecord {
  readonly name: string
  readonly match: readonly string[]
  readonly url: string
  readonly mirrors: readonly string[]
  readonly access: 'public' | 'shared' | 'caller'
  /** It is not asked, because the configuration says so. */
  readonly offline: boolean
  /** Since when an operator has it not asked, epoch milliseconds, and why; `undefined`: it is. */
  readonly blocked: { readonly at: number; readonly reason: string | undefined } | undefined
  /** Its circuit is closed. */
  readonly up: boolean
  /** Whether it is asked; of its endpoints the best counts. */
  readonly circuit: 'closed' | 'open' | 'half_open'
  /** What it last said of Larder's quota; `undefined` where it says nothing, or that has run out. */
  readonly rateLimit:
    | {
        readonly limit: number | undefined
        readonly remaining: number | undefined
        readonly windowSeconds: number | undefined
      }
    | undefined
  /** Milliseconds for which it has asked to be left alone; 0: none. */
  readonly restsMs: number
  /** Requests that wait for a place. */
  readonly waiting: number
  /** How many sources of credentials it has. */
  readonly credentials: number
  /** Since the start. */
  readonly traffic: Omit<Traffic, 'since'>
}
