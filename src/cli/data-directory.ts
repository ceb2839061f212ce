import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { openLocalAdmin } from '../app/local-admin.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { createLogger } from '../log.ts'
import type { Transport } from './admin-transport.ts'
import { ExitError } from './exit.ts'
import { readJobSources } from './job-sources.ts'
import { localTransport } from './local-transport.ts'
import { programEnvironment, proxyEnvironment } from './process-environment.ts'
import { storeExitError } from './store-errors.ts'
import { readVersion } from './version.ts'

const EXIT_USAGE = 2

export interface DataDirectoryOptions {
  /** As it was said. */
  readonly dataDir: string
  /** The configuration file: what registries there are, for what is named or fetched. */
  readonly file: string | undefined
}

/**
 * Opens a data directory that no server has, for as long as the command runs.
 *
 * @throws {ConfigError}
 * @throws {ExitError} 2 where there is no such directory: nothing is created; 75 where it is in use
 */
export async function openDataDirectory(
  { dataDir, file }: DataDirectoryOptions,
  io: Surroundings,
): Promise<Transport> {
  const { env, cwd, stderr } = io
  const path = resolve(cwd, dataDir)
  requireDataDirectory(path)
  warnOfOtherOwner(path, io)
  const { config, origins } = await loadConfig({
    ...(file === undefined ? {} : { file }),
    env,
    cwd,
  })
  const destination = { write: (line: string) => void stderr.write(line) }
  const admin = await openLocalAdmin({
    config: at(path, config),
    origins,
    logger: createLogger({ level: 'warn', format: 'text', destination }),
    version: readVersion().larder,
    proxyEnvironment: proxyEnvironment(env),
    programs: { environment: programEnvironment(env) },
    readSources: readJobSources,
  }).catch((error: unknown) => {
    const advice = 'to have it do this, leave --data-dir out, and say -c or --server'
    throw storeExitError(error, advice)
  })
  const { handler, close } = admin
  return localTransport({ name: path, handler, close })
}

function at(path: string, config: Config): Config {
  return { ...config, storage: { ...config.storage, path } }
}

/** Of a folder that is no data directory nothing is made one: it may hold the blobs of another tool. */
function requireDataDirectory(path: string): void {
  if (!isDirectory(path)) throw unusable(path, 'there is no such directory')
  const hasDatabase = statSync(join(path, 'larder.db'), { throwIfNoEntry: false }) !== undefined
  if (hasDatabase || (isDirectory(join(path, 'blobs')) && isDirectory(join(path, 'ingest')))) return
  throw unusable(path, 'it is no data directory of Larder: neither larder.db nor blobs/ is in it')
}

/** What root writes here the server may not be able to read, a pin for example. */
function warnOfOtherOwner(path: string, { stderr }: Surroundings): void {
  const { uid } = statSync(path)
  if (process.geteuid?.() !== 0 || uid === 0) return
  const advice = `if the server runs as that user, run this so too: sudo -u '#${uid}' …`
  stderr.write(`warning: ${path} belongs to user ${uid}, and this runs as root: ${advice}\n`)
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  } catch (error) {
    throw unusable(path, error instanceof Error ? error.message : String(error))
  }
}

function unusable(path: string, reason: string): ExitError {
  return new ExitError(EXIT_USAGE, `--data-dir ${path}: ${reason}`)
}
