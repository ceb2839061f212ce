import { setTimeout as sleep } from 'node:timers/promises'

import { UNATTENDED } from '../airgap/jobs.ts'
import type { Runs } from '../airgap/runs.ts'
import { Schedule } from '../airgap/schedule.ts'
import type { PreloadJob } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { Airgap } from './airgap.ts'
import { requestOfJob } from './preloading.ts'
import { reasonOf } from './reason.ts'
import type { Site } from './site.ts'

export interface ScheduleParts {
  readonly site: Site
  readonly airgap: Airgap
  readonly runs: Runs
  readonly logger: Logger
}

/** The preload jobs of the configuration, at their times. */
export interface JobSchedule {
  /** Those of the configuration in effect. */
  take(jobs: readonly PreloadJob[]): void
  close(): Promise<void>
}

export function createSchedule(parts: ScheduleParts): JobSchedule {
  const { site, logger } = parts
  const schedule = new Schedule<PreloadJob>({
    run: (job, signal) => runJob(job, signal, parts),
    now: () => site.wallClock(),
    sleep: async (delayMs, signal) =>
      void (await sleep(delayMs, undefined, { signal, ref: false })),
    onError: (error) => logger.error({ reason: reasonOf(error) }, 'preload jobs'),
  })
  let names: readonly string[] = []
  return {
    take(jobs) {
      const taken = jobs.map(({ name }) => name)
      site.metrics.preload.forgetJobs(names.filter((name) => !taken.includes(name)))
      names = taken
      schedule.take(jobs)
    },
    close: () => schedule.close(),
  }
}

/** What fails is logged. @throws the signal's reason */
async function runJob(
  job: PreloadJob,
  signal: AbortSignal,
  { airgap, runs, logger }: ScheduleParts,
): Promise<void> {
  const begun = { origin: 'schedule', request: requestOfJob(job, UNATTENDED) } as const
  try {
    await runs.track(
      begun,
      (onEvent, until) => airgap.jobs.run(job, UNATTENDED, onEvent, until),
      () => {},
      signal,
    )
  } catch (error) {
    signal.throwIfAborted()
    logger.warn({ job: job.name, reason: reasonOf(error) }, 'preload job failed')
  }
}
