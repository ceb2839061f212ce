import type { Instruments } from './instruments.ts'

const IMAGE_RESULTS = ['done', 'unchanged', 'failed'] as const
const BYTE_RESULTS = ['fetched', 'here'] as const

const JOB_STATES = [
  'queued',
  'running',
  'done',
  'incomplete',
  'failed',
  'cancelled',
  'interrupted',
] as const

export type JobState = (typeof JOB_STATES)[number]

interface JobEnded {
  /** Everything that it names is here. */
  readonly isWhole: boolean
  readonly failedImages: number
}

/** What a preload has come to: how many images of each kind, and their bytes. */
export type Preloaded = Readonly<Record<(typeof IMAGE_RESULTS)[number], number>> & {
  readonly fetchedBytes: number
  readonly hereBytes: number
}

/**
 * Preloads, and the jobs of the configuration. Their label is not `job`: that is Prometheus' own, and
 * what a target says of it is renamed.
 */
export class PreloadMetrics {
  readonly #succeededAt
  readonly #failedImages
  readonly #images
  readonly #bytes
  readonly #jobs
  #countJobs: () => ReadonlyMap<JobState, number> = () => new Map()

  constructor(instruments: Instruments) {
    this.#succeededAt = instruments.gauge(
      'preload_last_success_timestamp_seconds',
      'When everything that a preload job names was last found or fetched',
      ['preload'],
    )
    this.#failedImages = instruments.gauge(
      'preload_failed_images',
      'Images that the last run of a preload job could not get',
      ['preload'],
    )
    this.#images = instruments.counter(
      'preload_images_total',
      'Images preloaded: fetched, here already, not to be had',
      ['result'],
    )
    this.#bytes = instruments.counter(
      'preload_bytes_total',
      'Bytes that preloads needed: fetched from registries, here already',
      ['result'],
    )
    this.#jobs = instruments.gauge(
      'preload_jobs',
      'Preloads under way, and the last hundred that have ended, by how they stand',
      ['state'],
    )
    for (const result of IMAGE_RESULTS) this.#images.inc({ result }, 0)
    for (const result of BYTE_RESULTS) this.#bytes.inc({ result }, 0)
  }

  /** Who knows how many there are in each state. */
  followJobs(count: () => ReadonlyMap<JobState, number>): void {
    this.#countJobs = count
  }

  readJobs(): void {
    const counts = this.#countJobs()
    for (const state of JOB_STATES) this.#jobs.set({ state }, counts.get(state) ?? 0)
  }

  /** @returns to be called once, with what came of it, or with nothing when it did not end by itself */
  began(): (preloaded?: Preloaded) => void {
    return (preloaded) => {
      if (preloaded === undefined) return
      for (const result of IMAGE_RESULTS) this.#images.inc({ result }, preloaded[result])
      this.#bytes.inc({ result: 'fetched' }, preloaded.fetchedBytes)
      this.#bytes.inc({ result: 'here' }, preloaded.hereBytes)
    }
  }

  /**
   * What a job of the configuration came to before this process: an alert that a preload is late must
   * not wait anew after each restart.
   *
   * @param succeededAt when it last got everything, epoch milliseconds; `undefined`: never
   */
  jobKnown(
    preload: string,
    known: { readonly failedImages: number; readonly succeededAt: number | undefined },
  ): void {
    const { failedImages, succeededAt } = known
    if (succeededAt !== undefined) this.#succeededAt.set({ preload }, succeededAt / 1000)
    this.#failedImages.set({ preload }, failedImages)
  }

  /** A job of the configuration has ended. */
  jobEnded(preload: string, { isWhole, failedImages }: JobEnded): void {
    if (isWhole) this.#succeededAt.set({ preload }, Date.now() / 1000)
    this.#failedImages.set({ preload }, failedImages)
  }

  /** Those are no longer in the configuration. */
  forgetJobs(jobs: readonly string[]): void {
    for (const preload of jobs) {
      this.#succeededAt.remove({ preload })
      this.#failedImages.remove({ preload })
    }
  }
}
