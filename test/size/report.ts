import type { Figures } from './measure.ts'
import type { RowFigures } from './rows.ts'
import type { Spread } from './spread.ts'

type Row<T> = readonly [title: string, show: (figures: T) => string]

const ROWS: readonly Row<Figures>[] = [
  ['blobs', ({ blobs }) => String(blobs)],
  ['manifests', ({ images }) => String(images)],
  ['time to ready, ms: median, most', ({ readyMs }) => `${ms(readyMs.p50)}, ${ms(readyMs.max)}`],
  ['HEAD of a blob, ms: p50, p99', ({ heads }) => both(heads.blob)],
  ['HEAD of a manifest by digest', ({ heads }) => both(heads.digest)],
  ['HEAD of a manifest by tag', ({ heads }) => both(heads.tag)],
  ['catalog alone, ms: p50, p99', ({ lookup }) => both(lookup)],
  ['scrape, ms: p50, p99', ({ operators }) => both(operators.scrape)],
  ['overview', ({ operators }) => both(operators.overview)],
  ['history of a day', ({ operators }) => both(operators.history)],
  ['upstreams', ({ operators }) => both(operators.upstreams)],
  ['storage', ({ operators }) => both(operators.storage)],
  ['50 images by name', ({ operators }) => both(operators.images)],
  ['50 images by size', ({ operators }) => both(operators.imagesBySize)],
  ['evicted while pulls go on', ({ evicted, evictMs }) => `${evicted} in ${ms(evictMs)} ms`],
  ['event loop delay, ms: p50, p99, max', ({ delay }) => all(delay)],
  ['the same before it', ({ delayBefore }) => all(delayBefore)],
  ['at a stretch, CPU ms: p50, p99, max', ({ stretches }) => all(stretches)],
  ['pulls a second: before, during', (one) => `${one.pullsBefore.toFixed(1)}, ${pulls(one)}`],
  ['RSS idle, MiB', ({ idleBytes }) => mib(idleBytes)],
  ['RSS after pulls and eviction, MiB', ({ loadedBytes }) => mib(loadedBytes)],
  ['database, MiB', ({ databaseBytes }) => mib(databaseBytes)],
  ['database, bytes a blob', (one) => perBlob(one)],
]

const PAPER: readonly Row<RowFigures>[] = [
  ['blobs', ({ blobs }) => String(blobs)],
  ['manifests', ({ images }) => String(images)],
  ['open and check the database, CPU ms', ({ openMs }) => ms(openMs)],
  ['catalog alone, ms: p50, p99', ({ lookup }) => both(lookup)],
  ['plan the eviction of 10 000, CPU ms', ({ planMs }) => ms(planMs)],
  ['database, MiB', ({ databaseBytes }) => mib(databaseBytes)],
  ['database, bytes a blob', (one) => perBlob(one)],
]

/** Markdown: a column for each size. */
export function formatSizes(figures: readonly Figures[]): string {
  return table(ROWS, figures)
}

/** The same, of databases alone. */
export function formatRows(figures: readonly RowFigures[]): string {
  return table(PAPER, figures)
}

function table<T>(rows: readonly Row<T>[], columns: readonly T[]): string {
  const lines = rows.map(([title, show]) => [title, ...columns.map(show)])
  const [head = [], ...rest] = lines
  const rule = head.map((_, i) => (i === 0 ? '---' : '--:'))
  return [head, rule, ...rest].map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

function ms(value: number): string {
  return value.toFixed(0)
}

function both({ p50, p99 }: Spread): string {
  return `${p50.toFixed(2)}, ${p99.toFixed(2)}`
}

function all({ p50, p99, max }: Spread): string {
  return [p50, p99, max].map((value) => value.toFixed(1)).join(', ')
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0)
}

function perBlob({ databaseBytes, blobs }: Pick<Figures, 'databaseBytes' | 'blobs'>): string {
  return (databaseBytes / blobs).toFixed(0)
}

function pulls({ pullsDuring }: Figures): string {
  return pullsDuring.toFixed(1)
}
