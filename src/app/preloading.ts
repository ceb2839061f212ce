import { AdminError } from '../admin/errors.ts'
import type { Preloading } from '../admin/ports/preloading.ts'
import { PreloadError } from '../airgap/failure.ts'
import type { JobSettings } from '../airgap/jobs.ts'
import type { PreloadRequest, PreloadResult } from '../airgap/preload.ts'
import { CancelledError } from '../airgap/run.ts'
import type { RunRequest } from '../airgap/run-report.ts'
import type { Runs } from '../airgap/runs.ts'
import type { PreloadJob } from '../config/config.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { Airgap } from './airgap.ts'

/** Preloads that whoever asks for them listens to. They are listed with the others all the same. */
export function createPreloading({ preload, jobs }: Airgap, runs: Runs): Preloading {
  return {
    run(request, onEvent, signal) {
      const begun = { origin: 'command', request: requestOf(request) } as const
      return orAdminError(
        runs.track(begun, (tell, until) => preload.run(request, tell, until), onEvent, signal),
      )
    },
    jobs: () => jobs.names,
    async runJob(name, settings, onEvent, signal) {
      const job = jobs.find(name)
      // It was there a moment ago: a reload has come in between.
      if (job === undefined) throw new AdminError('CONFLICT')
      const begun = { origin: 'command', request: requestOfJob(job, settings) } as const
      return await orAdminError(
        runs.track(begun, (tell, until) => jobs.run(job, settings, tell, until), onEvent, signal),
      )
    },
  }
}

function requestOf({ images, platforms, pin, ...settings }: PreloadRequest): RunRequest {
  const { referrers, parallel, dryRun } = settings
  const shown = platforms === undefined || platforms === 'all' ? undefined : platforms
  return {
    images,
    job: undefined,
    platforms: shown?.map(formatPlatform),
    pin: pin !== undefined,
    owner: pin?.owner,
    referrers,
    parallel,
    dryRun,
  }
}

export function requestOfJob(
  { name: job, platforms, pin }: PreloadJob,
  { referrers, parallel, dryRun }: Omit<JobSettings, 'patienceMs'>,
): RunRequest {
  const shown = platforms.length === 0 ? undefined : platforms
  const asked = { images: undefined, job, platforms: shown, pin, owner: pin ? job : undefined }
  return { ...asked, referrers, parallel, dryRun }
}

async function orAdminError(running: Promise<PreloadResult>): Promise<PreloadResult> {
  try {
    return await running
  } catch (error) {
    if (error instanceof CancelledError) {
      throw new AdminError('CONFLICT', { message: error.message, cause: error })
    }
    if (!(error instanceof PreloadError)) throw error
    throw new AdminError('INVALID', { message: error.message, cause: error })
  }
}
