import { open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

import { compileConfig } from './compile.ts'
import type { Config } from './config.ts'
import { type ConfigDocument, parseConfigDocument } from './document.ts'
import { type Environment, type Overlay, overlayEnvironment } from './environment.ts'
import { writtenAt } from './inherit.ts'
import { type Origin, originAt, originsOf, variableAt } from './origins.ts'
import {
  ConfigError,
  compareProblems,
  formatPath,
  formatProblem,
  type Path,
  type Problem,
} from './problems.ts'
import { findBreaches } from './rules.ts'
import type { ConfigInput } from './schema.ts'
import { findMisfits, type Misfit } from './shape.ts'
import { type FileStamp, stampOf } from './stamp.ts'
import { findWarnings } from './warnings.ts'

export interface LoadOptions {
  /** Must exist. Without it: `LARDER_CONFIG`, else ./config/larder.yaml if there is one. */
  readonly file?: string
  readonly env: Environment
  /** What relative names on the command line and in the environment are relative to. */
  readonly cwd: string
}

export interface LoadedConfig {
  readonly config: Config
  /** As it was found; `undefined`: built-in defaults. */
  readonly file: string | undefined
  /** Of the file as it was read; any later change has another. */
  readonly stamp: FileStamp | undefined
  /** Where each value of the printed configuration comes from, by its dotted path. */
  readonly origins: ReadonlyMap<string, Origin>
  /** Accepted, but noteworthy. */
  readonly warnings: readonly Problem[]
  /** Says something of the value at `path`, with the place where it was written, if it was. */
  locate(path: Path, message: string): Problem
}

const DEFAULT_FILE = './config/larder.yaml'

/**
 * Reads the configuration: built-in defaults, under the file, under the environment.
 *
 * @throws {ConfigError} with every problem there is
 */
export async function loadConfig({ file: named, env, cwd }: LoadOptions): Promise<LoadedConfig> {
  const source = await readSource(named ?? (env['LARDER_CONFIG'] || undefined), cwd)
  const document = source === undefined ? undefined : parseConfigDocument(source.text, source.file)
  const overlay = overlayEnvironment(document?.data, env)
  const data = overlay.data ?? {}
  const toProblem = createLocator(source?.file, document, overlay)

  const misfits = findMisfits(data)
  const wrong = [...misfits, ...findBreaches(data, misfits)]
  const problems = [...overlay.problems, ...wrong.map(toProblem)].sort(compareProblems)
  if (problems.length > 0) throw new ConfigError(problems)

  const directory = source === undefined ? cwd : dirname(resolve(cwd, source.file))
  const config = compileConfig(data as ConfigInput, (path, name) =>
    resolve(originAt(data, overlay.variables, path) === 'file' ? directory : cwd, name),
  )
  const locate = (path: Path, message: string) =>
    toProblem({ path: writtenAt(data, path), message, isKey: false })
  // What stands under `defaults` is said once, not once an upstream.
  const warnings = new Map<string, Problem>()
  findWarnings(config, data, (path, message) => {
    const problem = locate(path, message)
    warnings.set(formatProblem(problem), problem)
  })
  return {
    config,
    file: source?.file,
    stamp: source?.stamp,
    origins: originsOf(config, data, overlay.variables),
    warnings: [...warnings.values()].sort(compareProblems),
    locate,
  }
}

/** Finds where a misfit stands: in a variable, in the file, or nowhere. */
function createLocator(
  file: string | undefined,
  document: ConfigDocument | undefined,
  { variables }: Overlay,
): (misfit: Misfit) => Problem {
  return ({ path, message, isKey }) => {
    const variable = variableAt(variables, path)
    const shown = { path: formatPath(path), message }
    if (variable !== undefined) return { variable, ...shown }
    if (file === undefined || document === undefined) return shown
    return { file, ...(isKey ? document.locateKey(path) : document.locate(path)), ...shown }
  }
}

interface Source {
  readonly file: string
  readonly text: string
  readonly stamp: FileStamp
}

async function readSource(named: string | undefined, cwd: string): Promise<Source | undefined> {
  const file = named ?? DEFAULT_FILE
  const found = await readStamped(resolve(cwd, file)).catch((cause: NodeJS.ErrnoException) => {
    if (named === undefined && cause.code === 'ENOENT') return undefined
    const reason = REASONS[cause.code ?? ''] ?? `cannot be read (${cause.code ?? 'unknown error'})`
    throw new ConfigError([{ file, path: '', message: reason }], { cause })
  })
  if (found === undefined) return undefined
  const { bytes, stamp } = found
  try {
    return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), stamp }
  } catch (cause) {
    throw new ConfigError([{ file, path: '', message: 'is not UTF-8 text' }], { cause })
  }
}

/** The stamp is taken first: what is written while it is read is a later change. */
async function readStamped(file: string) {
  await using handle = await open(file)
  const stamp = stampOf(await handle.stat({ bigint: true }))
  return { bytes: await handle.readFile(), stamp }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'cannot be read: permission denied',
  EISDIR: 'is a directory, not a file',
}
