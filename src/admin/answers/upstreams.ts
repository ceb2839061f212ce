import { z } from 'zod'

import { FIGURES } from './overview.ts'
import { count, time } from './scalars.ts'

export const UPSTREAM = z.strictObject({
  name: z.string(),
  match: z.array(z.string()),
  url: z.string(),
  mirrors: z.array(z.string()),
  access: z.enum(['public', 'shared', 'caller']),
  offline: z.boolean(),
  blocked: z.strictObject({ at: time, reason: z.string().optional() }).optional(),
  up: z.boolean(),
  circuit: z.enum(['closed', 'open', 'half_open']),
  rateLimit: z
    .strictObject({
      limit: z.number().optional(),
      remaining: z.number().optional(),
      windowSeconds: z.number().optional(),
    })
    .optional(),
  restsMs: z.number(),
  waiting: count,
  requests: z.strictObject({ total: count, failed: count }),
  latencyMs: z.strictObject({ p50: z.number(), p95: z.number() }).optional(),
  lastSuccessAt: time.optional(),
  recentErrors: z.array(z.strictObject({ reason: z.string(), count, at: time, lastAt: time })),
  credentials: count,
  credentialExpiresAt: time.optional(),
  traffic: FIGURES,
})

export const UPSTREAMS = z.strictObject({ upstreams: z.array(UPSTREAM) })

export const WALK = z.strictObject({
  upstream: z.string(),
  ok: z.boolean(),
  clockSkewMs: z.number().optional(),
  steps: z.array(
    z.strictObject({
      step: z.string(),
      ok: z.boolean(),
      detail: z.string(),
      advice: z.string().optional(),
    }),
  ),
})
