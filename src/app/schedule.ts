import { setTimeout as sleep } from 'node:timers/promises'

import { Schedule } from '../airgap/schedule.ts'
import type { PreloadJob } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { Clock } from '../upstream/clock.ts'
import type { Airgap } from './airgap.ts'
import { reasonOf } from './reason.ts'
import type { Site } from './site.ts'

export interface ScheduleParts {
  readonly site: Site
  readonly airgap: Airgap
  readonly logger: Logger
  /** Default: that of the system. */
  readonly clock: Clock | undefined
}

/** The preload jobs of the configuration, at their times. */
export interface JobSchedule {
  /** Those of the configuration in effect. */
  take(jobs: readonly PreloadJob[]): void
  close(): Promise<void>
}

export function createSchedule({ site, airgap, logger, clock }: ScheduleParts): JobSchedule {
  const schedule = new Schedule<PreloadJob>({
    run: (job, signal) => airgap.jobs.runScheduled(job, signal),
    now: () => clock?.now() ?? Date.now(),
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
