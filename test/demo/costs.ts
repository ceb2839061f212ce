import type { FaultRegistry } from '../support/fault-registry.ts'

/** What a step took, and what it asked of the registry. */
export interface Costs {
  readonly step: string
  readonly seconds: number
  /** Requests as the registry saw them, those it first answered with 401 included. */
  readonly manifests: number
  readonly blobs: number
  readonly tokens: number
  /** Bodies that the registry sent for them. */
  readonly registryBytes: number
  readonly nodeBytes: number
}

/** What one pull of an image has to fetch at most. */
export interface Expected {
  readonly blobs: number
  readonly nodeBytes: number
  readonly registryBytes: number
}

/**
 * Runs `pull` and reads from the registry's own record what it cost there.
 *
 * @param pull gives the bytes that the nodes got
 */
export async function measure(
  step: string,
  registry: FaultRegistry,
  pull: () => Promise<number>,
): Promise<Costs> {
  registry.forget()
  const startedAt = performance.now()
  const nodeBytes = await pull()
  const seconds = (performance.now() - startedAt) / 1000
  return {
    step,
    seconds,
    manifests: registry.count({ path: /\/manifests\// }),
    blobs: registry.count({ path: /\/blobs\// }),
    tokens: registry.countTokens(),
    registryBytes: sentBytes(registry),
    nodeBytes,
  }
}

function sentBytes(registry: FaultRegistry): number {
  const wasLetIn = registry.find({
    method: 'GET',
    where: ({ headers }) => headers.authorization?.startsWith('Bearer ') === true,
  })
  const sizes = wasLetIn.map(({ path }) => {
    const [, name = '', kind, reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(path) ?? []
    const { content } = registry
    const bytes =
      kind === 'blobs'
        ? content.getBlob(name, reference)
        : content.getManifest(name, reference)?.bytes
    return bytes?.length ?? 0
  })
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What is not as Larder promises, as sentences. */
export function findBreaches(costs: Costs, expected: Expected): string[] {
  const { step } = costs
  return [
    compare(`${step}: blobs that the registry was asked for`, costs.blobs, expected.blobs),
    compare(`${step}: bytes that it sent`, costs.registryBytes, expected.registryBytes),
    compare(`${step}: bytes that the nodes got`, costs.nodeBytes, expected.nodeBytes),
    ...(expected.registryBytes > 0
      ? []
      : [compare(`${step}: manifests that the registry was asked for`, costs.manifests, 0)]),
  ].flatMap((breach) => (breach === undefined ? [] : [breach]))
}

function compare(what: string, actual: number, expected: number): string | undefined {
  return actual === expected ? undefined : `${what}: ${actual}, not ${expected}`
}

/** Columns of text, the first to the left and the numbers to the right. */
export function formatTable(rows: readonly Costs[]): string {
  const head = ['', 'time', 'manifests', 'blobs', 'tokens', 'from registry', 'to nodes']
  const body = rows.map((row) => [
    row.step,
    `${row.seconds.toFixed(2)} s`,
    String(row.manifests),
    String(row.blobs),
    String(row.tokens),
    formatBytes(row.registryBytes),
    formatBytes(row.nodeBytes),
  ])
  const lines = [head, ...body]
  const widths = head.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  const [title, ...rest] = lines.map((line) =>
    line.map((cell, column) => pad(cell, column, widths)),
  )
  const rule = widths.map((width) => '-'.repeat(width))
  return [title ?? [], rule, ...rest].map((line) => line.join('  ').trimEnd()).join('\n')
}

function pad(cell: string, column: number, widths: readonly number[]): string {
  const width = widths[column] ?? 0
  return column === 0 ? cell.padEnd(width) : cell.padStart(width)
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const units = ['KiB', 'MiB', 'GiB']
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), units.length)
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`
}
