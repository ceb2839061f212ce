import { z } from 'zod'

export const AUTHORITY = z.union([
  z.strictObject({ right: z.enum(['token', 'loopback', 'owner']) }),
  z.strictObject({ needs: z.enum(['token', 'elsewhere']), reason: z.string() }),
])
