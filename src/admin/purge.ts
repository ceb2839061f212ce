import { z } from 'zod'

import type { Endpoint, Outcome } from './endpoint.ts'
import { bytes, durationMs, parseInput, requireOne } from './input.ts'
import { findUpstream, formatTarget, parsePattern, parseTarget } from './names.ts'
import type { Names } from './ports/configuration.ts'
import type { PurgeOptions, Removal, Removed, Selection } from './ports/removal.ts'

const FIELDS = z.strictObject({
  references: z.array(z.string()).min(1).optional(),
  pattern: z.string().optional(),
  upstream: z.string().optional(),
  unusedFor: durationMs.optional(),
  downTo: bytes.optional(),
  dryRun: z.boolean().default(false),
  force: z.boolean().default(false),
})
// Pins are named, not used: what goes for its last use, or for its size, is never what is pinned.
const PURGE = FIELDS.refine(
  ({ force, unusedFor, downTo }) => !force || (unusedFor ?? downTo) === undefined,
  { path: ['force'], message: 'goes with references, pattern or upstream only' },
)

const SELECTORS = ['references', 'pattern', 'upstream', 'unusedFor', 'downTo'] as const

/** `POST /purge`: removes what is named, by exactly one of the ways to name it. */
export function purgeEndpoint(removal: Pick<Removal, 'purge'>, names: Names): Endpoint {
  return {
    path: '/purge',
    post: {
      action: 'purge',
      input: PURGE,
      prepare(input) {
        const { dryRun, force, ...by } = parseInput(PURGE, input)
        requireOne(by, SELECTORS)
        const selections = selectionsOf(names, by)
        return {
          parameters: { ...describe(selections), dryRun, force },
          run: () => purge(removal, selections, { dryRun, force }),
        }
      },
    },
  }
}

/**
 * One reference after the other. Of those of which nothing is here it says so. A dry run looks at
 * each by itself: what only two of them share is not in its sum.
 */
async function purge(
  removal: Pick<Removal, 'purge'>,
  selections: readonly Selection[],
  options: PurgeOptions,
): Promise<Outcome> {
  let total = NOTHING
  const unknown: string[] = []
  for (const selection of selections) {
    const removed = await removal.purge(selection, options)
    if (selection.kind === 'reference' && isNothing(removed)) unknown.push(formatTarget(selection))
    total = sum(total, removed)
  }
  const { items, ...counts } = total
  return { body: { ...counts, unknown, items }, result: { ...counts, unknown } }
}

function selectionsOf(
  names: Names,
  by: Omit<z.output<typeof PURGE>, 'dryRun' | 'force'>,
): readonly Selection[] {
  const { references = [], pattern, upstream, unusedFor, downTo } = by
  if (pattern !== undefined) return [parsePattern(pattern)]
  if (upstream !== undefined) return [{ kind: 'upstream', upstream: findUpstream(names, upstream) }]
  if (unusedFor !== undefined) return [{ kind: 'unused', forMs: unusedFor }]
  if (downTo !== undefined) return [{ kind: 'size', bytes: downTo }]
  return references.map((text) => parseTarget(names, text))
}

function describe(selections: readonly Selection[]): object {
  const targets = selections.filter((one) => one.kind === 'reference' || one.kind === 'pattern')
  if (targets.length > 0) return { targets: targets.map(formatTarget) }
  return { selection: selections[0] }
}

const NOTHING: Removed = {
  tags: 0,
  manifests: 0,
  blobs: 0,
  bytes: 0,
  kept: { pinned: 0, inUse: 0, listed: 0 },
  items: [],
}

function isNothing({ tags, manifests, blobs, kept }: Removed): boolean {
  return tags + manifests + blobs + kept.pinned + kept.inUse + kept.listed === 0
}

function sum(one: Removed, other: Removed): Removed {
  return {
    tags: one.tags + other.tags,
    manifests: one.manifests + other.manifests,
    blobs: one.blobs + other.blobs,
    bytes: one.bytes + other.bytes,
    kept: {
      pinned: one.kept.pinned + other.kept.pinned,
      inUse: one.kept.inUse + other.kept.inUse,
      listed: one.kept.listed + other.kept.listed,
    },
    items: [...one.items, ...other.items],
  }
}
