import { z } from 'zod'

export const OPENAPI = z.looseObject({ openapi: z.literal('3.1.0') })
