/** Of what the admin API's answers are made: for its document, and for the tests that hold it to that. */
import { z } from 'zod'

export const bytes = z.int().nonnegative().meta({ description: 'bytes' })
export const count = z.int().nonnegative()
export const time = z.number().meta({ description: 'epoch milliseconds' })
export const digest = z.string().meta({ description: 'such as sha256:…' })
/** Of what is not known it says -1. */
export const size = z.int().min(-1).meta({ description: 'bytes; -1: not known' })
export const ratio = z.number().min(0).max(1)
export const annotations = z.record(z.string(), z.string())
export const seconds = z.number().nonnegative()
