import type { PullResult } from '../metrics.ts'
import type { Place } from '../store/ports.ts'
import type { Identity } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'

/** Where content is asked for, and as whom. `access` has found that this caller may. */
export interface Pull {
  readonly upstream: Upstream
  readonly place: Place
  readonly as: Identity
}

/** How an answer came about: one word for the metrics, and what a caller may know of it. */
export interface Outcome {
  readonly result: PullResult
  /** Whole seconds since the registry last said so; for tags. */
  readonly ageSeconds?: number
  /** Why a stale copy was served. */
  readonly warning?: string
}

/** A key for what only pulls in one place, as one identity, may share. */
export function keyOf(pull: Pull, ...rest: readonly string[]): string {
  const { place, as } = pull
  const identity = as.kind === 'caller' ? as.fingerprint : as.kind
  return [place.upstream, place.repository, identity, ...rest].join('\n')
}

/** What begins every key of a place. */
export function keyPrefix(place: Place): string {
  return `${place.upstream}\n${place.repository}\n`
}
