import { z } from 'zod'

import { count, digest, time } from './scalars.ts'

const PIN = z.strictObject({
  name: z.string(),
  kind: z.enum(['tag', 'digest', 'pattern']),
  owner: z.string(),
  digest: digest.optional(),
  follows: z.boolean(),
  createdAt: time,
  expiresAt: time.optional(),
})

export const PINS = z.strictObject({ pins: z.array(PIN) })
export const PINNED = PINS.extend({ unknown: z.array(z.string()) })
export const UNPINNED = z.strictObject({ unpinned: count, unknown: z.array(z.string()) })
