import { z } from 'zod'

import { annotations, bytes, count, digest, size, time } from './scalars.ts'

const IMAGE = z.strictObject({
  name: z.string(),
  upstream: z.string(),
  repository: z.string(),
  digest,
  tags: z.array(z.string()),
  platforms: z.array(z.strictObject({ platform: z.string(), complete: z.boolean() })),
  bytes,
  sharedBytes: bytes,
  missingBytes: bytes,
  complete: z.boolean(),
  lastUsedAt: time.optional(),
  pulls: count,
  lastPulledAt: time.optional(),
  pinned: z.boolean(),
})

export const IMAGES = z.strictObject({ images: z.array(IMAGE), next: z.string().optional() })
const CONTENT = z.strictObject({ digest, mediaType: z.string(), size, here: z.boolean() })

export const IMAGE_DETAIL = IMAGE.extend({
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  annotations,
  tag: z
    .strictObject({
      tag: z.string(),
      checkedAt: time,
      refusedAt: time.optional(),
      history: z.array(z.strictObject({ digest, seenAt: time })),
    })
    .optional(),
  manifests: z.array(CONTENT.extend({ platform: z.string().optional(), layers: z.array(CONTENT) })),
  referrers: z.array(
    z.strictObject({
      digest,
      mediaType: z.string(),
      size,
      subject: digest.optional(),
      artifactType: z.string().optional(),
      annotations,
    }),
  ),
  raw: z.string().optional(),
})
