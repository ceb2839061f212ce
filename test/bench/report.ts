import { type Figure, type Series, type Spread, spreadOf } from './sample.ts'
import type { Comparison, Scenario } from './scenarios/scenario.ts'

/** A scenario and what was measured in it. */
export interface Result {
  readonly scenario: Scenario
  readonly series: readonly Series[]
}

/** Larder in one figure, against another server or alone. */
export interface Verdict {
  readonly scenario: string
  readonly figure: Figure
  readonly versus: string | undefined
  readonly value: number
  readonly target: string
  /** `undefined` where there is no target. */
  readonly met: boolean | undefined
}

type Column = readonly [title: string, figure: Figure]

const RATE_OF: Readonly<Record<Scenario['moves'], readonly Column[]>> = {
  blobs: [
    ['time s', 'seconds'],
    ['GB/s', 'gbPerSecond'],
    ['CPU s', 'cpuSeconds'],
    ['CPU s/GB', 'cpuPerGb'],
  ],
  requests: [
    ['requests/s', 'requestsPerSecond'],
    ['requests/CPU s', 'requestsPerCpuSecond'],
    ['CPU µs/request', 'usPerRequest'],
  ],
}

const COMMON: readonly Column[] = [
  ['first byte p50 ms', 'firstByteP50Ms'],
  ['p99 ms', 'firstByteP99Ms'],
  ['upstream blob GETs', 'blobGets'],
  ['upstream requests', 'upstreamRequests'],
  ['loop p99 ms', 'loopP99Ms'],
  ['RSS MiB', 'rssMiB'],
  ['client CPU s', 'clientCpuSeconds'],
]

/** Markdown: a row for each scenario and server, each figure as median (least–most). */
export function formatFigures(results: readonly Result[]): string {
  const tables = (['blobs', 'requests'] as const).map((moves) => {
    const columns = [...RATE_OF[moves], ...COMMON]
    const rows = results
      .filter(({ scenario }) => scenario.moves === moves)
      .flatMap((result) => rowsOf(result, columns))
    return formatTable(['scenario', 'server', ...columns.map(([title]) => title)], rows)
  })
  return tables.filter((table) => table !== '').join('\n\n')
}

function rowsOf({ scenario, series }: Result, columns: readonly Column[]): readonly string[][] {
  return series.map(({ role, samples }) => [
    scenario.title,
    role,
    ...columns.map(([, figure]) => formatSpread(spreadOf(samples, figure))),
  ])
}

function formatSpread({ median, least, most }: Spread): string {
  if (Number.isNaN(median)) return ''
  const [low, high] = [formatNumber(least), formatNumber(most)]
  return low === high ? low : `${formatNumber(median)} (${low}–${high})`
}

/** Markdown: Larder's medians over those of the others, with the targets. Empty without Larder. */
export function formatVerdicts(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ scenario, figure, versus, value, target, met }) => [
    scenario,
    titleOf(figure),
    versus === undefined ? 'larder' : `larder ÷ ${versus}`,
    formatNumber(value),
    target,
    met === undefined ? '' : met ? 'met' : 'missed',
  ])
  return formatTable(['scenario', 'figure', 'of', 'value', 'target', ''], rows)
}

function titleOf(figure: Figure): string {
  const columns = [...RATE_OF.blobs, ...RATE_OF.requests, ...COMMON]
  return columns.find(([, name]) => name === figure)?.[0] ?? figure
}

export function judge(results: readonly Result[]): readonly Verdict[] {
  return results.flatMap(({ scenario, series }) =>
    scenario.comparisons.flatMap((comparison) => {
      const value = compare(series, comparison)
      return value === undefined ? [] : toVerdict(scenario.title, comparison, value)
    }),
  )
}

function compare(series: readonly Series[], { figure, versus }: Comparison): number | undefined {
  const medianOf = (role: string) => {
    const found = series.find((one) => one.role === role)
    return found && spreadOf(found.samples, figure).median
  }
  const own = medianOf('larder')
  if (versus === undefined) return own
  const other = medianOf(versus)
  return own !== undefined && other !== undefined ? own / other : undefined
}

function toVerdict(scenario: string, comparison: Comparison, value: number): Verdict {
  const { figure, versus, atMost, atLeast } = comparison
  const base = { scenario, figure, versus, value }
  if (atMost !== undefined) return { ...base, target: `≤ ${atMost}`, met: value <= atMost }
  if (atLeast !== undefined) return { ...base, target: `≥ ${atLeast}`, met: value >= atLeast }
  return { ...base, target: '', met: undefined }
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** Three significant figures; whole numbers whole. */
function formatNumber(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return String(Math.round(value))
  return String(Number(value.toPrecision(3)))
}
