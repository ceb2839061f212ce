/** What is said of a run: of one preload, whoever began it. */
import type { PreloadErrorCode, PreloadFailure } from './failure.ts'
import type { ActiveContent } from './progress.ts'

/**
 * `incomplete`: it came to its end, and some images could not be had. `interrupted`: Larder ended
 * first.
 */
export type RunState =
  | 'queued'
  | 'running'
  | 'done'
  | 'incomplete'
  | 'failed'
  | 'cancelled'
  | 'interrupted'

export const RUN_STATES: readonly RunState[] = [
  'queued',
  'running',
  'done',
  'incomplete',
  'failed',
  'cancelled',
  'interrupted',
]

/** `command`: who began it listens to it, and ends it by going. */
export type RunOrigin = 'api' | 'command' | 'schedule'

/** What was asked for: images, or a job of the configuration. */
export interface RunRequest {
  /** As people write them; `undefined`: what the job's sources name. */
  readonly images: readonly string[] | undefined
  readonly job: string | undefined
  /** `linux/amd64`; `undefined`: those of each upstream, or of the job. */
  readonly platforms: readonly string[] | undefined
  readonly referrers: boolean
  readonly pin: boolean
  /** As whom it pins. */
  readonly owner: string | undefined
  /** Contents fetched at a time. */
  readonly parallel: number
  readonly dryRun: boolean
}

/** Times in epoch milliseconds, sizes in bytes. */
export interface RunReport extends Omit<RunRequest, 'images' | 'owner' | 'parallel'> {
  readonly id: string
  readonly state: RunState
  readonly origin: RunOrigin
  /** The run whose failures this one has tried again. */
  readonly retryOf: string | undefined
  readonly createdAt: number
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
  readonly images: {
    readonly total: number
    readonly done: number
    readonly unchanged: number
    readonly failed: number
  }
  readonly bytes: {
    /** Of all contents that are known by now. */
    readonly total: number
    /** Of those that are here. */
    readonly here: number
    /** Of those, what this run has fetched, or in a dry run would fetch. */
    readonly fetched: number
  }
  /** Of the last seconds; `undefined`: it is not under way. */
  readonly bytesPerSecond: number | undefined
  /** Why it could not go on. */
  readonly error:
    | { readonly code: PreloadErrorCode | 'INTERNAL'; readonly message: string }
    | undefined
  /** Sources that could not be read, a line each: images may be missing. */
  readonly warnings: readonly string[]
  /** The first of them. */
  readonly failed: readonly FailedImage[]
}

export interface FailedImage extends PreloadFailure {
  readonly image: string
}

/** How it stands with one image. */
export interface RunRow {
  readonly image: string
  readonly state: 'waiting' | 'fetching' | 'done' | 'unchanged' | 'failed'
  readonly digest?: string | undefined
  readonly bytes?: number | undefined
  readonly fetchedBytes?: number | undefined
  readonly warning?: string | undefined
  readonly error?: PreloadFailure | undefined
}

export interface RunDetail extends RunReport {
  /** The first of them: failed ones, those under way, then the others as they were named. */
  readonly rows: readonly RunRow[]
  readonly active: readonly ActiveContent[]
}

/** What is kept of a run over a restart. */
export interface RunRecord {
  readonly report: RunReport
  readonly request: RunRequest
}

export function isOver(state: RunState): boolean {
  return state !== 'queued' && state !== 'running'
}
