import { Cron } from 'croner'

export interface Scheduled {
  readonly name: string
  /** A cron expression, in UTC; `undefined`: only when asked. */
  readonly schedule: string | undefined
}

export interface ScheduleOptions<Job extends Scheduled> {
  /** Never rejects but with the signal's reason. */
  readonly run: (job: Job, signal: AbortSignal) => Promise<unknown>
  /** Epoch milliseconds of the wall clock, which may jump. */
  readonly now: () => number
  /** Rejects when the signal says so. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>
  /** Told of what a job did not tell of itself. */
  readonly onError: (error: unknown) => void
}

interface Tended<Job> {
  readonly job: Job
  /** Ends the waiting, and leaves alone what is under way. */
  readonly retire: AbortController
  readonly ended: Promise<void>
}

/** The clock is looked at so often, because it may jump, and machines sleep. */
const LOOK_MS = 30_000

/**
 * Runs each job at its times, in UTC: there no hour comes twice and none is left out. A job that is
 * late is not run twice, and one that was missed, because nothing ran here, is not caught up with.
 */
export class Schedule<Job extends Scheduled> {
  readonly #options: ScheduleOptions<Job>
  readonly #stop = new AbortController()
  #tended = new Map<string, Tended<Job>>()
  /** Those of jobs that are no more, too, while a run of theirs goes on. */
  readonly #unended = new Set<Promise<void>>()

  constructor(options: ScheduleOptions<Job>) {
    this.#options = options
  }

  /** From now on it is these. A run under way goes on to its end as it began. */
  take(jobs: readonly Job[]): void {
    if (this.#stop.signal.aborted) return
    const before = this.#tended
    this.#tended = new Map()
    for (const job of jobs) {
      const known = before.get(job.name)
      const isSame = known !== undefined && JSON.stringify(known.job) === JSON.stringify(job)
      this.#tended.set(job.name, isSame ? known : this.#begin(job, known?.ended))
      if (isSame) before.delete(job.name)
    }
    for (const { retire } of before.values()) retire.abort()
  }

  /** Resolves when nothing is run any more: what is under way is ended. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#unended)
  }

  #begin(job: Job, before: Promise<void> | undefined): Tended<Job> {
    const retire = new AbortController()
    const ended = this.#tend(job, retire.signal, before)
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted && !retire.signal.aborted) this.#options.onError(error)
      })
      .finally(() => this.#unended.delete(ended))
    this.#unended.add(ended)
    return { job, retire, ended }
  }

  async #tend(job: Job, retired: AbortSignal, before: Promise<void> | undefined): Promise<void> {
    await before
    const over = AbortSignal.any([retired, this.#stop.signal])
    while (!over.aborted) {
      const next = nextRunOf(job, this.#options.now())
      if (next === undefined) return
      await this.#until(next, over)
      await this.#options.run(job, this.#stop.signal)
    }
  }

  async #until(at: number, over: AbortSignal): Promise<void> {
    const { now, sleep } = this.#options
    for (let leftMs = at - now(); leftMs > 0; leftMs = at - now()) {
      await sleep(Math.min(leftMs, LOOK_MS), over)
    }
    over.throwIfAborted()
  }
}

/** When it is run for the next time after `now`, epoch milliseconds; `undefined`: only when asked. */
export function nextRunOf({ schedule }: Scheduled, now: number): number | undefined {
  if (schedule === undefined) return undefined
  const cron = new Cron(schedule, { timezone: 'UTC', paused: true })
  return cron.nextRun(new Date(now))?.getTime()
}
