/**
 * `LARDER__SERVER__LISTEN` sets `server.listen`: two underscores are a step down, a number is a
 * list's item, upper and lower case are one. One underscore is not ours: Kubernetes itself sets
 * `LARDER_PORT` and the like for a service of that name.
 */
import { parse } from 'yaml'

import { valueAt } from './data.ts'
import { isListAt, isTextAt, keysAt, nearest } from './keys.ts'
import { formatPath, type Path, type Problem } from './problems.ts'

export type Environment = Readonly<Record<string, string | undefined>>

const PREFIX = 'LARDER__'

export interface Overlay {
  /** The data with what the environment sets, `data` itself unchanged. */
  readonly data: unknown
  /** Dotted path → the variable that set it. */
  readonly variables: ReadonlyMap<string, string>
  readonly problems: readonly Problem[]
}

/** Lays the environment over the data of the file. */
export function overlayEnvironment(data: unknown, environment: Environment): Overlay {
  const variables = new Map<string, string>()
  const problems: Problem[] = []
  let result = data
  for (const [variable, text] of ourVariables(environment)) {
    const path = pathOf(variable)
    const message = typeof path === 'string' ? path : conflict(result, path, variables)
    if (typeof path === 'string' || message !== undefined) {
      problems.push({ variable, path: '', message: message ?? '' })
    } else {
      variables.set(formatPath(path), variable)
      result = withValue(result, path, readValue(path, text))
    }
  }
  return { data: result, variables, problems }
}

/** In an order in which a whole comes before its parts and item 2 before item 10. */
function ourVariables(environment: Environment): [string, string][] {
  return Object.entries(environment)
    .filter(
      (entry): entry is [string, string] => entry[0].startsWith(PREFIX) && entry[1] !== undefined,
    )
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
}

/** The key that a variable sets, or, as a text, why there is none. */
function pathOf(variable: string): Path | string {
  const path: (string | number)[] = []
  for (const part of variable.slice(PREFIX.length).split('__')) {
    const step = stepOf(path, part)
    if (step === undefined) return `no such key${suggestion(path, part)}`
    path.push(step)
  }
  return path
}

function stepOf(path: Path, part: string): string | number | undefined {
  if (isListAt(path)) return /^\d{1,3}$/.test(part) ? Number(part) : undefined
  return keysAt(path).find((key) => key.toLowerCase() === part.toLowerCase())
}

function suggestion(path: Path, part: string): string {
  if (isListAt(path)) return `: ${formatPath(path)} is a list, so a number from 0 has to follow`
  const near = nearest(part, keysAt(path))
  if (near === undefined) return ''
  return `; did you mean ${PREFIX}${[...path, near].join('__').toUpperCase()}?`
}

function conflict(
  data: unknown,
  path: Path,
  variables: ReadonlyMap<string, string>,
): string | undefined {
  const known = variables.get(formatPath(path))
  if (known !== undefined) return `${known} sets the same key`
  // A list grows by its next item only: a hole in it would be an item that nobody wrote.
  const hole = path.findIndex((step, index) => {
    const list = valueAt(data, path.slice(0, index))
    return typeof step === 'number' && step > (Array.isArray(list) ? list.length : 0)
  })
  return hole < 0 ? undefined : `${formatPath(path.slice(0, hole))} has no item before this one`
}

/**
 * A value is YAML, so that a list can be given in one variable. A key that takes text gets the text
 * as it stands (`10` is a name, `*` a glob), unless it is in quotes; a password always does.
 */
function readValue(path: Path, text: string): unknown {
  if (text === '') return null
  const isSecret = path.at(-1) === 'password'
  if (isSecret || (isTextAt(path) && !/^["']/.test(text))) return text
  return readYaml(text) ?? text
}

function readYaml(text: string): unknown {
  try {
    return parse(text, { prettyErrors: false, maxAliasCount: 0, logLevel: 'error' })
  } catch {
    // Not YAML: then it is a text, and the schema says what the key takes.
    return text
  }
}

/**
 * A copy with the value at `path`, of which every step is known to the schema. What is neither list
 * nor map where one has to be stays as it is, and the schema says so.
 */
function withValue(data: unknown, path: Path, value: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return value
  const present = data !== undefined && data !== null
  if (typeof step === 'number') {
    if (present && !Array.isArray(data)) return data
    const list = present ? [...data] : []
    list[step] = withValue(list[step], rest, value)
    return list
  }
  if (present && (typeof data !== 'object' || Array.isArray(data))) return data
  const map = (data ?? {}) as Record<string, unknown>
  return { ...map, [step]: withValue(map[step], rest, value) }
}
