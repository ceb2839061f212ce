/** A job as the command line watches it: what its events say, as a preload's own lines would. */
import type { RunReport } from '../airgap/run-report.ts'
import type { Surroundings } from '../config/surroundings.ts'
import type { AdminClient } from './admin-client.ts'
import { ExitError } from './exit.ts'
import { exitCodeOf, tableOf } from './preload-result.ts'
import { watchPreload } from './preload-run.ts'
import { printableJson } from './printable.ts'
import type { Terminal } from './terminal.ts'

const EXIT_FAILURE = 1

export interface JobWatchOptions {
  readonly io: Surroundings
  readonly terminal: Terminal
  readonly isJson: boolean
}

/** To its end. @throws {ExitError} as a preload of one's own, and 1 when it did not come to its end */
export async function watchJob(
  client: AdminClient,
  id: string,
  { io, terminal, isJson }: JobWatchOptions,
): Promise<void> {
  let ended: RunReport | undefined
  const onEnded = (job: RunReport) => {
    ended = job
  }
  const path = `/jobs/${encodeURIComponent(id)}/events`
  const ask = (signal: AbortSignal) => linesOf(client.events(path, signal), onEnded)
  const preloaded = await watchPreload(ask, 'watching the preload', { io, terminal })
  if (ended === undefined) throw new ExitError(EXIT_FAILURE, 'the job ended without a word')
  const { state, error, dryRun, warnings } = ended
  if (isJson) io.stdout.write(printableJson(ended))
  else for (const line of tableOf(preloaded, dryRun)) io.stdout.write(`${line}\n`)
  if (state !== 'done' && state !== 'incomplete') {
    throw new ExitError(EXIT_FAILURE, error?.message ?? `the preload was ${state}`)
  }
  const code = exitCodeOf(preloaded.done.failed, warnings.length > 0)
  if (code !== 0) throw new ExitError(code)
}

interface ServerEvent {
  readonly event: string
  readonly data: object
}

/** As `POST /preload` answers. */
async function* linesOf(
  events: AsyncIterable<ServerEvent>,
  onEnded: (job: RunReport) => void,
): AsyncGenerator<object, void, undefined> {
  for await (const { event, data } of events) {
    if (event === 'image' || event === 'progress') yield { event, ...data }
    if (event !== 'end') continue
    const job = data as RunReport
    onEnded(job)
    const { images, bytes, failed, startedAt = job.createdAt, endedAt = startedAt } = job
    const { done, unchanged } = images
    yield {
      event: 'done',
      images: { done, unchanged, failed: images.failed },
      bytes: { fetched: bytes.fetched, here: bytes.here - bytes.fetched },
      failed,
      seconds: (endedAt - startedAt) / 1000,
    }
    return
  }
}
