import { Command, CommanderError } from 'commander'

import { ConfigError } from '../config/problems.ts'
import { configCommand } from './config.ts'
import { ExitError } from './exit.ts'
import { healthcheckCommand } from './healthcheck.ts'
import { serveCommand } from './serve.ts'
import { readVersion, versionCommand } from './version.ts'

const EXIT_USAGE = 2

/** @returns the exit code: 0 ok, 1 failure, 2 usage or configuration, 75 data directory in use */
export async function run(argv: readonly string[]): Promise<number> {
  const version = readVersion()
  const program = new Command('larder')
    .description('A pull-through cache for container images')
    .version(version.larder)
    .showHelpAfterError('(add --help for what can be said here)')
    .exitOverride()
  program.addCommand(serveCommand(version))
  program.addCommand(configCommand())
  program.addCommand(healthcheckCommand())
  program.addCommand(versionCommand(version))
  for (const command of program.commands) inherit(command)
  try {
    await program.parseAsync(argv)
    return 0
  } catch (error) {
    return report(error)
  }
}

function inherit(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) inherit(child)
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.format()}\n`)
    return EXIT_USAGE
  }
  if (error instanceof ExitError) {
    if (error.message !== '') process.stderr.write(`${error.message}\n`)
    return error.exitCode
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  return 1
}
