import { z } from 'zod'

import type { Endpoint, Outcome } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { durationMs, parseInput, requireOne } from './input.ts'
import { formatTarget, parsePattern, parseTarget } from './names.ts'
import type { Names } from './ports/configuration.ts'
import type { Pin, Pins } from './ports/pins.ts'
import type { Target } from './ports/target.ts'

const PIN = z.strictObject({
  references: z.array(z.string()).min(1).optional(),
  pattern: z.string().optional(),
  follow: z.boolean().default(false),
  expires: durationMs.optional(),
})

/** A query says a single value as a text and several as a list. */
const UNPIN = z.strictObject({
  reference: z.union([z.string().transform((one) => [one]), z.array(z.string())]).optional(),
  pattern: z.string().optional(),
})

/** `/pins`: GET lists them, POST makes some, DELETE takes some away. */
export function pinsEndpoint(pins: Pins, names: Names): Endpoint {
  return {
    path: '/pins',
    read: async () => ({ pins: await pins.list() }),
    post: {
      action: 'pin',
      input: PIN,
      prepare(input) {
        const { references, pattern, follow, expires } = parseInput(PIN, input)
        requireOne({ references, pattern }, ['references', 'pattern'])
        const targets = targetsOf(names, references, pattern)
        if (follow) requireTags(targets)
        const options = { follows: follow, expiresInMs: expires }
        return {
          parameters: { targets: targets.map(formatTarget), ...options },
          run: () => pin(pins, targets, options),
        }
      },
    },
    delete: {
      action: 'unpin',
      input: UNPIN,
      prepare(input) {
        const { reference, pattern } = parseInput(UNPIN, input)
        requireOne({ reference, pattern }, ['reference', 'pattern'])
        const targets = targetsOf(names, reference, pattern)
        return {
          parameters: { targets: targets.map(formatTarget) },
          run: () => unpin(pins, targets),
        }
      },
    },
  }
}

/** What is not here cannot be kept: it is said, and the others are pinned all the same. */
async function pin(
  pins: Pins,
  targets: readonly Target[],
  options: { readonly follows: boolean; readonly expiresInMs: number | undefined },
): Promise<Outcome> {
  const made: Pin[] = []
  const unknown: string[] = []
  for (const target of targets) {
    const one = await pins.pin({ target, ...options })
    if (one === undefined) unknown.push(formatTarget(target))
    else made.push(one)
  }
  return { body: { pins: made, unknown }, result: { pinned: made.length, unknown } }
}

/** All of what was named is gone afterwards; that some was not pinned is said, and harms nothing. */
async function unpin(pins: Pins, targets: readonly Target[]): Promise<Outcome> {
  let unpinned = 0
  const unknown: string[] = []
  for (const target of targets) {
    const count = await pins.unpin(target)
    unpinned += count
    if (count === 0) unknown.push(formatTarget(target))
  }
  return { body: { unpinned, unknown } }
}

function targetsOf(
  names: Names,
  references: readonly string[] | undefined,
  pattern: string | undefined,
): readonly Target[] {
  if (pattern !== undefined) return [parsePattern(pattern)]
  return (references ?? []).map((text) => parseTarget(names, text))
}

/** A digest never moves, and what a pattern holds moves anyway. */
function requireTags(targets: readonly Target[]): void {
  const other = targets.find(
    (target) => target.kind !== 'reference' || target.reference.kind !== 'tag',
  )
  if (other === undefined) return
  const message = `follow: only a tag can be followed, and ${formatTarget(other)} is none`
  throw new AdminError('INVALID', { message, problems: [{ path: 'follow', message }] })
}
