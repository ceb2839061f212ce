import type { z } from 'zod'
import type { PreloadFailure } from '../airgap/failure.ts'
import type { PreloadEvent, PreloadRequest, PreloadResult } from '../airgap/preload.ts'
import type { Change, Endpoint, Prepared } from './endpoint.ts'
import { answerInEvents } from './event-lines.ts'
import { MAX_LIST_BYTES, parseInput, requireOne } from './input.ts'
import type { LineStream } from './line-stream.ts'
import type { Preloading } from './ports/preloading.ts'
import { PRELOAD, requireJob } from './preload-input.ts'

/** As whom pins are made that nobody has named. */
const MANUAL = 'manual'
/** Somebody is watching. */
const PATIENCE_MS = 15 * 60_000

type Input = z.output<typeof PRELOAD>

export interface PreloadEndpointOptions {
  readonly preloading: Preloading
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** `POST /preload`: fetches images for as long as whoever asked listens. Several at once may. */
export function preloadEndpoint(options: PreloadEndpointOptions): Endpoint {
  const post: Change = {
    action: 'preload',
    input: PRELOAD,
    maxBodyBytes: MAX_LIST_BYTES,
    prepare: (input) => prepare(parseInput(PRELOAD, input), options),
  }
  return { path: '/preload', post }
}

function prepare(input: Input, { preloading, monotonic }: PreloadEndpointOptions): Prepared {
  const { images, job, ...settings } = input
  requireOne({ images, job }, ['images', 'job'])
  requireJob(input, preloading.jobs())
  const { dryRun, parallel, referrers, pin } = settings
  const count = images?.length
  // Which they are would make the line of the log a long one.
  const parameters = { images: count, job, pin, referrers, parallel, dryRun }
  const work = (lines: LineStream, signal: AbortSignal) =>
    preload(input, preloading, lines, signal, monotonic)
  return {
    parameters,
    run: (response) =>
      answerInEvents(response, { monotonic, started: { images: count, job, dryRun }, work }),
  }
}

async function preload(
  input: Input,
  preloading: Preloading,
  lines: LineStream,
  signal: AbortSignal,
  monotonic: () => number,
) {
  const startedAt = monotonic()
  const failed = new Map<string, PreloadFailure>()
  const onEvent = (event: PreloadEvent) => tell(lines, event, failed)
  const result = await begin(input, preloading, onEvent, signal)
  const { done, unchanged, failed: failures, fetchedBytes, hereBytes } = result
  const seconds = Math.round((monotonic() - startedAt) / 100) / 10
  const images = { done, unchanged, failed: failures }
  const bytes = { fetched: fetchedBytes, here: hereBytes }
  const list = [...failed].map(([image, failure]) => ({ image, ...failure }))
  return {
    done: { images, bytes, failed: list, seconds },
    result: { ...images, fetchedBytes, seconds },
  }
}

function begin(
  input: Input,
  preloading: Preloading,
  onEvent: (event: PreloadEvent) => void,
  signal: AbortSignal,
): Promise<PreloadResult> {
  const { images = [], job, platforms, referrers, pin, name = MANUAL, parallel, dryRun } = input
  const settings = { referrers, parallel, dryRun, patienceMs: PATIENCE_MS }
  if (job !== undefined) return preloading.runJob(job, settings, onEvent, signal)
  const request: PreloadRequest = {
    ...settings,
    images,
    platforms,
    pin: pin ? { owner: name, follows: false } : undefined,
  }
  return preloading.run(request, onEvent, signal)
}

function tell(lines: LineStream, event: PreloadEvent, failed: Map<string, PreloadFailure>): void {
  if (event.kind === 'sources') return
  if (event.kind === 'progress') {
    const { kind, ...progress } = event
    lines.progress({ event: kind, ...progress })
    return
  }
  const { kind, failure, ...image } = event
  if (failure !== undefined) failed.set(event.image, failure)
  lines.write({ event: kind, ...image, ...(failure === undefined ? {} : { error: failure }) })
}
