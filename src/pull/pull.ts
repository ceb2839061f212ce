import type { FetchReason } from '../metrics/pulls.ts'
import type { PullResult } from '../oci/pull-result.ts'
import type { Place } from '../store/ports.ts'
import type { RequestOptions } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'

/**
 * Where content is asked for, and how: as whom (`access` has found that this caller may), and, for
 * what nobody waits for, in the background. It is what a registry is given as options.
 */
export interface Pull extends Pick<RequestOptions, 'as' | 'urgency' | 'signal'> {
  readonly upstream: Upstream
  readonly place: Place
  /** What its bytes are counted as; absent: as those of a node's pull. */
  readonly reason?: FetchReason
}

/** How an answer came about: one word for the metrics, and what a caller may know of it. */
export interface Outcome {
  readonly result: PullResult
  /** Whole seconds since the registry last said so; for tags. */
  readonly ageSeconds?: number
  /** Whole seconds that a tag is older than its policy calls fresh; absent: it is fresh. */
  readonly staleSeconds?: number
  /** The registry is being asked behind this answer. */
  readonly isRefreshing?: boolean
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
