/**
 * The kinds of value that configuration keys take. Messages say what was expected and never what
 * was found: the line is named anyway, and the text may be a misplaced secret.
 */
import { CronPattern } from 'croner'
import * as z from 'zod'

import { GLOB_LIMIT, isCheapGlob } from '../oci/glob.ts'
import { ADDRESS_EXPECTED, parseAddress, parseMatch } from './addresses.ts'
import { DURATION, DURATION_EXPECTED, parseDuration } from './durations.ts'
import { PERCENT, parseSize, parseSpace, SIZE, SIZE_EXPECTED, SPACE_EXPECTED } from './sizes.ts'
import { originProblem, proxyUrlProblem, registryUrlProblem } from './urls.ts'

/** Timers beyond a day are surely a mistake, and beyond 24.8 days they fire at once. */
const MAX_TIMEOUT_MS = 86_400_000

/** The name of a key's value as a metric label and file name. */
const UPSTREAM_NAME = /^[a-z0-9][a-z0-9.:_-]{0,254}$/
const PATH_PREFIX = /^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/
const PLATFORM = /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/
/** Five fields, or six with seconds first. */
const CRON = /^(?:[\d*?,/A-Za-z#-]+ +){4,5}[\d*?,/A-Za-z#-]+$/

/** Says `expected` of a wrong type; leaves a missing key to the general message. */
function textOf(expected: string): z.ZodString {
  return z.string({ error: ({ input }) => (input === undefined ? undefined : expected) })
}

function bareNumber(expected: string): z.ZodString {
  return z.string({
    error: ({ input }) => {
      if (input === undefined) return undefined
      return typeof input === 'number' ? `${expected}: a bare number has no unit` : expected
    },
  })
}

/** A text with a problem finder, whose finding is the message. */
function checkedText(expected: string, problemOf: (text: string) => string | undefined) {
  return textOf(expected).superRefine((text, context) => {
    const message = problemOf(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })
}

export const flag = z.boolean()
export const text = z.string().min(1, 'must not be empty')
export const glob = text.refine(isCheapGlob, { error: GLOB_LIMIT })
export const file = textOf("expected a file's path").min(1, "expected a file's path")
export const directory = textOf("expected a directory's path").min(1, "expected a directory's path")

const isDuration = (value: string) => !DURATION.test(value) || parseDuration(value) !== undefined

export const duration = bareNumber(DURATION_EXPECTED)
  .regex(DURATION, DURATION_EXPECTED)
  .refine(isDuration, { error: 'is longer than anything lasts' })

/** A wait: it has to have an end, and cannot be none. */
export const timeout = duration.refine(
  (value) => {
    const valueMs = parseDuration(value)
    return valueMs === undefined || (valueMs > 0 && valueMs <= MAX_TIMEOUT_MS)
  },
  { error: 'must be more than 0s and at most 24h' },
)

export const drain = duration.refine((value) => (parseDuration(value) ?? 0) <= MAX_TIMEOUT_MS, {
  error: 'must be at most 24h',
})

/** More than any machine's cores; a typing mistake would take all of its memory. */
export const MAX_WORKERS = 64
const WORKERS_EXPECTED = `expected a whole number from 1 to ${MAX_WORKERS}, or auto`
const count = z.int(WORKERS_EXPECTED).min(1, WORKERS_EXPECTED).max(MAX_WORKERS, WORKERS_EXPECTED)
export const workers = z.union([z.literal('auto'), count], {
  error: ({ input }) => (input === undefined ? undefined : WORKERS_EXPECTED),
})

const NEVER_EXPECTED = `${DURATION_EXPECTED}, or never`
export const durationOrNever = bareNumber(NEVER_EXPECTED)
  .regex(new RegExp(`^never$|${DURATION.source}`), NEVER_EXPECTED)
  .refine(isDuration, { error: 'is longer than anything lasts: say never' })

/** After which something is done: with none it would be done without end. */
export const periodOrNever = durationOrNever.refine((value) => parseDuration(value) !== 0, {
  error: 'must be more than 0s',
})

export const positiveSize = bareNumber(SIZE_EXPECTED)
  .regex(SIZE, SIZE_EXPECTED)
  .refine((value) => !SIZE.test(value) || (parseSize(value) ?? 0) >= 1024 ** 2, {
    error: 'must be at least 1MiB and a size that a file system can have',
  })

const SPACE = new RegExp(`${SIZE.source}|${PERCENT.source}`)

export const space = bareNumber(SPACE_EXPECTED)
  .regex(SPACE, SPACE_EXPECTED)
  .refine((value) => !SPACE.test(value) || parseSpace(value) !== undefined, {
    error: 'is larger than any file system',
  })

export const positiveSpace = space.refine((value) => !/^0+(?:\.0+)?\D+$/.test(value), {
  error: 'must be more than nothing',
})

const BANDWIDTH_EXPECTED = 'expected a size per second such as 10MiB, or 0 for no limit'
const speed = z
  .string()
  .regex(SIZE)
  .refine((value) => parseSize(value) !== undefined, { error: BANDWIDTH_EXPECTED })
export const bandwidth = z.union([z.literal(0), speed], {
  error: ({ input }) => (input === undefined ? undefined : BANDWIDTH_EXPECTED),
})

const RATE_EXPECTED = 'expected a size per second such as 32MiB'
export const rate = bareNumber(RATE_EXPECTED)
  .regex(SIZE, RATE_EXPECTED)
  .refine((value) => !SIZE.test(value) || (parseSize(value) ?? 0) >= 1024 ** 2, {
    error: 'must be at least 1MiB and a speed that a disk can have',
  })

export const address = textOf(ADDRESS_EXPECTED).refine(
  (value) => parseAddress(value) !== undefined,
  { error: ADDRESS_EXPECTED },
)

const NAME_EXPECTED =
  'expected a name of lower-case letters, digits and . : _ - that begins with a letter or digit'
export const upstreamName = textOf(NAME_EXPECTED).regex(UPSTREAM_NAME, NAME_EXPECTED)

const MATCH_EXPECTED = "expected a registry's host such as ghcr.io or registry.example.com:5000"
export const match = textOf(MATCH_EXPECTED).refine((value) => parseMatch(value) !== undefined, {
  error: MATCH_EXPECTED,
})

export const registryUrl = checkedText(
  'expected a URL such as https://registry.example.com',
  registryUrlProblem,
)
export const origin = checkedText(
  'expected an origin such as https://auth.example.com',
  originProblem,
)
export const proxyUrl = checkedText("expected a proxy's URL", proxyUrlProblem)

const PATH_EXPECTED =
  'expected the beginning of a repository, such as acme/team, without slashes around'
export const repositoryPath = textOf(PATH_EXPECTED).regex(PATH_PREFIX, PATH_EXPECTED)

const PLATFORM_EXPECTED = 'expected a platform such as linux/amd64 or linux/arm/v7'
export const platform = textOf(PLATFORM_EXPECTED).regex(PLATFORM, PLATFORM_EXPECTED)

const CRON_EXPECTED = 'expected a cron expression such as "0 3 * * *"'
export const cron = textOf(CRON_EXPECTED).regex(CRON, CRON_EXPECTED).refine(isCron, CRON_EXPECTED)

const JOB_EXPECTED =
  'expected a name of 1 to 128 characters, not manual, which is whose pins are made by hand'
/** It owns pins: see `store/pin.ts`. */
export const jobName = textOf(JOB_EXPECTED).refine(
  (text) => /^(?!pattern:|manual$)\P{Cc}{1,128}$/u.test(text),
  JOB_EXPECTED,
)

/** A list that says something: an empty one could be read as "all" and as "none". */
export function listOf<T extends z.ZodType>(item: T): z.ZodArray<T> {
  return z.array(item).min(1, 'must not be an empty list: leave the key out instead')
}

/** The five or six fields have the shape; `99 * * * *` has no meaning. */
function isCron(text: string): boolean {
  try {
    return new CronPattern(text) !== undefined
  } catch {
    return false
  }
}
