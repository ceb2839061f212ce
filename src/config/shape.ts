/** Holds data against the schema, and words what does not fit. */
import type * as z from 'zod'

import { suggestKey } from './keys.ts'
import { formatPath, type Path } from './problems.ts'
import { CONFIG } from './schema.ts'

/** Something that does not fit, before it has a place in a file. */
export interface Misfit {
  readonly path: Path
  readonly message: string
  /** The key itself is wrong, not its value. */
  readonly isKey: boolean
}

/** Every misfit of `data`; none: it is a `ConfigInput`. */
export function findMisfits(data: unknown): readonly Misfit[] {
  const result = CONFIG.safeParse(data, { error: describe })
  return result.success ? [] : result.error.issues.flatMap(toMisfits)
}

function toMisfits(issue: z.core.$ZodIssue): Misfit[] {
  const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)))
  if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message, isKey: false }]
  return issue.keys.map((key) => unknownKey(path, key))
}

/** `password:hunter2`, the space forgotten, is a key for YAML: only what looks like one is shown. */
function unknownKey(parent: Path, key: string): Misfit {
  const shown = /^[A-Za-z][\w-]{0,40}/.exec(key)?.[0]
  if (shown !== key) {
    const path = shown === undefined ? parent : [...parent, shown]
    const hint = hintOf(key)
    return { path, message: `unknown key${hint}`, isKey: true }
  }
  const near = suggestKey(parent, key)
  const message = near === undefined ? 'unknown key' : `unknown key; did you mean ${near}?`
  return { path: [...parent, key], message, isKey: true }
}

function hintOf(key: string): string {
  if (key === '<<') return ': << is not read; what upstreams share stands under defaults'
  return key.includes(':') ? ': a space has to follow the colon' : ''
}

const NOUNS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'a map of keys',
  string: 'a text',
}

/** For what the schema has no words of its own. */
function describe(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.input === undefined) return 'is missing'
  if (issue.code === 'invalid_value') return `expected ${oneOf(issue.values)}`
  if (issue.code !== 'invalid_type') return undefined
  return `expected ${NOUNS[issue.expected] ?? issue.expected}, found ${foundNoun(issue.input)}`
}

function oneOf(values: readonly unknown[]): string {
  const texts = values.map(String)
  const last = texts.pop() ?? ''
  return texts.length === 0 ? last : `${texts.join(', ')} or ${last}`
}

function foundNoun(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return NOUNS[typeof value] ?? `a ${typeof value}`
}

/** Whether something at or under `path` does not fit. */
export function isMisshapen(misfits: readonly Misfit[], path: Path): boolean {
  const prefix = formatPath(path)
  return misfits.some((misfit) => {
    const at = formatPath(misfit.path)
    return at === prefix || at.startsWith(`${prefix}.`)
  })
}
