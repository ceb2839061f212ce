import { z } from 'zod'

import { bytes, count, digest, time } from './scalars.ts'

export const ACTIVITY = z.strictObject({
  requests: z.array(
    z.strictObject({
      seq: count,
      at: time,
      request: z.string(),
      client: z.string().optional(),
      agent: z.string().optional(),
      method: z.string(),
      handler: z.string(),
      upstream: z.string().optional(),
      repository: z.string().optional(),
      reference: z.string().optional(),
      digest: digest.optional(),
      status: count,
      result: z.string().optional(),
      age: z.number().optional(),
      stale: z.number().optional(),
      bytes,
      ms: z.number(),
      finished: z.boolean(),
      problem: z.string().optional(),
    }),
  ),
  last: count,
})

export const CLIENTS = z.strictObject({
  since: time,
  clients: z.array(
    z.strictObject({
      address: z.string(),
      runtime: z.string(),
      agent: z.string().optional(),
      requests: count,
      pulls: count,
      errors: count,
      bytes,
      firstSeenAt: time,
      lastSeenAt: time,
    }),
  ),
  more: count,
})
