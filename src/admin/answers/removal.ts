import { z } from 'zod'

import { bytes, count, size } from './scalars.ts'

const REMOVED = z.strictObject({
  tags: count,
  manifests: count,
  blobs: count,
  bytes,
  kept: z.strictObject({ pinned: count, inUse: count, listed: count }),
  items: z.array(z.strictObject({ name: z.string(), size: size.optional() })),
})

export const PURGED = REMOVED.extend({ unknown: z.array(z.string()) })
export const COLLECTED = REMOVED.extend({ files: z.strictObject({ count, bytes }) })
