import { z } from 'zod'

import { FAILED } from './failure.ts'
import { bytes, count, digest, seconds } from './scalars.ts'

export const IMAGE_FAILURE = { code: z.string(), message: z.string() }

export const PRELOAD_LINES = z.discriminatedUnion('event', [
  z.strictObject({
    event: z.literal('started'),
    images: count.optional(),
    job: z.string().optional(),
    dryRun: z.boolean(),
  }),
  z.strictObject({
    event: z.literal('progress'),
    images: count,
    imagesDone: count,
    bytes,
    totalBytes: bytes,
    fetchedBytes: bytes,
    bytesPerSecond: z.number().nonnegative(),
    active: z.array(z.strictObject({ image: z.string(), digest, bytes, totalBytes: bytes })),
  }),
  z.strictObject({
    event: z.literal('image'),
    image: z.string(),
    state: z.enum(['fetching', 'done', 'unchanged', 'failed']),
    digest: digest.optional(),
    bytes: bytes.optional(),
    fetchedBytes: bytes.optional(),
    warning: z.string().optional(),
    error: z.strictObject(IMAGE_FAILURE).optional(),
  }),
  z.strictObject({
    event: z.literal('done'),
    images: z.strictObject({ done: count, unchanged: count, failed: count }),
    bytes: z.strictObject({ fetched: bytes, here: bytes }),
    failed: z.array(z.strictObject({ image: z.string(), ...IMAGE_FAILURE })),
    seconds,
  }),
  FAILED,
])
