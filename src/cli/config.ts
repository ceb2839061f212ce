/** `larder config check|print|schema`. Data goes to standard output, messages to standard error. */
import { Command, Option } from 'commander'
import { Document, isScalar } from 'yaml'

import { type LoadedConfig, loadConfig } from '../config/load.ts'
import type { Origin } from '../config/origins.ts'
import { renderConfig } from '../config/print.ts'
import { ConfigError, formatProblem } from '../config/problems.ts'
import { configJsonSchema } from '../config/schema.ts'
import { processSurroundings, type Surroundings } from '../config/surroundings.ts'
import { ExitError } from './exit.ts'

/** Usage or configuration. */
const EXIT_CONFIG = 2

const EXAMPLES = `
Examples:
  larder config check -c larder.yaml
  larder config print --origin
  larder config schema > larder.schema.json`

export interface PrintOptions {
  readonly config?: string
  /** Say where each value comes from. */
  readonly origin?: boolean
  readonly output: 'yaml' | 'json'
}

/** The `config` command with its subcommands, for `main` to add. */
export function configCommand(io: Surroundings = processSurroundings()): Command {
  const file = ['-c, --config <file>', 'the configuration file'] as const
  const command = new Command('config')
    .description('check and show the configuration')
    .addHelpText('after', EXAMPLES)
  command
    .command('check')
    .description('say what is wrong with the configuration (exit 2), or that nothing is')
    .option(...file)
    .action(({ config }: { config?: string }) => checkConfig(config, io))
  command
    .command('print')
    .description('print the configuration in effect, without secrets')
    .option(...file)
    .option('--origin', 'say where each value comes from: default, file or env')
    .addOption(new Option('-o, --output <format>').choices(['yaml', 'json']).default('yaml'))
    .action((options: PrintOptions) => printConfig(options, io))
  command
    .command('schema')
    .description('print the JSON Schema of the configuration file')
    .action(() => printSchema(io))
  return command
}

/** @throws {ExitError} 2 with every problem, one a line */
export async function checkConfig(file: string | undefined, io: Surroundings): Promise<void> {
  const loaded = await load(file, io)
  for (const warning of loaded.warnings) {
    io.stderr.write(`${formatProblem({ ...warning, message: `warning: ${warning.message}` })}\n`)
  }
  io.stdout.write(`${loaded.file ?? 'built-in configuration'}: ok\n`)
}

/** @throws {ExitError} 2 with every problem, one a line */
export async function printConfig(options: PrintOptions, io: Surroundings): Promise<void> {
  const { config, origins } = await load(options.config, io)
  const shown = renderConfig(config)
  const known = options.origin ? origins : new Map<string, Origin>()
  io.stdout.write(options.output === 'yaml' ? toYaml(shown, known) : toJson(shown, known))
}

export function printSchema({ stdout }: Pick<Surroundings, 'stdout'>): void {
  stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`)
}

async function load(file: string | undefined, { env, cwd }: Surroundings): Promise<LoadedConfig> {
  try {
    return await loadConfig({ ...(file === undefined ? {} : { file }), env, cwd })
  } catch (error) {
    if (error instanceof ConfigError)
      throw new ExitError(EXIT_CONFIG, error.format(), { cause: error })
    throw error
  }
}

function toJson(shown: object, origins: ReadonlyMap<string, Origin>): string {
  const document =
    origins.size === 0 ? shown : { config: shown, origins: Object.fromEntries(origins) }
  return `${JSON.stringify(document, undefined, 2)}\n`
}

/** Origins are comments behind the values, so that what is printed still is a configuration. */
function toYaml(shown: object, origins: ReadonlyMap<string, Origin>): string {
  const document = new Document(shown, { aliasDuplicateObjects: false })
  for (const [path, origin] of origins) {
    const node = document.getIn(path.split('.'), true)
    // Behind an empty list a comment would take two more lines.
    if (isScalar(node)) node.comment = ` ${origin}`
  }
  return `${document.toString({ lineWidth: 0 }).trimEnd()}\n`
}
