/** A preload as the command line sees it: asked for, watched, and summed up. */
import type { Surroundings } from '../config/surroundings.ts'
import type { AdminClient } from './admin-client.ts'
import { type Ask, followEvents } from './event-lines.ts'
import { count, formatBytes, formatDuration } from './format.ts'
import { PreloadRows } from './preload-rows.ts'
import { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

/** Lines of the admin API's `/preload`. */
export type PreloadLine =
  | { readonly event: 'started'; readonly dryRun: boolean }
  | ({ readonly event: 'image' } & PreloadedLine)
  | ({ readonly event: 'progress' } & PreloadProgress)

export interface PreloadedLine {
  readonly image: string
  readonly state: 'fetching' | 'done' | 'unchanged' | 'failed'
  readonly digest?: string
  readonly bytes?: number
  readonly fetchedBytes?: number
  readonly warning?: string
  readonly error?: { readonly code: string; readonly message: string }
}

export interface PreloadProgress {
  readonly images: number
  readonly imagesDone: number
  readonly bytes: number
  readonly totalBytes: number
  readonly bytesPerSecond: number
  readonly active: readonly {
    readonly image: string
    readonly digest: string
    readonly bytes: number
    readonly totalBytes: number
  }[]
}

export interface PreloadDone {
  readonly images: { readonly done: number; readonly unchanged: number; readonly failed: number }
  readonly bytes: { readonly fetched: number; readonly here: number }
  readonly failed: readonly Failed[]
  readonly seconds: number
}

export interface Failed {
  readonly image: string
  readonly code: string
  readonly message: string
}

export interface Preloaded {
  /** In the order in which they ended; a later verdict replaces an earlier one. */
  readonly images: ReadonlyMap<string, PreloadedLine>
  readonly done: PreloadDone
}

export interface PreloadRunOptions {
  readonly io: Surroundings
  readonly terminal: Terminal
  /** Told of every line as it came; absent: nobody is. */
  readonly onLine?: (line: object) => void
}

/** @throws {ExitError} */
export async function runPreload(
  client: AdminClient,
  request: object,
  options: PreloadRunOptions,
): Promise<Preloaded> {
  const ask = (signal: AbortSignal) => client.stream('/preload', request, signal)
  return await watchPreload(ask, 'the preload', options)
}

/**
 * Shows how a preload goes on, to its end.
 *
 * @param ask for lines as `POST /preload` answers
 * @param what for a message: what ended too early
 * @throws {ExitError}
 */
export async function watchPreload(
  ask: Ask,
  what: string,
  { io, terminal, onLine }: PreloadRunOptions,
): Promise<Preloaded> {
  const monotonic = () => performance.now()
  const { isWatched, size } = terminal
  const progress = new Progress({ stderr: io.stderr, isWatched, monotonic, size })
  const rows = new PreloadRows()
  const images = new Map<string, PreloadedLine>()
  let isDryRun = false
  const onEvent = (line: PreloadLine) => {
    onLine?.(line)
    if (line.event === 'started') {
      isDryRun = line.dryRun
      return
    }
    if (line.event === 'progress') {
      progress.showAll(rows.of(line), rows.totals(line))
      return
    }
    rows.image(line)
    if (line.state === 'fetching') return
    images.delete(line.image)
    images.set(line.image, line)
    if (!isWatched) io.stderr.write(`${lineOf(line, isDryRun)}\n`)
  }
  try {
    const done = await followEvents<PreloadLine, PreloadDone>(ask, what, onEvent)
    onLine?.({ event: 'done', ...done })
    return { images, done }
  } finally {
    progress.clear()
  }
}

/** `12 images: 10 fetched, 1 unchanged, 1 failed; 1.2 GiB fetched, 30 MiB here already; 12 s` */
export function summaryOf({ images, bytes, seconds }: PreloadDone, isDryRun: boolean): string {
  const { done, unchanged, failed } = images
  const total = count(done + unchanged + failed, 'image')
  const verb = isDryRun ? 'to fetch' : 'fetched'
  const counts = `${done} ${verb}, ${unchanged} unchanged, ${failed} failed`
  const sizes = `${formatBytes(bytes.fetched)} ${verb}, ${formatBytes(bytes.here)} here already`
  return `${total}: ${counts}; ${sizes}; ${formatDuration(seconds)}`
}

function lineOf(line: PreloadedLine, isDryRun: boolean): string {
  const { image, state, bytes = 0, fetchedBytes = 0, warning, error } = line
  if (error !== undefined) return `failed     ${image}: ${error.message}`
  const sizes = `${formatBytes(fetchedBytes)} of ${formatBytes(bytes)}`
  const note = warning === undefined ? '' : ` (its tag could not be looked up: ${warning})`
  const verb = isDryRun && state === 'done' ? 'to fetch' : state
  return `${verb.padEnd(9)}  ${image}  ${sizes}${note}`
}
