/** How `defaults` stands under each upstream. */
import { isMap, valueAt } from './data.ts'
import type { Path } from './problems.ts'
import type { ConfigInput } from './schema.ts'
import type { UpstreamInput } from './upstream-schema.ts'

/** Merged key by key. Every other key, lists too, is taken whole from the nearest that has it. */
const MERGED: readonly string[] = ['limits', 'repositories']

/** Keys of a tag rule that its upstream has, too. */
const OF_RULES: readonly string[] = ['pullPolicy', 'maxAge', 'refresh']

/** The upstream with what it leaves to `defaults`. */
export function inheritDefaults(
  defaults: ConfigInput['defaults'],
  upstream: Partial<UpstreamInput>,
): Partial<UpstreamInput> {
  const merged: Record<string, unknown> = { ...said(defaults), ...said(upstream) }
  for (const key of MERGED) {
    const parts = { ...said(valueAt(defaults, [key])), ...said(valueAt(upstream, [key])) }
    if (Object.keys(parts).length > 0) merged[key] = parts
  }
  return merged
}

/**
 * Where the value was written that `path` (`upstreams.0.limits.connections`) has after merging:
 * there, or under `defaults`. What a tag rule leaves open it takes from its upstream.
 */
export function writtenAt(data: unknown, path: Path): Path {
  const own = mergedAt(data, path)
  const [root, index, key, , part] = path
  const isInherited = root === 'upstreams' && index !== undefined && key === 'tags'
  if (!isInherited || !OF_RULES.includes(String(part)) || isSaid(valueAt(data, own))) return own
  const upstream = mergedAt(data, [root, index, String(part)])
  return isSaid(valueAt(data, upstream)) ? upstream : own
}

function mergedAt(data: unknown, path: Path): Path {
  const [root, index, key, ...rest] = path
  if (root !== 'upstreams' || index === undefined || key === undefined) return path
  const [own, step] = MERGED.includes(String(key))
    ? [
        [root, index, key, ...rest.slice(0, 1)],
        [key, ...rest.slice(0, 1)],
      ]
    : [[root, index, key], [key]]
  if (isSaid(valueAt(data, own)) || !isSaid(valueAt(data, ['defaults', ...step]))) return path
  return ['defaults', key, ...rest]
}

/** The keys that have a value: an empty key is as good as an absent one. */
function said(value: unknown): Record<string, unknown> {
  if (!isMap(value)) return {}
  return Object.fromEntries(Object.entries(value).filter(([, item]) => isSaid(item)))
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null
}
