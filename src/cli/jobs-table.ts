import type { ConfiguredJob, RunsReport } from '../admin/ports/preload-runs.ts'
import type { RunDetail, RunReport } from '../airgap/run-report.ts'
import { count, formatBytes, formatDuration, formatTime } from './format.ts'
import { printable } from './printable.ts'
import { toColumns } from './table.ts'

/** What is under way or has ended, and below it the jobs of the configuration. */
export function jobLines({ jobs, configured }: RunsReport): readonly string[] {
  const list = [
    ['ID', 'STATE', 'WHAT', 'IMAGES', 'SIZE', 'BEGAN', 'TOOK'],
    ...jobs.map((job) => [
      job.id,
      job.state,
      whatOf(job),
      imagesOf(job),
      formatBytes(job.bytes.here),
      formatTime(job.startedAt ?? job.createdAt),
      tookOf(job),
    ]),
  ]
  const names = [
    ['CONFIGURED', 'SCHEDULE', 'NEXT', 'LAST'],
    ...configured.map((job) => [job.name, job.schedule ?? '-', nextOf(job), lastOf(job)]),
  ]
  return [
    ...(jobs.length === 0 ? [] : toColumns(list)),
    ...(jobs.length === 0 || configured.length === 0 ? [] : ['']),
    ...(configured.length === 0 ? [] : toColumns(names)),
  ]
}

export function detailLines(job: RunDetail): readonly string[] {
  const { bytes, bytesPerSecond, error, endedAt } = job
  const sizes = `${formatBytes(bytes.here)} of ${formatBytes(bytes.total)}`
  const rate = bytesPerSecond === undefined ? '' : `, ${formatBytes(bytesPerSecond)}/s`
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['id', job.id],
    ['state', error === undefined ? job.state : `${job.state}: ${error.message}`],
    ['what', whatOf(job)],
    ['retry of', job.retryOf],
    ['platforms', job.platforms?.join(', ')],
    ['images', imagesOf(job)],
    ['size', `${sizes}, ${formatBytes(bytes.fetched)} fetched${rate}`],
    ['began', formatTime(job.startedAt ?? job.createdAt)],
    ['ended', endedAt === undefined ? undefined : `${formatTime(endedAt)}, after ${tookOf(job)}`],
  ]
  const rows = job.rows.map(({ image, state, bytes: needed, error: failure }) => [
    image,
    state,
    needed === undefined ? '-' : formatBytes(needed),
    failure?.message ?? '',
  ])
  return [
    ...toColumns(facts.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))),
    ...job.warnings.map((warning) => printable(`warning: ${warning}`)),
    ...(rows.length === 0 ? [] : ['', ...toColumns([['IMAGE', 'STATE', 'SIZE', ''], ...rows])]),
  ]
}

/** `nightly, pinned` or `command, dry run` */
function whatOf({ job, origin, pin, dryRun }: RunReport): string {
  const parts = [job ?? origin, pin && 'pinned', dryRun && 'dry run']
  return parts.filter((part) => part !== false).join(', ')
}

/** `12 of 50, 2 failed` */
function imagesOf({ images: { total, done, unchanged, failed } }: RunReport): string {
  const lost = failed === 0 ? '' : `, ${failed} failed`
  return `${done + unchanged} of ${total}${lost}`
}

function tookOf({ startedAt, endedAt }: RunReport): string {
  if (startedAt === undefined || endedAt === undefined) return '-'
  return formatDuration((endedAt - startedAt) / 1000)
}

function nextOf({ running, nextRunAt }: ConfiguredJob): string {
  if (running !== undefined) return `now: ${running}`
  return nextRunAt === undefined ? 'when asked' : formatTime(nextRunAt)
}

function lastOf({ last }: ConfiguredJob): string {
  if (last === undefined) return '-'
  const { done, unchanged, failed } = last.images
  const images = `${count(done + unchanged, 'image')}${failed === 0 ? '' : `, ${failed} failed`}`
  return `${last.state}: ${images}, ${formatTime(last.endedAt ?? last.createdAt)}`
}
