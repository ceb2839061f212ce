import { z } from 'zod'

import { MISSING } from './checking.ts'
import { FAILED } from './failure.ts'
import { bytes, count, digest, seconds } from './scalars.ts'

export const IMPORT_LINES = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('started'), dryRun: z.boolean() }),
  z.strictObject({ event: z.literal('progress'), bytes, blobs: count }),
  z.strictObject({
    event: z.literal('image'),
    image: z.string(),
    digest: digest.optional(),
    state: z.enum(['published', 'unchanged', 'refused']),
    reason: z.string().optional(),
  }),
  z.strictObject({ event: z.literal('warning'), message: z.string() }),
  z.strictObject({
    event: z.literal('done'),
    images: z.strictObject({ published: count, unchanged: count, refused: count }),
    bytes,
    addedBytes: bytes,
    addedBlobs: count,
    seconds,
  }),
  FAILED,
])

const INCOMPLETE = z.strictObject({
  image: z.string(),
  reason: z.string().optional(),
  missing: z.array(MISSING),
  missingBytes: bytes,
})

export const EXPORT_PLAN = z.strictObject({
  images: count,
  blobs: count,
  bytes,
  leftOut: z.array(INCOMPLETE),
  missing: z.array(INCOMPLETE),
  bundle: z.looseObject({}).meta({ description: 'what larder-bundle.json would say' }),
})
