/** `larder upstreams`. Results go to standard output, messages to standard error. */
import { Command } from 'commander'

import type { UpstreamReport, UpstreamWalk } from '../admin/ports/upstreams.ts'
import type { Config, UpstreamConfig } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problems.ts'
import { processSurroundings, type Surroundings } from '../config/surroundings.ts'
import { createLogger } from '../log.ts'
import { createWalk, type RegistryDependencies } from '../upstream/factory.ts'
import { NO_OBSERVER } from '../upstream/observers.ts'
import type { Step, WalkTarget } from '../upstream/walk-step.ts'
import { parseWalkTarget } from '../upstream/walk-target.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addAdminOptions,
  outputOption,
} from './admin-client.ts'
import { ExitError } from './exit.ts'
import { printable, printableJson } from './printable.ts'
import { programEnvironment, proxyEnvironment } from './process-environment.ts'
import { type Configured, configuredLines, upstreamLines } from './upstreams-table.ts'
import type { Version } from './version.ts'

/** Usage or configuration. */
const EXIT_CONFIG = 2
/** Upstream or credentials. */
const EXIT_UPSTREAM = 5
const EXIT_NOT_FOUND = 6

interface UpstreamsOptions extends AdminClientOptions {
  readonly output: 'table' | 'json'
  readonly reason?: string
}

const EXAMPLES = `
A running server says how each registry is. Without one the configuration is listed; test walks from
this machine, and with --server from there. A blocked registry is not asked any more, also after a
restart: what is in the cache is served, everything else fails at once.

Examples:
  larder upstreams
  larder upstreams -o json
  larder upstreams test ghcr.io acme/app:v1
  larder upstreams block docker.io --reason 'wrong digests since noon'
  larder upstreams unblock docker.io

Exit codes: 0 ok, 5 a test ended before its last step, 6 there is no such upstream.`

/** The `upstreams` command with its subcommands, for `run` to add. */
export function upstreamsCommand(
  version: Version,
  io: Surroundings = processSurroundings(),
): Command {
  const command = addAdminOptions(new Command('upstreams'))
    .description('say how the configured registries are')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
    .action((options: UpstreamsOptions) => listUpstreams(options, io))
  const child = (name: string, description: string) =>
    addAdminOptions(command.command(name).description(description))
      .argument('<name>', "the upstream's name")
      .addOption(outputOption())
  child('test', 'walk the way to a registry and say at which step it ends (exit 5)')
    .argument('[ref]', 'an image to ask for, such as acme/app:v1')
    .action((name: string, ref: string | undefined, _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<UpstreamsOptions>()
      const asked = { name, ref }
      return options.server === undefined
        ? testUpstream(asked, options, version, io)
        : testFromServer(asked, options, io)
    })
  child('block', 'have a registry not asked any more')
    .option('--reason <text>', 'for whoever comes next')
    .action((name: string, _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<UpstreamsOptions>()
      return change(name, 'block', { reason: options.reason }, options, io)
    })
  child('unblock', 'have a registry asked again').action(
    (name: string, _options: unknown, self: Command) =>
      change(name, 'unblock', {}, self.optsWithGlobals<UpstreamsOptions>(), io),
  )
  return command
}

/** As the server sees them; where none answers, as they are configured. */
async function listUpstreams(options: UpstreamsOptions, io: Surroundings): Promise<void> {
  const reports = await readReports(options, io)
  const shown = reports ?? (await configuredUpstreams(options, io))
  if (options.output === 'json') {
    io.stdout.write(printableJson(shown))
    return
  }
  const lines =
    reports === undefined ? configuredLines(shown as readonly Configured[]) : upstreamLines(reports)
  for (const line of lines) io.stdout.write(`${line}\n`)
}

/** `undefined`: nobody has said where a server is, and none answers where it would be. */
async function readReports(
  options: UpstreamsOptions,
  io: Surroundings,
): Promise<readonly UpstreamReport[] | undefined> {
  try {
    await using client = await AdminClient.open(options, io)
    const answer = (await client.get('/upstreams')) as { upstreams: readonly UpstreamReport[] }
    return answer.upstreams
  } catch (error) {
    if (!(error instanceof ExitError) || options.server !== undefined) throw error
    io.stderr.write(`as configured; how they are is not known: ${error.message}\n`)
    return undefined
  }
}

async function configuredUpstreams({ config }: UpstreamsOptions, io: Surroundings) {
  const { upstreams } = await load(config, io)
  return upstreams.map(({ name, url, access, credentials }): Configured => {
    return { name, url, access, credentials: credentials.length }
  })
}

async function change(
  name: string,
  action: 'block' | 'unblock',
  body: object,
  options: UpstreamsOptions,
  io: Surroundings,
): Promise<void> {
  await using client = await AdminClient.open(options, io)
  const path = `/upstreams/${encodeURIComponent(name)}/${action}`
  const report = (await client.post(path, body)) as UpstreamReport
  if (options.output === 'json') io.stdout.write(printableJson(report))
  else for (const line of upstreamLines([report])) io.stdout.write(`${line}\n`)
}

async function testFromServer(
  { name, ref }: { readonly name: string; readonly ref: string | undefined },
  options: UpstreamsOptions,
  io: Surroundings,
): Promise<void> {
  await using client = await AdminClient.open(options, io)
  const path = `/upstreams/${encodeURIComponent(name)}/test`
  const walk = (await client.post(path, { image: ref })) as UpstreamWalk
  if (options.output === 'json') io.stdout.write(printableJson(walk))
  else for (const step of walk.steps) io.stdout.write(`${printable(formatStep(step))}\n`)
  if (!walk.ok) throw new ExitError(EXIT_UPSTREAM)
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
    throw new ExitError(EXIT_NOT_FOUND, `no upstream is called ${name}; there are: ${names}`)
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

function formatStep({
  step,
  ok,
  detail,
  advice,
}: Pick<Step, 'ok' | 'detail' | 'advice'> & { readonly step: string }): string {
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
