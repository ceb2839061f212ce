import { z } from 'zod'

import { AdminError } from './errors.ts'
import { imageList, platform } from './input.ts'

const DEFAULT_PARALLEL = 8
const MAX_PARALLEL = 64
const OWNER_EXPECTED = 'expected 1 to 128 characters that do not begin with pattern:'

/** What can be said of a preload, whoever listens to it. */
export const PRELOAD = z.strictObject({
  images: imageList.optional(),
  /** One of the configuration, instead of `images`, `platforms`, `pin` and `name`. */
  job: z.string().optional(),
  platforms: z.array(platform).min(1).optional(),
  referrers: z.boolean().default(false),
  pin: z.boolean().default(false),
  name: z
    .string()
    .regex(/^(?!pattern:)\P{Cc}{1,128}$/u, OWNER_EXPECTED)
    .optional(),
  parallel: z.int().min(1).max(MAX_PARALLEL).default(DEFAULT_PARALLEL),
  dryRun: z.boolean().default(false),
})

type Input = Pick<z.output<typeof PRELOAD>, 'job' | 'platforms' | 'pin' | 'name'>

/** @throws {AdminError} where a job is asked for that is not there, or that says itself what is said */
export function requireJob({ job, platforms, pin, name }: Input, known: readonly string[]): void {
  if (job === undefined) return
  if (!known.includes(job)) {
    const has = known.length === 0 ? 'has none' : `has: ${known.join(', ')}`
    const message = `the configuration has no preload job ${job}; it ${has}`
    throw new AdminError('NOT_FOUND', { message })
  }
  if (platforms === undefined && !pin && name === undefined) return
  const message = 'a job says itself which platforms it takes and whether it pins'
  throw new AdminError('INVALID', { message })
}
