import { z } from 'zod'

export const NODE_CONFIG = z.strictObject({
  runtimes: z.array(z.string()),
  runtime: z.string(),
  server: z.string(),
  files: z.array(z.strictObject({ path: z.string(), content: z.string(), mode: z.int() })),
  notes: z.array(z.string()),
})
