/** Where each value comes from. */
import type { Config } from './config.ts'
import { isMap, valueAt } from './data.ts'
import { writtenAt } from './inherit.ts'
import { renderConfig } from './print.ts'
import { formatPath, type Path } from './problems.ts'

export type Origin = 'default' | 'file' | 'env'

/** Dotted path → the variable that set it. */
type Variables = ReadonlyMap<string, string>

/** The variable that set `path` or what it is in. */
export function variableAt(variables: Variables, path: Path): string | undefined {
  const own = variables.get(formatPath(path))
  return own ?? (path.length === 0 ? undefined : variableAt(variables, path.slice(0, -1)))
}

/** @param data of file and environment, before defaults */
export function originAt(data: unknown, variables: Variables, path: Path): Origin {
  const written = writtenAt(data, path)
  const value = valueAt(data, written)
  if (value === undefined || value === null) return 'default'
  return variableAt(variables, written) === undefined ? 'file' : 'env'
}

/** Of every value that {@link renderConfig} shows. */
export function originsOf(
  config: Config,
  data: unknown,
  variables: Variables,
): ReadonlyMap<string, Origin> {
  const paths = leavesOf(renderConfig(config), [])
  return new Map(paths.map((path) => [formatPath(path), originAt(data, variables, path)]))
}

function leavesOf(value: unknown, path: Path): readonly Path[] {
  if (Array.isArray(value) && value.length > 0) {
    return value.flatMap((item, index) => leavesOf(item, [...path, index]))
  }
  if (!isMap(value)) return [path]
  return Object.entries(value).flatMap(([key, item]) => leavesOf(item, [...path, key]))
}
