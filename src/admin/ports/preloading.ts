import type { CheckedImage, CheckRequest, CheckResult } from '../../airgap/check.ts'
import type { JobSettings } from '../../airgap/jobs.ts'
import type { PreloadEvent, PreloadRequest, PreloadResult } from '../../airgap/preload.ts'

export interface Preloading {
  /** What fails is told of, and the others go on. @throws the signal's reason */
  run(
    request: PreloadRequest,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult>
  /** The names of those of the configuration in effect. */
  jobs(): readonly string[]
  /** One of {@link jobs}. */
  runJob(
    name: string,
    settings: JobSettings,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult>
}

export interface Checking {
  /** @throws the signal's reason */
  run(
    request: CheckRequest,
    onImage: (checked: CheckedImage) => void,
    signal: AbortSignal,
  ): Promise<CheckResult>
}
