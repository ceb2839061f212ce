import { z } from 'zod'

import type { Endpoint } from './endpoint.ts'
import { durationMs, parseInput } from './input.ts'
import type { Overview } from './ports/overview.ts'

const MINUTE_MS = 60_000
const DAY_MINUTES = 24 * 60
/** As many as there are pixels for on a small screen. */
const USUAL_STEPS = 288

/** @param most whole minutes, as many at most */
const minutes = (most: number, expected: string) =>
  durationMs
    .transform((value) => value / MINUTE_MS)
    .refine((value) => Number.isInteger(value) && value >= 1 && value <= most, { error: expected })

const HISTORY = z.strictObject({
  over: minutes(DAY_MINUTES, 'expected whole minutes, 24h at most').optional(),
  step: minutes(60, 'expected whole minutes, 1h at most').optional(),
})

/** `GET /overview`: whether it works, what it saves, and how full it is; and how that was for a day. */
export function overviewEndpoints(overview: Overview): readonly Endpoint[] {
  return [
    { path: '/overview', read: () => overview.read() },
    {
      path: '/overview/history',
      query: HISTORY,
      read({ query }) {
        const { over = DAY_MINUTES, step = Math.ceil(over / USUAL_STEPS) } = parseInput(
          HISTORY,
          query,
        )
        return overview.history({ minutes: over, step })
      },
    },
  ]
}
