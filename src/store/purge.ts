import type { RetentionRows } from './catalog/retention.ts'
import type { PlaceRow, SelectionRows } from './catalog/selection.ts'
import { Claims, Listings, type Target } from './claims.ts'
import { PinnedError } from './errors.ts'
import type { Eviction } from './eviction.ts'
import type { Leases } from './leases.ts'
import { type Kept, Plan, type Protection } from './plan.ts'
import { keptOnly, type Removal, type StoreEvents, sum } from './removal.ts'
import { Preview, type RemovalReport } from './removal-report.ts'
import { type Matcher, matcherOf, type NamedSelection, type Selection } from './selection.ts'
import { Slices } from './slices.ts'
import type { Turns } from './turns.ts'

export interface PurgeOptions {
  readonly retention: RetentionRows
  readonly selection: SelectionRows
  readonly removal: Removal
  readonly eviction: Eviction
  readonly leases: Pick<Leases, 'has'>
  readonly protection: Protection
  readonly turns: Turns
  readonly events: Pick<StoreEvents, 'purged'>
  /** Epoch milliseconds. */
  readonly now: () => number
}

export interface PurgeWishes {
  readonly dryRun?: boolean
  /** Pinned content goes too. */
  readonly force?: boolean
}

const UNPROTECTED: Protection = { isProtected: () => false }
const PAGE = 256

/**
 * Removes what an operator selects. A place loses what is selected, but for what an image lists that
 * stays there; the bytes go unless another tag, another repository or a manifest that stays has them
 * too.
 */
export class Purge {
  readonly #options: PurgeOptions

  constructor(options: PurgeOptions) {
    this.#options = options
  }

  /** @throws {PinnedError} when the reference is pinned and `force` is not said */
  run(selection: Selection, wishes: PurgeWishes = {}): Promise<RemovalReport> {
    switch (selection.kind) {
      case 'unused':
        return this.#byUse({ usedBefore: this.#options.now() - selection.forMs }, wishes)
      case 'size': {
        const bytes = this.#options.retention.usedBytes() - selection.bytes
        return this.#byUse({ bytes }, wishes)
      }
      case 'reference':
      case 'pattern':
      case 'upstream':
        return this.#options.turns.take(() => this.#purge(selection, wishes))
      default:
        return selection satisfies never
    }
  }

  async #byUse(
    goal: { readonly bytes?: number; readonly usedBefore?: number },
    { dryRun = false }: PurgeWishes,
  ): Promise<RemovalReport> {
    const { eviction, retention, selection } = this.#options
    if (dryRun) {
      const { plan, kept } = await eviction.preview(goal)
      const preview = new Preview(kept)
      await preview.addPlan(plan.leaving, { retention, selection }, new Slices())
      return preview.report()
    }
    const { usedBefore, bytes = 0 } = goal
    const removed =
      usedBefore === undefined
        ? await eviction.reduce(bytes, 'manual')
        : await eviction.expire(usedBefore, 'manual')
    return { removed, items: [] }
  }

  async #purge(
    wanted: NamedSelection,
    { dryRun = false, force = false }: PurgeWishes,
  ): Promise<RemovalReport> {
    const { retention: rows, selection, removal, leases, now } = this.#options
    const protection = force ? UNPROTECTED : this.#options.protection
    await removal.settleDebts()
    const slices = new Slices()
    const targets = await this.#targets(wanted, slices)
    const plan = new Plan({
      rows,
      leases,
      protection,
      slices,
      now,
      keepsRecent: false,
      gone: removal.owed,
    })
    const claims = new Claims(targets)
    const kept = { pinned: 0, inUse: 0, listed: 0 }
    const going: Target[] = []
    for (const target of targets) {
      const why = await this.#judge(target, claims, plan, protection)
      if (why === 'pinned' && wanted.kind === 'reference') throw new PinnedError(nameOf(target))
      if (why === undefined) going.push(target)
      else kept[why]++
      await slices.rest()
    }
    const listings = new Listings(going, plan, selection)
    for (const { place, digest, tag } of going) {
      if (tag === undefined && listings.has(place.id, digest)) kept.listed++
      await slices.rest()
    }
    if (!dryRun) {
      const tags = await this.#withdraw(going, listings)
      const removed = sum(keptOnly(kept), await removal.run(plan.leaving, 'manual', protection))
      return { removed: sum(removed, { ...keptOnly({}), tags }), items: [] }
    }
    const preview = new Preview(kept)
    const tagged = going.filter(({ tag }) => tag !== undefined)
    for (const target of tagged) {
      preview.add({ name: nameOf(target), digest: target.digest, size: undefined }, { tags: 1 })
    }
    await preview.addPlan(plan.leaving, { retention: rows, selection }, slices, tagged.length)
    return preview.report()
  }

  /** @returns why it stays */
  async #judge(
    { digest }: Target,
    claims: Claims,
    plan: Plan,
    protection: Protection,
  ): Promise<Kept | undefined> {
    if (protection.isProtected(digest)) return 'pinned'
    const row = this.#options.retention.blob(digest)
    const isClaimed = claims.isClaimedElsewhere(digest, this.#options.selection)
    if (row === undefined || isClaimed || plan.isListed(digest)) return undefined
    const verdict = await plan.take(row)
    return 'kept' in verdict ? verdict.kept : undefined
  }

  /** @returns how many tags have gone */
  async #withdraw(targets: readonly Target[], listings: Listings): Promise<number> {
    const { retention, selection, events } = this.#options
    const slices = new Slices()
    let tags = 0
    for (let at = 0; at < targets.length; at += PAGE) {
      const page = targets.slice(at, at + PAGE)
      retention.transact(() => {
        for (const { place, digest, tag } of page) {
          if (tag !== undefined && selection.deleteTag(place.id, tag)) tags++
          // By another of its tags the place has it still.
          const isTagged = selection.tagsOf(digest).some((one) => one.repositoryId === place.id)
          if (isTagged || listings.has(place.id, digest)) continue
          selection.deleteMember(place.id, digest)
        }
      })
      // What stays after all is remembered again.
      for (const { place, digest, tag = digest } of page) events.purged(place, [tag, digest])
      await slices.end()
    }
    return tags
  }

  async #targets(wanted: NamedSelection, slices: Slices): Promise<readonly Target[]> {
    const matcher = matcherOf(wanted)
    const targets: Target[] = []
    for (let after = 0; ; ) {
      const page = this.#options.selection.pagePlaces(after, PAGE)
      for (const place of page) {
        if (matcher.isPlace(place)) await this.#addTargets(place, matcher, targets, slices)
      }
      const last = page.at(-1)
      if (last === undefined) return targets
      after = last.id
      await slices.rest()
    }
  }

  async #addTargets(place: PlaceRow, matcher: Matcher, targets: Target[], slices: Slices) {
    const { selection } = this.#options
    const tags = pages(
      (after) => selection.pageTags(place.id, after, PAGE),
      ({ tag }) => tag,
    )
    for (const { tag, digest } of tags) {
      if (matcher.isTag(tag, digest)) targets.push({ place, tag, digest })
      await slices.rest()
    }
    const members = pages(
      (after) => selection.pageMembers(place.id, after, PAGE),
      (digest) => digest,
    )
    for (const digest of members) {
      if (matcher.isContent(digest)) targets.push({ place, tag: undefined, digest })
      await slices.rest()
    }
  }
}

function nameOf({ place, tag, digest }: Target): string {
  const name = `${place.upstream}/${place.repository}`
  return tag === undefined ? `${name}@${digest}` : `${name}:${tag}`
}

/** All rows of a question that is asked a page at a time. */
function* pages<T>(ask: (after: string) => readonly T[], keyOfRow: (row: T) => string) {
  for (let after = ''; ; ) {
    const page = ask(after)
    yield* page
    const last = page.at(-1)
    if (last === undefined) return
    after = keyOfRow(last)
  }
}
