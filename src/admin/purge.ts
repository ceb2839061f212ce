import { z } from 'zod'

import type { Endpoint } from './endpoint.ts'
import { bytes, durationMs, parseInput, requireOne } from './input.ts'
import { findUpstream, formatTarget, parsePattern, parseTarget } from './names.ts'
import type { Names, Removal, Removed, Selection } from './ports.ts'

const PURGE = z.strictObject({
  references: z.array(z.string()).min(1).optional(),
  pattern: z.string().optional(),
  upstream: z.string().optional(),
  unusedFor: durationMs.optional(),
  downTo: bytes.optional(),
  dryRun: z.boolean().default(false),
  force: z.boolean().default(false),
})

const SELECTORS = ['references', 'pattern', 'upstream', 'unusedFor', 'downTo'] as const

/** `POST /purge`: removes what is named, by exactly one of the ways to name it. */
export function purgeEndpoint(removal: Pick<Removal, 'purge'>, names: Names): Endpoint {
  return {
    path: '/purge',
    post: {
      action: 'purge',
      prepare(input) {
        const { dryRun, force, ...by } = parseInput(PURGE, input)
        requireOne(by, SELECTORS)
        const selection = selectionOf(names, by)
        return {
          parameters: { ...describe(selection), dryRun, force },
          run: async () => ({
            body: removedBody(await removal.purge(selection, { dryRun, force })),
          }),
        }
      },
    },
  }
}

/** As it is answered, with names instead of targets. */
export function removedBody(removed: Removed): object {
  return { ...removed, unknown: removed.unknown.map(formatTarget) }
}

function selectionOf(
  names: Names,
  by: Omit<z.output<typeof PURGE>, 'dryRun' | 'force'>,
): Selection {
  const { references = [], pattern, upstream, unusedFor, downTo } = by
  if (pattern !== undefined) return { kind: 'targets', targets: [parsePattern(pattern)] }
  if (upstream !== undefined) return { kind: 'upstream', upstream: findUpstream(names, upstream) }
  if (unusedFor !== undefined) return { kind: 'unusedFor', unusedForMs: unusedFor }
  if (downTo !== undefined) return { kind: 'downTo', bytes: downTo }
  return { kind: 'targets', targets: references.map((text) => parseTarget(names, text)) }
}

function describe(selection: Selection): object {
  if (selection.kind === 'targets') return { targets: selection.targets.map(formatTarget) }
  const { kind: _kind, ...parameters } = selection
  return parameters
}
