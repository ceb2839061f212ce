import { z } from 'zod'

import { bytes, count, ratio, time } from './scalars.ts'
import { STORED } from './storage.ts'

export const FIGURES = z.strictObject({
  requests: z.strictObject({
    total: count,
    byResult: z.record(z.string(), count),
    hitRatio: ratio.optional(),
  }),
  bytes: z.strictObject({
    served: bytes,
    fetched: bytes,
    preloaded: bytes,
    saved: bytes,
    hitRatio: ratio.optional(),
  }),
})

const TRAFFIC = FIGURES.extend({ since: time })

export const OVERVIEW = FIGURES.extend({
  version: z.string(),
  startedAt: time,
  now: time,
  uptimeSeconds: count,
  last5Minutes: TRAFFIC,
  last24Hours: TRAFFIC,
  warnings: z.array(z.string()),
  storage: STORED,
  pins: z.strictObject({
    complete: count,
    incomplete: count,
    pinnedBytes: bytes,
    missingBytes: bytes,
  }),
})

const counts = z.array(count.nullable())
const ratios = z.array(ratio.nullable())

export const HISTORY = z.strictObject({
  stepSeconds: count,
  times: z.array(time).meta({ description: 'the end of each step' }),
  results: z.record(z.string(), counts),
  hitRatio: ratios,
  byteHitRatio: ratios,
  servedBytes: counts,
  fetchedBytes: counts,
  usedBytes: counts,
})
