import { Command, CommanderError } from 'commander'

import { ConfigError } from '../config/problems.ts'
import { ExitError } from './exit.ts'
import { readVersion, type Version } from './version.ts'

const EXIT_USAGE = 2

/** Loaded when they are asked for: a health check must not cost what a server does. */
const COMMANDS: readonly {
  readonly name: string
  readonly load: (version: Version) => Promise<Command>
}[] = [
  { name: 'serve', load: async (version) => (await import('./serve.ts')).serveCommand(version) },
  {
    name: 'upstreams',
    load: async (version) => (await import('./upstreams.ts')).upstreamsCommand(version),
  },
  { name: 'config', load: async () => (await import('./config.ts')).configCommand() },
  { name: 'pin', load: async () => (await import('./pin.ts')).pinCommand() },
  { name: 'unpin', load: async () => (await import('./unpin.ts')).unpinCommand() },
  { name: 'purge', load: async () => (await import('./purge.ts')).purgeCommand() },
  { name: 'gc', load: async () => (await import('./gc.ts')).gcCommand() },
  { name: 'verify', load: async () => (await import('./verify.ts')).verifyCommand() },
  { name: 'reload', load: async () => (await import('./reload.ts')).reloadCommand() },
  {
    name: 'healthcheck',
    load: async () => (await import('./healthcheck.ts')).healthcheckCommand(),
  },
  {
    name: 'version',
    load: async (version) => (await import('./version.ts')).versionCommand(version),
  },
]

/**
 * @returns the exit code: 0 ok, 1 failure, 2 usage or configuration, 3 partial, 4 integrity,
 *   5 upstream or credentials, 6 not found, 75 data directory in use
 */
export async function run(argv: readonly string[]): Promise<number> {
  const version = readVersion()
  const program = new Command('larder')
    .description('A pull-through cache for container images')
    .version(version.larder)
    .showHelpAfterError('(add --help for what can be said here)')
    .exitOverride()
  const named = COMMANDS.filter(({ name }) => name === argv[2])
  for (const { load } of named.length > 0 ? named : COMMANDS) {
    program.addCommand(await load(version))
  }
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
