/** What the admin API asks of the other rooms, each as narrow as it is used. */

import type { ExportPreview } from '../airgap/bundle/export.ts'
import type { ImportEvent, ImportRequest, ImportResult } from '../airgap/bundle/import.ts'
import type { ExportRequest } from '../airgap/bundle/plan.ts'
import type { CheckedImage, CheckRequest, CheckResult } from '../airgap/check.ts'
import type { PreloadFailure } from '../airgap/failure.ts'
import type { JobSettings } from '../airgap/jobs.ts'
import type { Pasted } from '../airgap/pasted.ts'
import type { PreloadEvent, PreloadRequest, PreloadResult } from '../airgap/preload.ts'
import type { RunEvent } from '../airgap/run.ts'
import type { RunDetail, RunReport, RunRequest } from '../airgap/run-report.ts'
import type { Clients } from '../api/clients.ts'
import type { RecentRequests } from '../api/recent-requests.ts'
import type { ReloadResult } from '../config/reload.ts'
import type { HistoryColumns } from '../metrics/history-columns.ts'
import type { NodeConfig } from '../node-config/setup.ts'
import type { Reference, Repository } from '../oci/reference.ts'
import type { UpstreamRecord } from '../upstream/records.ts'
import type { Step } from '../upstream/walk-step.ts'

export interface AdminPorts {
  readonly names: Names
  readonly reloading: Reloading
  readonly pins: Pins
  readonly removal: Removal
  readonly verification: Verification
  readonly storage: Storage
  readonly upstreams: Upstreams
  readonly preloading: Preloading
  readonly runs: PreloadRuns
  readonly checking: Checking
  readonly importing: Importing
  readonly exporting: Exporting
  readonly images: Images
  readonly activity: Activity
  readonly overview: Overview
  readonly configuration: Configuration
  readonly nodeSetups: NodeSetups
}

/** The upstreams of the configuration in effect. */
export interface Names {
  /** The name of the upstream that a registry's host means; `undefined`: none. */
  find(registry: string): string | undefined
  all(): readonly string[]
}

export interface Reloading {
  /** All or nothing; what is wrong with the new configuration is an answer, not an exception. */
  reload(): Promise<ReloadResult>
}

/** What a person names: one manifest, or every tag that a glob matches. */
export type Target =
  | {
      readonly kind: 'reference'
      readonly upstream: string
      readonly repository: Repository
      readonly reference: Reference
    }
  /** A glob over `<upstream>/<repository>:<tag>`. */
  | { readonly kind: 'pattern'; readonly pattern: string }

export interface Pins {
  /**
   * Makes the pin, or gives the one that is there this expiry and `follows`.
   *
   * @returns `undefined`: what it names is not here
   */
  pin(request: PinRequest): Promise<Pin | undefined>
  /** Whoever has asked for them. @returns how many there were */
  unpin(target: Target): Promise<number>
  list(): Promise<readonly Pin[]>
}

export interface PinRequest {
  readonly target: Target
  /** Whether it moves with its tag. */
  readonly follows: boolean
  /** Milliseconds from now; `undefined`: until it is taken away. */
  readonly expiresInMs: number | undefined
}

export interface Pin {
  /** `<upstream>/<repository>:<tag>`, `…@<digest>`, or the pattern. */
  readonly name: string
  readonly kind: 'tag' | 'digest' | 'pattern'
  /** `manual`, or the name of a preload job. */
  readonly owner: string
  /** What it holds at present; `undefined` for a pattern, and for what is not here. */
  readonly digest: string | undefined
  readonly follows: boolean
  /** Epoch milliseconds. */
  readonly createdAt: number
  /** Epoch milliseconds. */
  readonly expiresAt: number | undefined
}

/** What is to be removed. */
export type Selection =
  | Target
  | { readonly kind: 'upstream'; readonly upstream: string }
  | { readonly kind: 'unused'; readonly forMs: number }
  /** Least recently used first, until no more than so many bytes are left. */
  | { readonly kind: 'size'; readonly bytes: number }

export interface Removal {
  /** What is pinned is kept, and counted so, unless it is forced. */
  purge(selection: Selection, options: PurgeOptions): Promise<Removed>
  /** Removes what nobody can come by any more, and what downloads and damage left behind. */
  gc(options: GcOptions): Promise<Collected>
}

export interface PurgeOptions {
  readonly dryRun: boolean
  /** Whether what is pinned goes too. */
  readonly force: boolean
}

export interface GcOptions {
  readonly dryRun: boolean
  /** What was used since stays; `undefined`: the store's own rule. */
  readonly olderThanMs: number | undefined
}

/** What went, or in a dry run would go. */
export interface Removed {
  readonly tags: number
  readonly manifests: number
  /** Without manifests. */
  readonly blobs: number
  /** Of both. */
  readonly bytes: number
  /** What was selected and stays. */
  readonly kept: {
    readonly pinned: number
    readonly inUse: number
    /** Part of an image of the same repository that stays. */
    readonly listed: number
  }
  /** The first of them, by name; only of a dry run. */
  readonly items: readonly RemovedItem[]
}

export interface RemovedItem {
  /** A reference, a digest, or the name of a file. */
  readonly name: string
  /** Bytes; `undefined`: it has none of its own, as a tag. */
  readonly size: number | undefined
}

export interface Collected extends Removed {
  /** Parts of downloads, damaged content put aside, and content without a row. */
  readonly files: { readonly count: number; readonly bytes: number }
}

export interface Verification {
  /** Hashes everything that is stored. Ends early, with what it has found, once `signal` aborts. */
  verify(options: VerifyOptions, onEvent: (event: VerifyEvent) => void): Promise<Verified>
}

export interface VerifyOptions {
  /** Whether what is damaged is fetched again. */
  readonly repair: boolean
  readonly signal: AbortSignal
}

export type VerifyEvent =
  | {
      readonly kind: 'progress'
      readonly checked: number
      readonly total: number
      readonly bytes: number
    }
  | { readonly kind: 'fault'; readonly digest: string; readonly fault: 'damaged' | 'missing' }

/** Numbers of contents. */
export interface Verified {
  readonly checked: number
  readonly ok: number
  readonly damaged: number
  readonly missing: number
  readonly repaired: number
  /** The first of those that stay damaged or missing, and where they belong. */
  readonly unrepaired: readonly {
    readonly digest: string
    readonly fault: 'damaged' | 'missing'
    /** `<upstream>/<repository>` */
    readonly places: readonly string[]
  }[]
}

export interface Storage {
  read(): Promise<StorageReport>
  /** A minute old at most. */
  usage(): Promise<SpaceReport>
}

/** Who uses the disk. */
export interface SpaceReport {
  /** Epoch milliseconds. */
  readonly countedAt: number
  /** The largest first. */
  readonly upstreams: readonly (SpaceShare & { readonly upstream: string })[]
  /** The largest fifty. */
  readonly repositories: readonly (SpaceShare & {
    readonly upstream: string
    readonly repository: string
  })[]
  /** What no repository is known to have, as after a database was lost. */
  readonly unclaimed: Omit<SpaceShare, 'sharedBytes'>
}

export interface SpaceShare {
  readonly bytes: number
  readonly blobs: number
  /** Of the bytes, those that another has too. */
  readonly sharedBytes: number
}

/** All sizes in bytes. */
export interface StorageReport {
  readonly usedBytes: number
  /** `storage.maxSize`, of a share its bytes. */
  readonly quotaBytes: number
  readonly availableBytes: number
  readonly pinnedBytes: number
  readonly blobs: number
  readonly manifests: number
  readonly tags: number
  /** Downloads under way or left to be resumed. */
  readonly parts: { readonly count: number; readonly bytes: number }
  /** What eviction would take first. */
  readonly next: readonly NextToGo[]
}

export interface NextToGo {
  /** A reference where it has one, else its digest. */
  readonly name: string
  readonly bytes: number
  /** Epoch milliseconds. */
  readonly lastUsedAt: number
}

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

export type { ImportEvent, ImportRequest, ImportResult }

export interface Importing {
  /**
   * Reads a plain tar of images to its end.
   *
   * @throws {AdminError} `ARCHIVE_REFUSED` or `NO_ROOM`: nothing of it is kept
   * @throws the signal's reason
   */
  run(
    body: AsyncIterable<Uint8Array>,
    request: ImportRequest,
    onEvent: (event: ImportEvent) => void,
    signal: AbortSignal,
  ): Promise<ImportResult>
}

export type { PreloadEvent, PreloadFailure, PreloadRequest, PreloadResult }

export interface Preloading {
  /** What fails is told of, and the others go on. @throws the signal's reason */
  run(
    request: PreloadRequest,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult>
  /** The names of those of the configuration in effect. */
  jobs(): readonly string[]
  /** One of {@link jobs}. */
  runJob(
    name: string,
    settings: JobSettings,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult>
}

export type { RunDetail, RunEvent, RunReport, RunRequest }

/** Preloads that go on by themselves, and those that somebody listens to. */
export interface PreloadRuns {
  list(): RunsReport
  /** The names of the jobs of the configuration in effect. */
  configured(): readonly string[]
  /** `undefined`: there is none. */
  find(id: string): RunDetail | undefined
  /** @throws {AdminError} when too many wait */
  begin(request: RunRequest, warnings: readonly string[]): RunDetail
  /** @throws {AdminError} when it has ended */
  cancel(id: string): RunReport | undefined
  /** Begins one with what has failed. @throws {AdminError} when there is nothing of that */
  retry(id: string): RunDetail | undefined
  /** @returns ends that; `undefined`: there is none under way */
  follow(id: string, listener: (event: RunEvent) => void): (() => void) | undefined
  /** What a text names that somebody has pasted. */
  readText(text: string): Pasted
}

export interface RunsReport {
  /** Those under way, then the newest first. */
  readonly jobs: readonly RunReport[]
  readonly configured: readonly ConfiguredJob[]
}

/** A preload job of the configuration. */
export interface ConfiguredJob {
  readonly name: string
  readonly sources: readonly string[]
  /** A cron expression, in UTC; `undefined`: only when asked. */
  readonly schedule: string | undefined
  /** Epoch milliseconds of the wall clock. */
  readonly nextRunAt: number | undefined
  readonly platforms: readonly string[]
  readonly pin: boolean
  /** The id of a run of it that is under way. */
  readonly running: string | undefined
  /** The last that has ended, dry runs aside. */
  readonly last: RunReport | undefined
}

export interface Checking {
  /** @throws the signal's reason */
  run(
    request: CheckRequest,
    onImage: (checked: CheckedImage) => void,
    signal: AbortSignal,
  ): Promise<CheckResult>
}

export type { ExportRequest }

export interface Exporting {
  /** What {@link stream} would give. @throws {AdminError} */
  preview(request: ExportRequest, signal: AbortSignal): Promise<ExportPreview>
  /**
   * A plain tar. A piece is what it is until the next one is asked for.
   *
   * @throws {AdminError} before its first byte; what is thrown later makes it useless
   */
  stream(request: ExportRequest, signal: AbortSignal): AsyncIterable<Uint8Array>
}

export interface Images {
  list(query: ImageQuery): Promise<ImagePage>
  /** `undefined`: nothing is known of it. */
  find(target: Extract<Target, { readonly kind: 'reference' }>): Promise<ImageDetail | undefined>
}

export interface ImageQuery {
  /** A glob over `<upstream>/<repository>:<tag>`, or a text in that; `undefined`: everything. */
  readonly search: string | undefined
  /** By name; largest first; what was used last first; what was pulled most often first. */
  readonly sort: 'name' | 'size' | 'last-use' | 'pulls'
  /** Only what was not used for so many milliseconds; `undefined`: whenever it was. */
  readonly unusedForMs: number | undefined
  readonly limit: number
  /** Where a page before this one has ended. */
  readonly after: ImageCursor | undefined
}

/** An image's place in an order. */
export interface ImageCursor {
  readonly upstream: string
  readonly repository: string
  readonly reference: string
  readonly value: number
}

export interface ImagePage {
  readonly images: readonly ImageSummary[]
  /** `undefined`: there is no more. */
  readonly next: ImageCursor | undefined
}

/** A manifest in a repository, under all of its tags there. All sizes in bytes. */
export interface ImageSummary {
  /** With its first tag, or its digest. */
  readonly name: string
  readonly upstream: string
  readonly repository: string
  readonly digest: string
  /** The first hundred. */
  readonly tags: readonly string[]
  readonly platforms: readonly { readonly platform: string; readonly complete: boolean }[]
  /** Of all that is here, the shared part included. */
  readonly bytes: number
  /** Of that, what stays when the image goes. */
  readonly sharedBytes: number
  /** As far as it is known. */
  readonly missingBytes: number
  /** Whether everything is here, all platforms of an index included. */
  readonly complete: boolean
  /** When it was last pulled, preloaded or imported, epoch milliseconds; `undefined`: it is not here. */
  readonly lastUsedAt: number | undefined
  /** How often nodes have pulled it there; an index once, whatever of it they take. */
  readonly pulls: number
  /** Epoch milliseconds; `undefined`: never. */
  readonly lastPulledAt: number | undefined
  readonly pinned: boolean
}

export interface ImageDetail extends ImageSummary {
  readonly mediaType: string | undefined
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
  /** Of the tag that it was asked for by. */
  readonly tag: ImageTag | undefined
  /** Of an index those that it lists, the first hundred; else the image itself. */
  readonly manifests: readonly ImageManifest[]
  /** What has this image as its subject, such as signatures. */
  readonly referrers: readonly ImageReferrer[]
  /** The manifest as its registry gave it; `undefined`: it is not here. */
  readonly raw: string | undefined
}

/** Times in epoch milliseconds. */
export interface ImageTag {
  readonly tag: string
  /** When the registry last said what it means. */
  readonly checkedAt: number
  /** When the registry has since said that there is no such tag, or none for us. */
  readonly refusedAt: number | undefined
  /** What it has meant, the oldest first. */
  readonly history: readonly { readonly digest: string; readonly seenAt: number }[]
}

export interface ImageContent {
  readonly digest: string
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  readonly here: boolean
}

export interface ImageManifest extends ImageContent {
  readonly platform: string | undefined
  /** Its configuration is the first. */
  readonly layers: readonly ImageContent[]
}

export interface ImageReferrer {
  readonly digest: string
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}

/** Who has asked for what: for operators only, as images are named that may be private. */
export interface Activity {
  readonly recent: Pick<RecentRequests, 'list'>
  readonly clients: Pick<Clients, 'list'>
}

export interface Overview {
  read(): Promise<OverviewReport>
  /** Whole minutes; the last step is the one under way. */
  history(asked: { readonly minutes: number; readonly step: number }): Promise<HistoryColumns>
}

export type { HistoryColumns }

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

/** What nodes need to pull through this Larder. */
export interface NodeSetups {
  readonly runtimes: readonly string[]
  /** Where nodes reach it, if they know it by the host that an operator has asked. */
  serverAt(host: string | undefined): string
  /** @throws {AdminError} where the runtime cannot do what is asked for, or `server` is no origin */
  render(asked: {
    /** One of {@link runtimes}. */
    readonly runtime: string
    readonly server: string
    readonly fallback: boolean
    readonly everything: boolean
  }): NodeConfig
}

export interface Configuration {
  read(): EffectiveConfiguration
}

export interface EffectiveConfiguration {
  /** As in a configuration file, secrets as `***`. */
  readonly config: object
  /** Where each value of it comes from, by its dotted path. */
  readonly origins: Readonly<Record<string, 'default' | 'file' | 'env'>>
}
