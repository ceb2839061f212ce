import { z } from 'zod'

export const PROBLEM = z.strictObject({
  file: z.string().optional(),
  line: z.int().optional(),
  column: z.int().optional(),
  variable: z.string().optional(),
  path: z.string(),
  message: z.string(),
})

const ERROR = z.strictObject({
  code: z.string(),
  message: z.string(),
  problems: z.array(PROBLEM).optional(),
})

export const FAILURE = z.strictObject({ error: ERROR })
export const FAILED = FAILURE.extend({ event: z.literal('failed') })
