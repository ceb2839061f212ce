import picomatch from 'picomatch'

import type { TagRule, UpstreamConfig } from '../config/config.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { TagRecord } from '../store/ports.ts'
import type { Upstream } from '../upstream/routing.ts'

type StaleLimit = Pick<UpstreamConfig, 'staleIfErrorMs'>
type TagTimes = Pick<TagRecord, 'checkedAt' | 'refusedAt'>

/**
 * - `fresh`: answer from the cache, ask nobody
 * - `stale-while-revalidate`: answer from the cache, and ask the registry behind it (RFC 5861 §3)
 * - `stale`: ask the registry first
 */
export type Freshness = 'fresh' | 'stale-while-revalidate' | 'stale'

/**
 * Kubernetes' words for a tag that is in the cache: Always revalidates, IfNotPresent answers until
 * `maxAge`, Never never asks. Nobody waits for what is refreshed in the background, until it is as
 * old as an outage would let it get, or the registry has said no: what that means, it says again.
 *
 * @param now on the same time line as the tag's times
 */
export function freshness(
  rule: TagRule,
  { staleIfErrorMs }: StaleLimit,
  known: TagTimes,
  now: number,
): Freshness {
  if (rule.pullPolicy === 'Never') return 'fresh'
  if (rule.pullPolicy === 'Always') return 'stale'
  const pastMs = staleMs(rule, known, now)
  if (pastMs <= 0) return 'fresh'
  const isServed = rule.refresh === 'background' && known.refusedAt === undefined
  return isServed && pastMs <= staleIfErrorMs ? 'stale-while-revalidate' : 'stale'
}

/**
 * Milliseconds since the registry last said so. What bears a time to come was written by another
 * clock: as far off as that clock was, so far is the age unknown. It is neither immortal nor new.
 */
export function ageMs({ checkedAt }: Pick<TagTimes, 'checkedAt'>, now: number): number {
  return Math.abs(now - checkedAt)
}

/** Milliseconds past the end of its freshness; what is not positive is fresh still. */
export function staleMs(rule: TagRule, known: TagTimes, now: number): number {
  return ageMs(known, now) - (rule.pullPolicy === 'Always' ? 0 : rule.maxAgeMs)
}

/**
 * Whether a tag may be served though its registry, when asked, could not say. An outage lets it grow
 * stale for `staleIfError` (RFC 5861 §4), but does not take back a no that was said before it.
 */
export function mayOutlast(
  rule: TagRule,
  { staleIfErrorMs }: StaleLimit,
  known: TagTimes,
  now: number,
): boolean {
  if (rule.pullPolicy === 'Always' && known.refusedAt !== undefined) return false
  return staleMs(rule, known, now) <= staleIfErrorMs
}

/** An upstream's tag rules, in the order of its configuration: the first that matches decides. */
export class TagRules {
  readonly #rules: readonly {
    readonly rule: TagRule
    readonly isTag: (tag: string) => boolean
    readonly isRepository: (repository: string) => boolean
  }[]

  constructor(rules: readonly TagRule[]) {
    this.#rules = rules.map((rule) => ({
      rule,
      isTag: picomatch(rule.match, { dot: true }),
      isRepository: picomatch(rule.repository, { dot: true }),
    }))
  }

  for(repository: Repository, tag: Tag): TagRule {
    const found = this.#rules.find((one) => one.isTag(tag) && one.isRepository(repository))
    if (found === undefined) throw new Error('the last tag rule must match every tag')
    return found.rule
  }
}

/** The rules of each upstream, made once; a configuration that was replaced takes its own along. */
export class TagPolicies {
  readonly #rules = new WeakMap<Upstream, TagRules>()

  of(upstream: Upstream): TagRules {
    const known = this.#rules.get(upstream)
    if (known !== undefined) return known
    const rules = new TagRules(upstream.config.tags)
    this.#rules.set(upstream, rules)
    return rules
  }
}
