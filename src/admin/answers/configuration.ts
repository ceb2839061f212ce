import { z } from 'zod'

import { PROBLEM } from './failure.ts'

export const RELOADED = z.strictObject({ ok: z.literal(true), warnings: z.array(PROBLEM) })

export const CONFIGURATION = z.strictObject({
  config: z.looseObject({ version: z.literal(1) }),
  origins: z.record(z.string(), z.enum(['default', 'file', 'env'])),
})
