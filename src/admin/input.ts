/** What is sent to the admin API, read once at its edge. */
import { z } from 'zod'

import { DURATION_EXPECTED, parseDuration } from '../config/durations.ts'
import { parseSize, SIZE_EXPECTED } from '../config/sizes.ts'
import { parsePlatform } from '../oci/platform.ts'
import { AdminError } from './errors.ts'

/** Milliseconds, from a text such as `30d`. */
export const durationMs = z.string().transform((text, context) => {
  const value = parseDuration(text)
  if (value !== undefined) return value
  context.addIssue({ code: 'custom', message: DURATION_EXPECTED })
  return z.NEVER
})

/** Bytes, from a text such as `100GiB`. */
export const bytes = z.string().transform((text, context) => {
  const value = parseSize(text)
  if (value !== undefined) return value
  context.addIssue({ code: 'custom', message: SIZE_EXPECTED })
  return z.NEVER
})

/** A list of some ten thousand images, in bytes of the body that names them. */
export const MAX_LIST_BYTES = 4 * 1024 * 1024
const MAX_NAME_LENGTH = 1_024

/** Images as people write them; what is none is said of it when its turn comes. */
export const imageList = z.array(z.string().min(1).max(MAX_NAME_LENGTH)).min(1)

/** Of a query, where everything is a text. */
export function flag(usual: boolean) {
  return z
    .enum(['true', 'false'])
    .default(usual ? 'true' : 'false')
    .transform((text) => text === 'true')
}

/** Of a page: a number from 1 to `most`. */
export function pageLimit(most: number) {
  const expected = `expected a number from 1 to ${most}`
  return z
    .string()
    .regex(/^[1-9]\d{0,3}$/, expected)
    .transform(Number)
    .refine((limit) => limit <= most, expected)
}

/** A text such as `linux/arm64`. */
export const platform = z.string().transform((text, context) => {
  const value = parsePlatform(text)
  if (value !== undefined) return value
  const message = 'expected a platform such as linux/amd64 or linux/arm/v7'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

/** @throws {AdminError} `INVALID` with every problem there is, by its path */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
): z.output<Schema> {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => ({
    path: path.map(String).join('.'),
    message,
  }))
  throw invalid(problems)
}

/** @throws {AdminError} `INVALID`, unless exactly one of `keys` is given */
export function requireOne(
  input: Readonly<Record<string, unknown>>,
  keys: readonly string[],
): void {
  const given = keys.filter((key) => input[key] !== undefined)
  if (given.length === 1) return
  throw invalid([{ path: '', message: `expected exactly one of ${keys.join(', ')}` }])
}

function invalid(problems: readonly { path: string; message: string }[]): AdminError {
  const said = problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  return new AdminError('INVALID', { message: said.join('; '), problems })
}
