import { z } from 'zod'

import { bytes, count, time } from './scalars.ts'

export const STORED = z.strictObject({
  usedBytes: bytes,
  quotaBytes: z.number(),
  availableBytes: bytes,
  blobs: count,
  manifests: count,
  tags: count,
})

export const STORAGE = STORED.extend({
  pinnedBytes: bytes,
  parts: z.strictObject({ count, bytes }),
  next: z.array(z.strictObject({ name: z.string(), bytes, lastUsedAt: time })),
})

const SHARE = z.strictObject({ bytes, blobs: count, sharedBytes: bytes })

export const USAGE = z.strictObject({
  countedAt: time,
  upstreams: z.array(SHARE.extend({ upstream: z.string() })),
  repositories: z.array(SHARE.extend({ upstream: z.string(), repository: z.string() })),
  unclaimed: SHARE.omit({ sharedBytes: true }),
})
