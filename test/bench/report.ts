import { type Figure, type Sample, type Series, type Spread, spreadOf } from './sample.ts'
import type { Comparison, LoadScenario, Role, Scenario } from './scenarios/scenario.ts'

/** A scenario and what was measured in it. */
export interface Result {
  readonly scenario: Scenario
  readonly series: readonly Series[]
}

/** A scenario that could not be measured. */
export interface Failure {
  readonly scenario: Scenario
  readonly reason: string
}

/** Larder in one figure, against another server or alone. */
export interface Verdict {
  readonly scenario: string
  readonly figure: Figure
  /** Whose figure it is. */
  readonly own: Role
  readonly versus: Role | undefined
  readonly value: number
  readonly target: string
  /** `undefined` where there is no target. */
  readonly met: boolean | undefined
}

type Column = readonly [title: string, figure: Figure]

/** Of every load. */
const LOAD: readonly Column[] = [
  ['first byte p50 ms', 'firstByteP50Ms'],
  ['p99 ms', 'firstByteP99Ms'],
  ['upstream blob GETs', 'blobGets'],
  ['upstream requests', 'upstreamRequests'],
  ['loop p99 ms', 'loopP99Ms'],
  ['RSS MiB', 'rssMiB'],
  ['client CPU s', 'clientCpuSeconds'],
]

const COLUMNS: Readonly<Record<Scenario['measures'], readonly Column[]>> = {
  blobs: [
    ['time s', 'seconds'],
    ['GB/s', 'gbPerSecond'],
    ['CPU s', 'cpuSeconds'],
    ['CPU s/GB', 'cpuPerGb'],
    ['CPU s/GB, client too', 'bothCpuPerGb'],
    ...LOAD,
  ],
  requests: [
    ['requests/s', 'requestsPerSecond'],
    ['requests/CPU s', 'requestsPerCpuSecond'],
    ['CPU µs/request', 'usPerRequest'],
    ...LOAD,
  ],
  starts: [
    ['ready s', 'readySeconds'],
    ['idle RSS MiB', 'idleRssMiB'],
    ['loop p99 ms', 'loopP99Ms'],
    ['CPU s', 'cpuSeconds'],
  ],
}

/** Markdown: a row for each scenario and server, each figure as median (least–most). */
export function formatFigures(results: readonly Result[]): string {
  const tables = (['blobs', 'requests', 'starts'] as const).map((measures) => {
    const columns = COLUMNS[measures]
    const rows = results
      .filter(({ scenario }) => scenario.measures === measures)
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
  const rows = verdicts.map(({ scenario, figure, own, versus, value, target, met }) => [
    scenario,
    titleOf(figure),
    versus === undefined ? own : `${own} ÷ ${versus}`,
    formatNumber(value),
    target,
    met === undefined ? '' : met ? 'met' : 'missed',
  ])
  return formatTable(['scenario', 'figure', 'of', 'value', 'target', ''], rows)
}

function titleOf(figure: Figure): string {
  const columns = Object.values(COLUMNS).flat()
  return columns.find(([, name]) => name === figure)?.[0] ?? figure
}

/** @param own whose figures are judged */
export function judge(results: readonly Result[], own: Role = 'larder'): readonly Verdict[] {
  return results.flatMap(({ scenario, series }) =>
    scenario.comparisons.flatMap((comparison) => {
      const value = compare(series, own, comparison)
      return value === undefined
        ? []
        : toVerdict({ scenario: scenario.title, own, value }, comparison)
    }),
  )
}

function compare(
  series: readonly Series[],
  own: Role,
  { figure, versus }: Comparison,
): number | undefined {
  const medianOf = (role: Role) => {
    const found = series.find((one) => one.role === role)
    return found && spreadOf(found.samples, figure).median
  }
  const mine = medianOf(own)
  if (versus === undefined) return mine
  const other = medianOf(versus)
  return mine !== undefined && other !== undefined ? mine / other : undefined
}

function toVerdict(
  found: Pick<Verdict, 'scenario' | 'own' | 'value'>,
  { figure, versus, atMost, atLeast }: Comparison,
): Verdict {
  const { value } = found
  const base = { ...found, figure, versus }
  if (atMost !== undefined) return { ...base, target: `≤ ${atMost}`, met: value <= atMost }
  if (atLeast !== undefined) return { ...base, target: `≥ ${atLeast}`, met: value >= atLeast }
  return { ...base, target: '', met: undefined }
}

/** What the load clients took themselves of what is warm, one line, or none where nothing was moved. */
export function describeClient(results: readonly Result[]): readonly string[] {
  const samplesOf = (measures: LoadScenario['measures'], isSecure: boolean) =>
    results
      .filter(({ scenario }) => scenario.measures === measures && !scenario.cold)
      .filter(({ scenario }) => ('isSecure' in scenario && scenario.isSecure === true) === isSecure)
      .flatMap(({ series }) => series.flatMap(({ samples }) => samples))
  const costs = [
    costOf(samplesOf('blobs', false), 'gigabytes', [1, 's/GB']),
    costOf(samplesOf('blobs', true), 'gigabytes', [1, 's/GB over TLS']),
    costOf(samplesOf('requests', false), 'requests', [1e6, 'µs/request']),
  ].filter((cost) => cost !== undefined)
  return costs.length === 0 ? [] : [`the load client itself takes, CPU: ${costs.join(', ')}`]
}

function costOf(
  samples: readonly Sample[],
  moved: 'gigabytes' | 'requests',
  [scale, unit]: readonly [number, string],
): string | undefined {
  const sumOf = (figure: Figure) =>
    samples.reduce((total, sample) => total + (sample[figure] ?? 0), 0)
  const all = sumOf(moved)
  return all === 0
    ? undefined
    : `${formatNumber((sumOf('clientCpuSeconds') * scale) / all)} ${unit}`
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
