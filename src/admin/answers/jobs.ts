import { z } from 'zod'

import { IMAGE_FAILURE } from './preloading.ts'
import { bytes, count, digest, time } from './scalars.ts'

const FAILED_IMAGE = z.strictObject({ image: z.string(), ...IMAGE_FAILURE })
const ACTIVE = z.array(z.strictObject({ image: z.string(), digest, bytes, totalBytes: bytes }))

const STATES = [
  'queued',
  'running',
  'done',
  'incomplete',
  'failed',
  'cancelled',
  'interrupted',
] as const

export const JOB = z.strictObject({
  id: z.string(),
  state: z.enum(STATES),
  origin: z.enum(['api', 'command', 'schedule']),
  job: z.string().optional().meta({ description: 'of the configuration' }),
  retryOf: z.string().optional(),
  platforms: z.array(z.string()).optional(),
  referrers: z.boolean(),
  pin: z.boolean(),
  dryRun: z.boolean(),
  createdAt: time,
  startedAt: time.optional(),
  endedAt: time.optional(),
  images: z.strictObject({ total: count, done: count, unchanged: count, failed: count }),
  bytes: z.strictObject({ total: bytes, here: bytes, fetched: bytes }),
  bytesPerSecond: z.number().nonnegative().optional(),
  error: z.strictObject(IMAGE_FAILURE).optional(),
  warnings: z.array(z.string()),
  failed: z.array(FAILED_IMAGE),
})

const ROW = z.strictObject({
  image: z.string(),
  state: z.enum(['waiting', 'fetching', 'done', 'unchanged', 'failed']),
  digest: digest.optional(),
  bytes: bytes.optional(),
  fetchedBytes: bytes.optional(),
  warning: z.string().optional(),
  error: z.strictObject(IMAGE_FAILURE).optional(),
})

export const JOB_DETAIL = JOB.extend({ rows: z.array(ROW), active: ACTIVE })

export const JOBS = z.strictObject({
  jobs: z.array(JOB),
  configured: z.array(
    z.strictObject({
      name: z.string(),
      sources: z.array(z.string()),
      schedule: z.string().optional(),
      nextRunAt: time.optional(),
      platforms: z.array(z.string()),
      pin: z.boolean(),
      running: z.string().optional().meta({ description: 'the id of a job' }),
      last: JOB.optional(),
    }),
  ),
})

export const JOB_EVENTS = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('job'), data: JOB_DETAIL }),
  z.strictObject({ event: z.literal('image'), data: ROW }),
  z.strictObject({
    event: z.literal('progress'),
    data: z.strictObject({
      images: count,
      imagesDone: count,
      bytes,
      totalBytes: bytes,
      fetchedBytes: bytes,
      bytesPerSecond: z.number().nonnegative(),
      active: ACTIVE,
    }),
  }),
  z.strictObject({ event: z.literal('end'), data: JOB }),
])

export const PASTED = z.strictObject({
  images: z.array(z.string()),
  maybe: z.array(z.string()),
  problems: z.array(z.string()),
})
