import { Command, CommanderError } from 'commander'

import { ConfigError } from '../config/problems.ts'
import { processSurroundings, type Surroundings } from '../config/surroundings.ts'
import { ExitError } from './exit.ts'
import { processTerminal, type Terminal } from './terminal.ts'
import { readVersion, type Version } from './version.ts'
import { keepYoungSpaceSmall } from './young-space.ts'

const EXIT_USAGE = 2

interface Given {
  readonly version: Version
  readonly io: Surroundings
  readonly terminal: Terminal
}

interface Entry {
  readonly name: string
  readonly load: (given: Given) => Promise<Command>
}

/** Loaded when they are asked for: a health check must not cost what a server does. */
const COMMANDS: readonly Entry[] = [
  {
    name: 'serve',
    load: async ({ version }) => (await import('./serve.ts')).serveCommand(version),
  },
  {
    name: 'upstreams',
    load: async ({ version, io }) => (await import('./upstreams.ts')).upstreamsCommand(version, io),
  },
  { name: 'ls', load: async ({ io }) => (await import('./ls.ts')).lsCommand(io) },
  {
    name: 'inspect',
    load: async ({ io }) => (await import('./inspect.ts')).inspectCommand(io),
  },
  {
    name: 'stats',
    load: async ({ io, terminal }) => (await import('./stats.ts')).statsCommand(io, terminal),
  },
  { name: 'pin', load: async ({ io }) => (await import('./pin.ts')).pinCommand(io) },
  { name: 'unpin', load: async ({ io }) => (await import('./unpin.ts')).unpinCommand(io) },
  {
    name: 'purge',
    load: async ({ io, terminal }) => (await import('./purge.ts')).purgeCommand(io, terminal),
  },
  { name: 'gc', load: async ({ io }) => (await import('./gc.ts')).gcCommand(io) },
  {
    name: 'verify',
    load: async ({ io, terminal }) => (await import('./verify.ts')).verifyCommand(io, terminal),
  },
  { name: 'reload', load: async ({ io }) => (await import('./reload.ts')).reloadCommand(io) },
  {
    name: 'doctor',
    load: async ({ version, io }) => (await import('./doctor.ts')).doctorCommand(version, io),
  },
  {
    name: 'node-config',
    load: async ({ io }) => (await import('./node-config.ts')).nodeConfigCommand(io),
  },
  { name: 'images', load: async ({ io }) => (await import('./images.ts')).imagesCommand(io) },
  {
    name: 'preload',
    load: async ({ io, terminal }) => (await import('./preload.ts')).preloadCommand(io, terminal),
  },
  {
    name: 'check',
    load: async ({ io, terminal }) => (await import('./check.ts')).checkCommand(io, terminal),
  },
  {
    name: 'import',
    load: async ({ io, terminal }) => {
      keepYoungSpaceSmall()
      return (await import('./import.ts')).importCommand(io, terminal)
    },
  },
  {
    name: 'export',
    load: async ({ io, terminal }) => {
      keepYoungSpaceSmall()
      return (await import('./export.ts')).exportCommand(io, terminal)
    },
  },
  {
    name: 'jobs',
    load: async ({ io, terminal }) => (await import('./jobs.ts')).jobsCommand(io, terminal),
  },
  { name: 'config', load: async ({ io }) => (await import('./config.ts')).configCommand(io) },
  {
    name: 'healthcheck',
    load: async ({ io }) => (await import('./healthcheck.ts')).healthcheckCommand(io),
  },
  {
    name: 'completion',
    load: async (given) =>
      (await import('./completion.ts')).completionCommand(given.io, () =>
        createProgram(COMMANDS, given),
      ),
  },
  {
    name: 'version',
    load: async ({ version }) => (await import('./version.ts')).versionCommand(version),
  },
]

/**
 * @returns the exit code: 0 ok, 1 failure, 2 usage or configuration, 3 partial, 4 integrity,
 *   5 upstream or credentials, 6 not found, 7 no room, 75 data directory in use, 130 Ctrl-C
 */
export async function run(
  argv: readonly string[],
  io: Surroundings = processSurroundings(),
  terminal: Terminal = processTerminal(),
): Promise<number> {
  const given = { version: readVersion(), io, terminal }
  const named = COMMANDS.filter(({ name }) => name === argv[2])
  const program = await createProgram(named.length > 0 ? named : COMMANDS, given)
  try {
    await program.parseAsync(argv)
    return 0
  } catch (error) {
    return report(error, io)
  }
}

async function createProgram(entries: readonly Entry[], given: Given): Promise<Command> {
  const { version, io } = given
  const program = new Command('larder')
    .description('A pull-through cache for container images')
    .version(version.larder)
    .showHelpAfterError('(add --help for what can be said here)')
    .exitOverride()
    .configureOutput(outputTo(io))
  for (const { load } of entries) program.addCommand(await load(given))
  for (const command of program.commands) inherit(command, io)
  return program
}

function inherit(command: Command, io: Surroundings): void {
  command.exitOverride().configureOutput(outputTo(io))
  for (const child of command.commands) inherit(child, io)
}

function outputTo({ stdout, stderr }: Surroundings) {
  return {
    writeOut: (text: string) => void stdout.write(text),
    writeErr: (text: string) => void stderr.write(text),
  }
}

function report(error: unknown, { stderr }: Surroundings): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  if (error instanceof ConfigError) {
    stderr.write(`${error.format()}\n`)
    return EXIT_USAGE
  }
  if (error instanceof ExitError) {
    if (error.message !== '') stderr.write(`${error.message}\n`)
    return error.exitCode
  }
  stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  return 1
}
