import { z } from 'zod'

import { FAILED } from './failure.ts'
import { bytes, count, digest } from './scalars.ts'

const VERIFIED = z.strictObject({
  event: z.literal('done'),
  checked: count,
  ok: count,
  damaged: count,
  missing: count,
  repaired: count,
  unrepaired: z.array(
    z.strictObject({
      digest,
      fault: z.enum(['damaged', 'missing']),
      places: z.array(z.string()),
    }),
  ),
})

export const VERIFY_LINES = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('started'), repair: z.boolean() }),
  z.strictObject({ event: z.literal('progress'), checked: count, total: count, bytes }),
  z.strictObject({ event: z.literal('fault'), digest, fault: z.enum(['damaged', 'missing']) }),
  VERIFIED,
  FAILED,
])
