import type { HistoryColumns } from '../../metrics/history-columns.ts'
import type { StorageReport } from './storage.ts'

export interface Overview {
  read(): Promise<OverviewReport>
  /** Whole minutes; the last step is the one under way. */
  history(asked: { readonly minutes: number; readonly step: number }): Promise<HistoryColumns>
}

/** What came of the pulls of some time. All sizes in bytes. */
export interface Traffic {
  /** Epoch milliseconds. */
  readonly since: number
  readonly requests: {
    readonly total: number
    readonly byResult: Readonly<Record<string, number>>
    /** Those that moved nothing from a registry, of all that are not refused or passed through. */
    readonly hitRatio: number | undefined
  }
  readonly bytes: {
    readonly served: number
    readonly fetched: number
    /** Of those, by preloads: before anybody has pulled them. */
    readonly preloaded: number
    /** What clients got and no registry had to send for them; preloads are no loss. Not below 0. */
    readonly saved: number
    /** Of what was served, what was saved. */
    readonly hitRatio: number | undefined
  }
}

/** Of all upstreams together; requests and bytes are those since the start. */
export interface OverviewReport extends Omit<Traffic, 'since'> {
  readonly version: string
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** On Larder's own time line, which is what every time here is on. */
  readonly now: number
  readonly uptimeSeconds: number
  readonly last5Minutes: Traffic
  /** Over restarts. */
  readonly last24Hours: Traffic
  readonly storage: Pick<
    StorageReport,
    'usedBytes' | 'quotaBytes' | 'availableBytes' | 'blobs' | 'manifests' | 'tags'
  >
  /** A minute old at most. */
  readonly pins: {
    /** References of which everything is here. */
    readonly complete: number
    readonly incomplete: number
    readonly pinnedBytes: number
    /** As far as it is known. */
    readonly missingBytes: number
  }
  /** A sentence each: what an operator should know of, though pulls are answered all the same. */
  readonly warnings: readonly string[]
}
