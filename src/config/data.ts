/** Plain data of which nothing is known yet. */
import type { Path } from './problems.ts'

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `undefined` where there is nothing. */
export function valueAt(data: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    return (value as Record<string | number, unknown>)[step]
  }, data)
}

/** The maps of a list with their indices; none when it is no list. */
export function mapsIn(list: unknown): [number, Record<string, unknown>][] {
  if (!Array.isArray(list)) return []
  return [...list.entries()].filter((entry): entry is [number, Record<string, unknown>] =>
    isMap(entry[1]),
  )
}
