import picomatch from 'picomatch'

import type { TagRule } from '../config/config.ts'
import type { Repository, Tag } from '../oci/reference.ts'

/**
 * - `fresh`: answer from the cache, ask nobody
 * - `stale`: ask the registry first
 */
export type Freshness = 'fresh' | 'stale'

/**
 * Kubernetes' words for a tag that is in the cache: Always revalidates, IfNotPresent answers until
 * `maxAge`, Never never asks. A clock that ran backwards makes a tag stale, not immortal.
 *
 * @param checkedAt when the registry last said so, epoch milliseconds
 */
export function freshness(rule: TagRule, checkedAt: number, now: number): Freshness {
  if (rule.pullPolicy === 'Never') return 'fresh'
  if (rule.pullPolicy === 'Always') return 'stale'
  const age = now - checkedAt
  return age >= 0 && age <= rule.maxAgeMs ? 'fresh' : 'stale'
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
