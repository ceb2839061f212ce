import type { UpstreamReport } from '../admin/ports/upstreams.ts'
import { formatDuration, formatTime } from './format.ts'
import { toColumns } from './table.ts'

/** An upstream of which only the configuration is known. */
export interface Configured {
  readonly name: string
  readonly url: string
  readonly access: string
  readonly credentials: number
}

export function configuredLines(upstreams: readonly Configured[]): readonly string[] {
  const header = ['NAME', 'URL', 'ACCESS', 'CREDENTIALS']
  const rows = upstreams.map((row) => [row.name, row.url, row.access, String(row.credentials)])
  return toColumns([header, ...rows])
}

export function upstreamLines(reports: readonly UpstreamReport[]): readonly string[] {
  const header = ['NAME', 'STATE', 'ACCESS', 'LATENCY', 'QUOTA', 'CREDENTIALS', 'LAST ERROR']
  const rows = reports.map((report) => [
    report.name,
    stateOf(report),
    report.access,
    latencyOf(report),
    quotaOf(report),
    credentialsOf(report),
    errorOf(report),
  ])
  return toColumns([header, ...rows])
}

function stateOf({ blocked, offline, circuit, restsMs, waiting }: UpstreamReport): string {
  if (blocked !== undefined) {
    const reason = blocked.reason === undefined ? '' : `: ${blocked.reason}`
    return `blocked since ${formatTime(blocked.at)}${reason}`
  }
  if (offline) return 'offline'
  if (circuit === 'open') return 'down, not asked'
  if (circuit === 'half_open') return 'down, tried again'
  if (restsMs > 0) return `rests for ${formatDuration(restsMs / 1000)}`
  return waiting === 0 ? 'up' : `up, ${waiting} wait`
}

/** Of half of the last answers, and of nearly all. */
function latencyOf({ latencyMs }: UpstreamReport): string {
  if (latencyMs === undefined) return '-'
  return `${Math.round(latencyMs.p50)} ms, ${Math.round(latencyMs.p95)} ms`
}

function quotaOf({ rateLimit }: UpstreamReport): string {
  if (rateLimit?.remaining === undefined) return '-'
  return `${rateLimit.remaining} of ${rateLimit.limit ?? '?'} left`
}

function credentialsOf({ credentials, credentialExpiresAt }: UpstreamReport): string {
  if (credentials === 0) return '-'
  const until =
    credentialExpiresAt === undefined ? '' : `, until ${formatTime(credentialExpiresAt)}`
  return `${credentials}${until}`
}

function errorOf({ recentErrors: [last] }: UpstreamReport): string {
  if (last === undefined) return '-'
  const times = last.count === 1 ? '' : ` × ${last.count}`
  return `${last.reason}${times}, ${formatTime(last.lastAt)}`
}
