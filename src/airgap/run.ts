import { RegistryError } from '../oci/errors.ts'
import { formatImageReference, parseImageReference } from '../oci/reference.ts'
import { PreloadError } from './failure.ts'
import type { PreloadEvent, PreloadResult } from './preload.ts'
import type { ProgressReport } from './progress.ts'
import {
  type FailedImage,
  isOver,
  type RunDetail,
  type RunOrigin,
  type RunRecord,
  type RunReport,
  type RunRequest,
  type RunRow,
  type RunState,
} from './run-report.ts'

/** Of a list of ten thousand that all fail, enough to see why. */
const MAX_FAILED = 1_000
const MAX_ROWS = 1_000
const MAX_WARNINGS = 100

/** An operator has ended it. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError'

  constructor() {
    super('the preload was cancelled by an operator')
  }
}

export type RunEvent =
  | { readonly kind: 'state' }
  | { readonly kind: 'row'; readonly row: RunRow }
  | { readonly kind: 'progress'; readonly progress: ProgressReport }
  /** The last. */
  | { readonly kind: 'end' }

export interface RunOptions {
  readonly id: string
  readonly origin: RunOrigin
  readonly request: RunRequest
  readonly retryOf?: string | undefined
  /** What could not be read of what was given. */
  readonly warnings?: readonly string[] | undefined
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** One preload: what it was asked for, how it stands, and who wants to be told. */
export class Run {
  readonly id: string
  readonly request: RunRequest
  readonly #options: RunOptions
  readonly #createdAt: number
  readonly #stop = new AbortController()
  readonly #rows = new Map<string, RunRow>()
  readonly #listeners = new Set<(event: RunEvent) => void>()
  #state: RunState = 'queued'
  #startedAt: number | undefined
  #endedAt: number | undefined
  #total: number
  #progress: ProgressReport | undefined
  #result: PreloadResult | undefined
  #error: RunReport['error']
  #warnings: readonly string[]

  constructor(options: RunOptions) {
    this.id = options.id
    this.request = options.request
    this.#options = options
    this.#createdAt = options.now()
    this.#warnings = (options.warnings ?? []).slice(0, MAX_WARNINGS)
    const names = new Set(options.request.images?.map(wholeName))
    for (const image of names) this.#rows.set(image, { image, state: 'waiting' })
    this.#total = names.size
  }

  get state(): RunState {
    return this.#state
  }

  /** Of how many images it knows in detail. */
  get rowCount(): number {
    return this.#rows.size
  }

  /** Ends it: what it has fetched stays. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  start(): void {
    this.#state = 'running'
    this.#startedAt = this.#options.now()
    this.#tell({ kind: 'state' })
  }

  on(event: PreloadEvent): void {
    switch (event.kind) {
      case 'sources':
        this.#total = event.images
        this.#warnings = event.problems.slice(0, MAX_WARNINGS)
        this.#tell({ kind: 'state' })
        return
      case 'image': {
        const { kind: _, failure, ...image } = event
        const row = { ...image, error: failure }
        this.#rows.set(event.image, row)
        this.#tell({ kind: 'row', row })
        return
      }
      case 'progress': {
        const { kind: _, ...progress } = event
        this.#progress = progress
        this.#tell({ kind: 'progress', progress })
        return
      }
      default:
        event satisfies never
    }
  }

  cancel(): void {
    this.#stop.abort(new CancelledError())
  }

  /** Larder ends. */
  interrupt(reason: unknown): void {
    this.#stop.abort(reason)
  }

  finish(result: PreloadResult): void {
    this.#result = result
    this.#total = result.done + result.unchanged + result.failed
    const isWhole = result.failed === 0 && this.#warnings.length === 0
    this.#end(isWhole ? 'done' : 'incomplete')
  }

  /** @param isAborted whoever began it wants no more of it */
  fail(error: unknown, isAborted: boolean): void {
    const state = this.#stateOf(error, isAborted)
    if (state === 'failed') {
      this.#error =
        error instanceof PreloadError
          ? { code: error.code, message: error.message }
          : { code: 'INTERNAL', message: 'an error of Larder itself: its log has the details' }
    }
    this.#end(state)
  }

  /** Told until it has ended. @returns who is told no longer */
  follow(listener: (event: RunEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  report(): RunReport {
    const { id, origin, retryOf, request } = this.#options
    const { job, platforms, referrers, pin, dryRun } = request
    const isRunning = this.#state === 'running'
    return {
      id,
      state: this.#state,
      origin,
      job,
      retryOf,
      platforms,
      referrers,
      pin,
      dryRun,
      createdAt: this.#createdAt,
      startedAt: this.#startedAt,
      endedAt: this.#endedAt,
      images: this.#counts(),
      bytes: this.#bytes(),
      bytesPerSecond: isRunning ? (this.#progress?.bytesPerSecond ?? 0) : undefined,
      error: this.#error,
      warnings: this.#warnings,
      failed: this.#failed(),
    }
  }

  detail(): RunDetail {
    const active = this.#state === 'running' ? (this.#progress?.active ?? []) : []
    const rows = [...this.#rows.values()]
    const first = rows.filter(({ state }) => state === 'failed')
    const second = rows.filter(({ state }) => state === 'fetching')
    const others = rows.filter(({ state }) => state !== 'failed' && state !== 'fetching')
    const sorted = [...first, ...second, ...others].slice(0, MAX_ROWS)
    return { ...this.report(), rows: sorted, active }
  }

  record(): RunRecord {
    return { report: this.report(), request: this.request }
  }

  #stateOf(error: unknown, isAborted: boolean): RunState {
    if (error instanceof CancelledError) return 'cancelled'
    if (this.#stop.signal.aborted) return 'interrupted'
    if (!isAborted) return 'failed'
    // A command that goes means it; a schedule ends with the server.
    return this.#options.origin === 'command' ? 'cancelled' : 'interrupted'
  }

  #end(state: RunState): void {
    if (isOver(this.#state)) return
    this.#state = state
    this.#endedAt = this.#options.now()
    this.#tell({ kind: 'end' })
    this.#listeners.clear()
  }

  #counts(): RunReport['images'] {
    const counts = { done: 0, unchanged: 0, failed: 0 }
    for (const { state } of this.#rows.values()) {
      if (state !== 'waiting' && state !== 'fetching') counts[state]++
    }
    return { total: Math.max(this.#total, this.#rows.size), ...counts }
  }

  #bytes(): RunReport['bytes'] {
    const { totalBytes = 0, bytes = 0, fetchedBytes = 0 } = this.#progress ?? {}
    if (this.#result === undefined) return { total: totalBytes, here: bytes, fetched: fetchedBytes }
    const { hereBytes, fetchedBytes: fetched } = this.#result
    return { total: totalBytes, here: hereBytes + fetched, fetched }
  }

  #failed(): readonly FailedImage[] {
    const failed: FailedImage[] = []
    for (const { image, state, error } of this.#rows.values()) {
      if (failed.length === MAX_FAILED) break
      if (state === 'failed' && error !== undefined) failed.push({ image, ...error })
    }
    return failed
  }

  #tell(event: RunEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

/** As the events of a preload have it. What cannot be read is shown as it is. */
function wholeName(text: string): string {
  try {
    return formatImageReference(parseImageReference(text))
  } catch (error) {
    if (error instanceof RegistryError) return text
    throw error
  }
}
