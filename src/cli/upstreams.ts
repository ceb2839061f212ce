/** `larder upstreams [test NAME [REF]]`. Results go to standard output, messages to standard error. */
import { Command, Option } from 'commander'

import type { Config, UpstreamConfig } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problems.ts'
import { processSurroundings, type Surroundings } from '../config/surroundings.ts'
import { createLogger } from '../log.ts'
import { createWalk, type RegistryDependencies } from '../upstream/factory.ts'
import { NO_OBSERVER } from '../upstream/observers.ts'
import type { Step, WalkTarget } from '../upstream/walk-step.ts'
import { parseWalkTarget } from '../upstream/walk-target.ts'
import { ExitError } from './exit.ts'
import { programEnvironment, proxyEnvironment } from './process-environment.ts'
import { toColumns } from './table.ts'
import type { Version } from './version.ts'

/** Usage or configuration. */
const EXIT_CONFIG = 2
/** Upstream or credentials. */
const EXIT_UPSTREAM = 5

interface UpstreamsOptions {
  readonly config?: string
  readonly output: 'table' | 'json'
}

/** The `upstreams` command with its subcommand, for `run` to add. */
export function upstreamsCommand(
  version: Version,
  io: Surroundings = processSurroundings(),
): Command {
  const file = ['-c, --config <file>', 'the configuration file'] as const
  const output = () =>
    new Option('-o, --output <format>').choices(['table', 'json']).default('table')
  const command = new Command('upstreams')
    .description('list the configured registries')
    .option(...file)
    .addOption(output())
    .action(async (options: UpstreamsOptions) => listUpstreams(options, io))
  command
    .command('test')
    .description('walk the way to a registry and say at which step it ends (exit 5)')
    .argument('<name>', "the upstream's name")
    .argument('[ref]', 'an image to ask for, such as acme/app:v1')
    .option(...file)
    .addOption(output())
    .action(async (name: string, ref: string | undefined, _options: unknown, self: Command) => {
      await testUpstream({ name, ref }, self.optsWithGlobals<UpstreamsOptions>(), version, io)
    })
  return command
}

async function listUpstreams(options: UpstreamsOptions, io: Surroundings): Promise<void> {
  const { upstreams } = await load(options.config, io)
  const rows = upstreams.map(({ name, url, access, credentials }) => {
    return { name, url, access, credentials: credentials.length }
  })
  if (options.output === 'json') {
    io.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  const header = ['NAME', 'URL', 'ACCESS', 'CREDENTIALS']
  const cells = rows.map((row) => [row.name, row.url, row.access, String(row.credentials)])
  for (const line of toColumns([header, ...cells])) io.stdout.write(`${line}\n`)
}

async function testUpstream(
  { name, ref }: { readonly name: string; readonly ref: string | undefined },
  options: UpstreamsOptions,
  { larder }: Version,
  io: Surroundings,
): Promise<void> {
  const { upstreams } = await load(options.config, io)
  const config = upstreams.find((one) => one.name === name)
  if (config === undefined) {
    const names = upstreams.map((one) => one.name).join(', ')
    throw new ExitError(EXIT_CONFIG, `no upstream is called ${name}; there are: ${names}`)
  }
  const target = ref === undefined ? undefined : parseTarget(config, ref)
  const walk = openWalk(config, larder, io)
  const steps: Step[] = []
  try {
    for await (const step of walk.take(target)) {
      steps.push(step)
      if (options.output === 'table') io.stdout.write(`${formatStep(step)}\n`)
    }
  } finally {
    await walk.close()
  }
  const ok = steps.every((step) => step.ok)
  if (options.output === 'json') {
    io.stdout.write(`${JSON.stringify({ upstream: name, ok, steps }, undefined, 2)}\n`)
  }
  if (!ok) throw new ExitError(EXIT_UPSTREAM)
}

function parseTarget(config: UpstreamConfig, ref: string): WalkTarget {
  const target = parseWalkTarget(config, ref)
  if (target !== undefined) return target
  throw new ExitError(EXIT_CONFIG, `${ref} is not an image such as acme/app:v1`)
}

/**
 * The way to a registry with what the process is started with; to be closed.
 *
 * @throws {ExitError} 2 where a file that the upstream names cannot be read
 */
export function openWalk(config: UpstreamConfig, version: string, { env }: Surroundings) {
  const dependencies: RegistryDependencies = {
    logger: createLogger({ level: 'silent', format: 'json' }),
    observe: NO_OBSERVER,
    clock: { now: () => Date.now(), elapsed: () => performance.now() },
    random: Math.random,
    sleep: async () => {},
    proxyEnvironment: proxyEnvironment(env),
    programs: { environment: programEnvironment(env) },
    version,
  }
  try {
    return createWalk(config, dependencies)
  } catch (error) {
    // A file that the upstream names.
    throw new ExitError(EXIT_CONFIG, error instanceof Error ? error.message : String(error))
  }
}

function formatStep({ step, ok, detail, advice }: Step): string {
  const line = `${(ok ? 'ok' : 'FAILED').padEnd(6)}  ${step.padEnd(10)}  ${detail}`
  return advice === undefined ? line : `${line}: ${advice}`
}

async function load(file: string | undefined, { env, cwd }: Surroundings): Promise<Config> {
  try {
    return (await loadConfig({ ...(file === undefined ? {} : { file }), env, cwd })).config
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ExitError(EXIT_CONFIG, error.format(), { cause: error })
  }
}
