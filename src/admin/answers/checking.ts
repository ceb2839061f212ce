import { z } from 'zod'

import { FAILED } from './failure.ts'
import { bytes, count, digest, size } from './scalars.ts'

export const MISSING = z.strictObject({
  digest,
  kind: z.enum(['manifest', 'blob']),
  size,
  mediaType: z.string().optional(),
  platform: z.looseObject({ os: z.string(), architecture: z.string() }).optional(),
  parent: digest.optional(),
  lack: z.enum(['missing', 'damaged', 'unconfirmed']),
})

export const CHECK_LINES = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('started'), images: count }),
  z.strictObject({
    event: z.literal('image'),
    image: z.string(),
    complete: z.boolean(),
    digest: digest.optional(),
    missing: z.array(MISSING),
    missingBytes: bytes,
    bytes,
    reason: z.string().optional(),
  }),
  z.strictObject({
    event: z.literal('done'),
    images: count,
    complete: count,
    incomplete: count,
    missingBytes: bytes,
    bytes,
  }),
  FAILED,
])
