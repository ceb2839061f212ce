import PQueue from 'p-queue'

import type { PreloadEvent, PreloadResult } from './preload.ts'
import { CancelledError, Run, type RunEvent } from './run.ts'
import {
  isOver,
  type RunDetail,
  type RunOrigin,
  type RunRecord,
  type RunReport,
  type RunRequest,
  type RunState,
} from './run-report.ts'

/** Of those that nobody listens to. */
const AT_A_TIME = 2
const MAX_QUEUED = 50
const MAX_ENDED = 100
/** Rows of images that ended runs may have in memory together. */
const MAX_ENDED_ROWS = 20_000

/** Why something cannot be done with a run. */
export class RunError extends Error {
  override readonly name = 'RunError'
}

export type RunWork = (
  onEvent: (event: PreloadEvent) => void,
  signal: AbortSignal,
) => Promise<PreloadResult>

export interface RunsOptions {
  /** What a request means. What it throws ends the run. */
  readonly work: (request: RunRequest) => RunWork
  /** Keeps it, over a restart too, and forgets the oldest. Never rejects. */
  readonly put: (record: RunRecord) => Promise<void>
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly makeId: () => string
  /** Told why one could not go on that nobody listens to. */
  readonly onError: (id: string, error: unknown) => void
}

export interface BeginOptions {
  readonly origin: RunOrigin
  readonly request: RunRequest
}

export interface BeginMore {
  /** The run of which this one tries the failures again. */
  readonly retryOf?: string
  /** What could not be read of what was given. */
  readonly warnings?: readonly string[]
}

/** Every preload: under way, waiting, and the last that have ended, over restarts. */
export class Runs {
  readonly #options: RunsOptions
  readonly #queue = new PQueue({ concurrency: AT_A_TIME })
  /** In the order in which they were created. */
  readonly #runs = new Map<string, Run>()
  /** Ended, and known by their records only. */
  readonly #past = new Map<string, RunRecord>()
  readonly #unended = new Set<Promise<unknown>>()
  #isClosed = false

  /** @param records of before, the oldest first; what was under way then was interrupted */
  constructor(options: RunsOptions, records: readonly RunRecord[]) {
    this.#options = options
    for (const record of records) {
      const { report } = record
      const state = isOver(report.state) ? report.state : 'interrupted'
      const ended = { ...report, state, bytesPerSecond: undefined }
      this.#past.set(report.id, { ...record, report: ended })
    }
  }

  /** Those under way, then the others, the newest first. */
  list(): readonly RunReport[] {
    const runs = [...this.#runs.values()].map((run) => run.report())
    const past = [...this.#past.values()].map(({ report }) => report)
    const all = [...past, ...runs].reverse()
    const under = all.filter(({ state }) => !isOver(state))
    return [...under, ...all.filter(({ state }) => isOver(state))]
  }

  /** How many there are in each state. */
  count(): ReadonlyMap<RunState, number> {
    const counts = new Map<RunState, number>()
    for (const { state } of this.#runs.values()) counts.set(state, (counts.get(state) ?? 0) + 1)
    for (const { report } of this.#past.values()) {
      counts.set(report.state, (counts.get(report.state) ?? 0) + 1)
    }
    return counts
  }

  find(id: string): RunDetail | undefined {
    const run = this.#runs.get(id)
    if (run !== undefined) return run.detail()
    const past = this.#past.get(id)?.report
    if (past === undefined) return undefined
    const rows = past.failed.map(({ image, ...error }) => ({
      image,
      state: 'failed' as const,
      error,
    }))
    return { ...past, rows, active: [] }
  }

  /**
   * Begins it by itself, or lets it wait for its turn.
   *
   * @throws {RunError} when too many wait already
   */
  begin(request: RunRequest, more: BeginMore = {}): RunDetail {
    if (this.#isClosed) throw new RunError('the server is stopping')
    const waiting = [...this.#runs.values()].filter(({ state }) => state === 'queued').length
    if (waiting >= MAX_QUEUED) throw new RunError(`${waiting} preloads wait already`)
    const run = this.#create({ origin: 'api', request, ...more })
    const started = this.#queue.add(() => this.#run(run, this.#options.work(request), run.signal))
    this.#watch(started.catch((error: unknown) => this.#judge(run, error)))
    return run.detail()
  }

  /**
   * Runs what its caller listens to, or what a schedule has begun.
   *
   * @throws {CancelledError} when an operator has ended it
   * @throws what the work throws
   */
  async track(
    { origin, request }: BeginOptions,
    work: RunWork,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult> {
    signal.throwIfAborted()
    const run = this.#create({ origin, request })
    const both = AbortSignal.any([signal, run.signal])
    const told: RunWork = (tell, until) =>
      work((event) => {
        tell(event)
        onEvent(event)
      }, until)
    const running = this.#run(run, told, both)
    this.#watch(running.catch(() => undefined))
    return await running
  }

  /** @returns `undefined`: there is none @throws {RunError} when it has ended */
  cancel(id: string): RunReport | undefined {
    const run = this.#runs.get(id)
    const state = run?.state ?? this.#past.get(id)?.report.state
    if (state === undefined) return undefined
    if (run === undefined || isOver(state)) throw new RunError(`it has ended already: ${state}`)
    run.cancel()
    // One that waits has nothing to stop.
    if (state === 'queued') this.#settle(run, () => run.fail(new CancelledError(), false))
    return run.report()
  }

  /**
   * Begins one with what has failed, or all of it where not everything was tried.
   *
   * @returns `undefined`: there is none
   * @throws {RunError} when there is nothing to be tried again, or too many wait
   */
  retry(id: string): RunDetail | undefined {
    const record = this.#runs.get(id)?.record() ?? this.#past.get(id)
    if (record === undefined) return undefined
    const { report, request } = record
    if (!isOver(report.state)) throw new RunError(`it has not ended: ${report.state}`)
    if (report.state === 'done') throw new RunError('nothing of it has failed')
    const isPart =
      report.state === 'incomplete' &&
      request.job === undefined &&
      report.failed.length === report.images.failed
    const images = isPart ? report.failed.map(({ image }) => image) : request.images
    return this.begin({ ...request, images }, { retryOf: id })
  }

  /** @returns ends that; `undefined`: there is none under way */
  follow(id: string, listener: (event: RunEvent) => void): (() => void) | undefined {
    const run = this.#runs.get(id)
    return run === undefined || isOver(run.state) ? undefined : run.follow(listener)
  }

  /** Ends what is under way; resolves when nothing is. */
  async close(): Promise<void> {
    this.#isClosed = true
    const reason = new Error('the server is stopping')
    for (const run of this.#runs.values()) {
      if (isOver(run.state)) continue
      run.interrupt(reason)
      if (run.state === 'queued') this.#settle(run, () => run.fail(reason, false))
    }
    while (this.#unended.size > 0) await Promise.all(this.#unended)
  }

  #create(options: BeginOptions & BeginMore): Run {
    const { makeId, now } = this.#options
    const run = new Run({ id: makeId(), now, ...options })
    this.#runs.set(run.id, run)
    this.#keep(run)
    return run
  }

  async #run(run: Run, work: RunWork, signal: AbortSignal): Promise<PreloadResult> {
    signal.throwIfAborted()
    run.start()
    try {
      const result = await work((event) => run.on(event), signal)
      this.#settle(run, () => run.finish(result))
      return result
    } catch (error) {
      this.#settle(run, () => run.fail(error, signal.aborted))
      throw error
    }
  }

  #settle(run: Run, end: () => void): void {
    end()
    this.#keep(run)
    this.#trim()
  }

  #keep(run: Run): void {
    this.#watch(this.#options.put(run.record()))
  }

  #watch(work: Promise<unknown>): void {
    const watched = work.finally(() => this.#unended.delete(watched))
    this.#unended.add(watched)
  }

  /** The run says itself why it could not go on, unless that is our own fault. */
  #judge({ id, state }: Run, error: unknown): void {
    if (state === 'failed') this.#options.onError(id, error)
  }

  /** Of what has ended, the oldest goes. */
  #trim(): void {
    const ended = [...this.#runs.values()].filter(({ state }) => isOver(state))
    let rows = ended.reduce((sum, run) => sum + run.rowCount, 0)
    for (const run of ended) {
      if (rows <= MAX_ENDED_ROWS) break
      rows -= run.rowCount
      this.#past.set(run.id, run.record())
      this.#runs.delete(run.id)
    }
    let spare = this.list().filter(({ state }) => isOver(state)).length - MAX_ENDED
    for (const id of [...this.#past.keys(), ...ended.map((run) => run.id)]) {
      if (spare <= 0) return
      if (this.#past.delete(id) || this.#runs.delete(id)) spare--
    }
  }
}
