import { randomBytes } from 'node:crypto'

import { AdminError } from '../admin/errors.ts'
import type { PreloadRuns, RunsReport } from '../admin/ports/preload-runs.ts'
import { PreloadError } from '../airgap/failure.ts'
import { platformsOf } from '../airgap/image.ts'
import { UNATTENDED } from '../airgap/jobs.ts'
import { readPasted } from '../airgap/pasted.ts'
import type { RunRecord, RunRequest, RunState } from '../airgap/run-report.ts'
import { RunError, Runs, type RunWork } from '../airgap/runs.ts'
import { nextRunOf } from '../airgap/schedule.ts'
import type { PreloadJob } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { Airgap } from './airgap.ts'
import { requestOfJob } from './preloading.ts'
import type { Site } from './site.ts'

/** As whom pins are made that nobody has named. */
const MANUAL = 'manual'

export interface RunsParts {
  readonly site: Site
  readonly airgap: Airgap
  readonly logger: Logger
}

/** Every preload, and what is known of those before. */
export async function createRuns({ site, airgap, logger }: RunsParts): Promise<Runs> {
  const { store, metrics } = site
  const records = await store.catalog.listRuns()
  const runs = new Runs(
    {
      work: (request) => workOf(request, airgap),
      async put(record) {
        const { id, createdAt } = record.report
        // Whatever the disk says of it, the preload itself goes on.
        await store.catalog
          .putRun(id, createdAt, JSON.stringify(record))
          .catch((error: unknown) => store.storeFailed('catalog', error))
      },
      now: () => store.clock.now(),
      makeId: () => randomBytes(6).toString('hex'),
      onError(id, error) {
        if (error instanceof PreloadError)
          logger.warn({ id, reason: error.message }, 'preload failed')
        else
          logger.error(
            { id, stack: error instanceof Error ? error.stack : error },
            'preload failed',
          )
      },
    },
    records.flatMap(parseRecord),
  )
  metrics.preload.followJobs(() => runs.count())
  tellOfJobs(site, runs)
  return runs
}

/** When each job of the configuration has last got everything, and what its last run lacks. */
function tellOfJobs({ config, metrics }: Site, runs: Runs): void {
  const ended = runs.list().filter(({ dryRun, state }) => !dryRun && isResult(state))
  for (const { name } of config().preload) {
    const [last, ...before] = ended.filter(({ job }) => job === name)
    if (last === undefined) continue
    const whole = [last, ...before].find(({ state }) => state === 'done')
    const failedImages = last.images.failed
    metrics.preload.jobKnown(name, { failedImages, succeededAt: whole?.endedAt })
  }
}

function isResult(state: RunState): boolean {
  return state === 'done' || state === 'incomplete' || state === 'failed'
}

/** What the admin API asks of them. */
export function runsPort({ site, airgap }: Omit<RunsParts, 'logger'>, runs: Runs): PreloadRuns {
  return {
    list: () => ({ jobs: runs.list(), configured: configuredOf(site, runs) }),
    configured: () => airgap.jobs.names,
    find: (id) => runs.find(id),
    begin(request, warnings) {
      const job = request.job === undefined ? undefined : airgap.jobs.find(request.job)
      const asked = job === undefined ? request : requestOfJob(job, request)
      return orConflict(() => runs.begin(asked, { warnings }))
    },
    cancel: (id) => orConflict(() => runs.cancel(id)),
    retry: (id) => orConflict(() => runs.retry(id)),
    follow: (id, listener) => runs.follow(id, listener),
    readText: readPasted,
  }
}

function workOf(request: RunRequest, { preload, jobs }: Airgap): RunWork {
  const { images = [], job, platforms, referrers, pin, owner = MANUAL, parallel, dryRun } = request
  const settings = { ...UNATTENDED, referrers, parallel, dryRun }
  if (job === undefined) {
    const asked = {
      ...settings,
      images,
      platforms: platforms && platformsOf(platforms),
      pin: pin ? { owner, follows: false } : undefined,
    }
    return (onEvent, signal) => preload.run(asked, onEvent, signal)
  }
  return async (onEvent, signal) => {
    const found = jobs.find(job)
    if (found !== undefined) return await jobs.run(found, settings, onEvent, signal)
    throw new PreloadError('INCOMPLETE', `the configuration has no preload job ${job} any more`)
  }
}

function configuredOf(site: Site, runs: Runs): RunsReport['configured'] {
  const all = runs.list()
  const now = site.wallClock()
  return site.config().preload.map((job: PreloadJob) => {
    const own = all.filter((run) => run.job === job.name && !run.dryRun)
    return {
      name: job.name,
      sources: job.sources,
      schedule: job.schedule,
      nextRunAt: nextRunOf(job, now),
      platforms: job.platforms,
      pin: job.pin,
      running: own.find(({ endedAt }) => endedAt === undefined)?.id,
      last: own.find(({ endedAt }) => endedAt !== undefined),
    }
  })
}

function orConflict<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof RunError)) throw error
    throw new AdminError('CONFLICT', { message: error.message, cause: error })
  }
}

/** What a later release has written in another form is no record here. */
function parseRecord(body: string): readonly RunRecord[] {
  try {
    const record = JSON.parse(body) as RunRecord
    return typeof record.report?.id === 'string' && record.request !== undefined ? [record] : []
  } catch {
    return []
  }
}
