import { resolve } from 'node:path'
import { Command } from 'commander'
import type { ConfigSource } from '../app/options.ts'
import { type App, startApp } from '../app.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problems.ts'
import { createLogger } from '../log.ts'
import { ExitError } from './exit.ts'
import { readJobSources } from './job-sources.ts'
import { programEnvironment, proxyEnvironment, workerEnvironment } from './process-environment.ts'
import { Signals } from './signals.ts'
import { storeExitError } from './store-errors.ts'
import type { Version } from './version.ts'

const EXIT_FAILURE = 1
const EXIT_CONFIG = 2

const EXAMPLES = `
Without -c it is ./config/larder.yaml, where there is one, else defaults that serve the usual registries.
SIGHUP reads it again.

Examples:
  larder serve
  larder serve -c /etc/larder/larder.yaml
  LARDER__SERVER__LISTEN=:6000 larder serve

Exit codes: 0 it was ended, 1 failure, 2 the configuration cannot be used, 75 another Larder has the data
directory.`

/** `larder serve` */
export function serveCommand(version: Version): Command {
  return new Command('serve')
    .description('run the cache until SIGTERM or SIGINT; a second one does not wait for pulls')
    .option('-c, --config <file>', 'the configuration file')
    .addHelpText('after', EXAMPLES)
    .action((options: { config?: string }) => serve(options.config, version))
}

async function serve(file: string | undefined, version: Version): Promise<void> {
  let app: App | undefined
  let wasHungUp = false
  const signals = new Signals(() => {
    // What comes during the start may be about a file that was read already.
    if (app === undefined) wasHungUp = true
    else void app.reload()
  })
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
  // It ends by that, and is started anew by whoever runs it: half alive it would be worse than dead.
  process.on('uncaughtExceptionMonitor', (err) => {
    logger.error({ err }, 'ended by a bug: please report it')
  })
  for (const warning of loaded.warnings) logger.warn(formatProblem(warning))
  const options = {
    config,
    origins: loaded.origins,
    logger,
    version: version.larder,
    revision: version.revision,
    proxyEnvironment: proxyEnvironment(env),
    programs: { environment: programEnvironment(env) },
    workers: { environment: workerEnvironment(env) },
    source: sourceOf(loaded),
    readSources: readJobSources,
  }
  app = await startApp(options).catch((error: unknown) => {
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
  const running = app
  if (wasHungUp) void running.reload()
  const signal = await signals.stopping
  // Told once it is so: whoever reads it may rely on it.
  const closed = running.close()
  logger.info({ signal }, 'draining')
  signals.hurried.then((second) => {
    logger.warn({ signal: second }, 'stopping now')
    running.hurry()
  }, logger.error)
  await closed
  logger.info('stopped')
}

function sourceOf({ file, stamp }: LoadedConfig): ConfigSource {
  const { env } = process
  const cwd = process.cwd()
  return {
    // A file that has gone is not the same as none: that would be the built-in defaults.
    load: () => loadConfig({ ...(file === undefined ? {} : { file }), env, cwd }),
    file: file === undefined ? undefined : resolve(cwd, file),
    stamp,
  }
}

/** One line for what an operator can mend. */
function toExitError(error: unknown): unknown {
  if (error instanceof ConfigError) return new ExitError(EXIT_CONFIG, error.format())
  const isListening = error instanceof Error && 'syscall' in error && error.syscall === 'listen'
  if (isListening && 'port' in error && 'address' in error && 'code' in error) {
    const where = `${error.address}:${error.port}`
    const why = error.code === 'EADDRINUSE' ? 'the port is in use' : `cannot listen (${error.code})`
    return new ExitError(EXIT_FAILURE, `${where}: ${why}: see server.listen and server.adminListen`)
  }
  return storeExitError(error)
}
