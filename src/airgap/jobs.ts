import type { PreloadJob } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { PreloadError, type PreloadFailure } from './failure.ts'
import { nameOf, platformsOf, type ResolveTarget, resolveImage } from './image.ts'
import type { Preload, PreloadEvent, PreloadRequest, PreloadResult } from './preload.ts'

/** What the sources of a job name. */
export interface SourcesRead {
  /** As people write them. */
  readonly images: readonly string[]
  /** What could not be read, a line each: images may be missing. */
  readonly problems: readonly string[]
}

export type ReadSources = (sources: readonly string[]) => Promise<SourcesRead>

export interface PreloadJobsOptions {
  readonly preload: Pick<Preload, 'run'>
  readonly jobs: () => readonly PreloadJob[]
  readonly readSources: ReadSources
  readonly resolve: ResolveTarget
  /** Takes away what `owner` pins besides `names`. @returns how many there were */
  readonly unpinOthers: (owner: string, names: ReadonlySet<string>) => Promise<number>
  readonly logger: Pick<Logger, 'info' | 'warn'>
  readonly onEnded: (job: string, ended: JobEnded) => void
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
}

export interface JobEnded {
  /** All that its sources name is here. */
  readonly isWhole: boolean
  readonly failedImages: number
}

export type JobSettings = Pick<PreloadRequest, 'referrers' | 'parallel' | 'dryRun' | 'patienceMs'>

/** As many as of a preload by hand; it waits for a quota of which it may only be told tomorrow. */
export const UNATTENDED: JobSettings = {
  referrers: false,
  parallel: 8,
  dryRun: false,
  patienceMs: 6 * 3_600_000,
}
const MAX_LOGGED = 20

/** The preloads of the configuration. */
export class PreloadJobs {
  readonly #options: PreloadJobsOptions

  constructor(options: PreloadJobsOptions) {
    this.#options = options
  }

  get names(): readonly string[] {
    return this.#options.jobs().map(({ name }) => name)
  }

  find(name: string): PreloadJob | undefined {
    return this.#options.jobs().find((job) => job.name === name)
  }

  /**
   * @throws {PreloadError} when its sources name nothing
   * @throws as {@link Preload.run}
   */
  async run(
    job: PreloadJob,
    settings: JobSettings,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult> {
    const { preload, readSources, elapsed, logger } = this.#options
    const { name, sources, platforms, pin } = job
    const startedAt = elapsed()
    const failed = new Map<string, PreloadFailure>()
    const problems: string[] = []
    try {
      const read = await readSources(sources)
      problems.push(...read.problems)
      onEvent({ kind: 'sources', images: read.images.length, problems })
      if (read.images.length === 0) throw nothingNamed(job, problems)
      const request: PreloadRequest = {
        ...settings,
        images: read.images,
        platforms: platforms.length === 0 ? undefined : platformsOf(platforms),
        pin: pin ? { owner: name, follows: true } : undefined,
      }
      const result = await preload.run(request, (event) => gather(event, failed, onEvent), signal)
      const isWhole = failed.size === 0 && problems.length === 0
      const follows = isWhole && pin && !settings.dryRun
      const unpinned = follows ? await this.#unpinOthers(name, read.images) : 0
      if (!settings.dryRun) this.#ended(name, isWhole, failed.size)
      const seconds = Math.round((elapsed() - startedAt) / 1000)
      logger.info({ job: name, ...result, unpinned, seconds }, 'preload job ended')
      return result
    } catch (error) {
      if (!signal.aborted) this.#ended(name, false, failed.size)
      throw error
    } finally {
      this.#warn(name, failed, problems)
    }
  }

  /** So that what a job pins follows its list. Of a list that may lack something nothing follows. */
  async #unpinOthers(owner: string, images: readonly string[]): Promise<number> {
    const { resolve, unpinOthers } = this.#options
    const names = images.map((text) => {
      const { place, reference } = resolveImage(text, resolve)
      return nameOf(place, reference)
    })
    return await unpinOthers(owner, new Set(names))
  }

  #ended(job: string, isWhole: boolean, failedImages: number): void {
    this.#options.onEnded(job, { isWhole, failedImages })
  }

  #warn(
    job: string,
    failed: ReadonlyMap<string, PreloadFailure>,
    problems: readonly string[],
  ): void {
    const { logger } = this.#options
    for (const problem of problems.slice(0, MAX_LOGGED)) {
      logger.warn({ job, problem }, 'preload job: a source could not be read')
    }
    for (const [image, { code, message: reason }] of [...failed].slice(0, MAX_LOGGED)) {
      logger.warn({ job, image, code, reason }, 'preload job: an image could not be had')
    }
    const more = failed.size - MAX_LOGGED
    if (more > 0) logger.warn({ job, more }, 'preload job: and more could not be had')
  }
}

function gather(
  event: PreloadEvent,
  failed: Map<string, PreloadFailure>,
  onEvent: (event: PreloadEvent) => void,
): void {
  if (event.kind === 'image' && event.failure !== undefined) failed.set(event.image, event.failure)
  onEvent(event)
}

function nothingNamed({ name }: PreloadJob, problems: readonly string[]): PreloadError {
  const why = problems.length === 0 ? '' : `: ${problems.join('; ')}`
  return new PreloadError('INCOMPLETE', `the sources of the job ${name} name no image${why}`)
}
