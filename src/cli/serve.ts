import { Command } from 'commander'

import { type App, startApp } from '../app.ts'
import { loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problems.ts'
import { createLogger, type Logger } from '../log.ts'
import { DataDirectoryError, DataDirectoryInUseError, NewerSchemaError } from '../store/errors.ts'
import { ExitError } from './exit.ts'
import type { Version } from './version.ts'

const EXIT_FAILURE = 1
const EXIT_CONFIG = 2
const EXIT_IN_USE = 75

/** `larder serve` */
export function serveCommand(version: Version): Command {
  return new Command('serve')
    .description('run the cache until SIGTERM or SIGINT; a second one does not wait for pulls')
    .option('-c, --config <file>', 'the configuration file')
    .action((options: { config?: string }) => serve(options.config, version))
}

async function serve(file: string | undefined, version: Version): Promise<void> {
  const { env } = process
  const loaded = await loadConfig({
    ...(file === undefined ? {} : { file }),
    env,
    cwd: process.cwd(),
  }).catch((error: unknown) => {
    throw error instanceof ConfigError ? new ExitError(EXIT_CONFIG, error.format()) : error
  })
  const { config } = loaded
  const logger = createLogger(config.log)
  for (const warning of loaded.warnings) logger.warn(formatProblem(warning))
  const proxyEnvironment = {
    httpsProxy: env['HTTPS_PROXY'] ?? env['https_proxy'],
    httpProxy: env['HTTP_PROXY'] ?? env['http_proxy'],
    noProxy: env['NO_PROXY'] ?? env['no_proxy'],
  }
  const options = { config, logger, version: version.larder, proxyEnvironment }
  const app = await startApp(options).catch((error: unknown) => {
    throw toExitError(error)
  })
  logger.info(
    {
      registry: app.registryUrl,
      admin: app.adminUrl,
      config: loaded.file ?? 'built-in defaults',
      data: config.storage.path,
      version: version.larder,
    },
    'listening',
  )
  await stopped(app, logger)
}

/** Resolves when a signal has ended the server. */
async function stopped(app: App, logger: Logger): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let isStopping = false
  const stop = (signal: string) => {
    if (isStopping) {
      logger.warn({ signal }, 'stopping now')
      app.hurry()
      return
    }
    isStopping = true
    logger.info({ signal }, 'draining')
    app.close().then(resolve, reject)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  await promise
  logger.info('stopped')
}

/** One line for what an operator can mend. */
function toExitError(error: unknown): unknown {
  if (error instanceof DataDirectoryInUseError) return new ExitError(EXIT_IN_USE, error.message)
  if (error instanceof DataDirectoryError || error instanceof NewerSchemaError) {
    return new ExitError(EXIT_FAILURE, error.message)
  }
  if (!(error instanceof Error) || !('syscall' in error)) return error
  if (error.syscall === 'listen' && 'port' in error && 'address' in error && 'code' in error) {
    const where = `${error.address}:${error.port}`
    const why = error.code === 'EADDRINUSE' ? 'the port is in use' : `cannot listen (${error.code})`
    return new ExitError(EXIT_FAILURE, `${where}: ${why}: see server.listen and server.adminListen`)
  }
  return new ExitError(EXIT_FAILURE, error.message)
}
