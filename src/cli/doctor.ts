/** `larder doctor`. What it finds goes to standard output, as it is found. */
import { Command } from 'commander'

import { isWildcard } from '../config/addresses.ts'
import type { Config } from '../config/config.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problems.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { RegistryError } from '../oci/errors.ts'
import { type ImageReference, parseImageReference } from '../oci/reference.ts'
import { outputOption } from './admin-client.ts'
import { adminUrlOf, parseServerUrl } from './admin-url.ts'
import { type Finding, fail, formatFinding, ok, warn } from './doctor/finding.ts'
import { examineRegistries } from './doctor/registries.ts'
import { examineCertificate, examinePull, examineServer } from './doctor/server.ts'
import { examineStorage } from './doctor/storage.ts'
import { ExitError } from './exit.ts'
import { parseRegistryUrl, registryUrlAt } from './registry-url.ts'
import type { Version } from './version.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2

interface DoctorOptions {
  readonly config?: string
  readonly server?: string
  readonly url?: string
  readonly image?: string
  readonly output: 'table' | 'json'
}

const EXAMPLES = `
Examples:
  larder doctor -c /etc/larder/larder.yaml
  larder doctor --image docker.io/library/alpine:3.22
  larder doctor --url https://larder.example:5000 -o json`

export function doctorCommand({ larder }: Version, io: Surroundings): Command {
  return new Command('doctor')
    .description('find what is wrong, on this side or on that of the registries (exit 1)')
    .option('-c, --config <file>', 'the configuration file')
    .option('--server <url>', 'the admin listener, instead of the one in the configuration')
    .option('--url <url>', 'the registry API, instead of server.listen on this machine')
    .option('--image <ref>', 'an image to pull through the server, such as alpine:3.22')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
    .action((options: DoctorOptions) => doctor(options, larder, io))
}

async function doctor(options: DoctorOptions, version: string, io: Surroundings): Promise<void> {
  const { output, image } = options
  const wanted = image === undefined ? undefined : parseImage(image)
  const findings: Finding[] = []
  const tell = (...more: readonly Finding[]) => {
    findings.push(...more)
    if (output === 'json') return
    for (const finding of more) io.stdout.write(`${formatFinding(finding)}\n`)
  }
  const loaded = await examineConfig(options.config, io, tell)
  if (loaded !== undefined) await examine(loaded.config, { ...options, wanted }, version, io, tell)
  const isWell = findings.every(({ status }) => status !== 'fail')
  if (output === 'json') {
    io.stdout.write(`${JSON.stringify({ ok: isWell, findings }, undefined, 2)}\n`)
  }
  if (!isWell) throw new ExitError(EXIT_FAILURE)
}

type Tell = (...findings: readonly Finding[]) => void

async function examine(
  config: Config,
  options: DoctorOptions & { readonly wanted: ImageReference | undefined },
  version: string,
  io: Surroundings,
  tell: Tell,
): Promise<void> {
  const { storage, server, upstreams, offline } = config
  tell(...(await examineStorage(storage)))
  if (server.tls !== undefined) tell(await examineCertificate(server.tls, Date.now()))
  const admin = options.server === undefined ? adminUrlOf(config) : parseServerUrl(options.server)
  const { isUp, findings } = await examineServer(admin)
  tell(...findings)
  if (offline) tell(ok('registries', 'offline: none is ever asked'))
  else await examineRegistries(upstreams, version, io, tell)
  // Without a server there is nothing to pull through, and that was said.
  if (isUp || options.url !== undefined || options.wanted !== undefined) {
    tell(await examinePull(urlOf(config, options.url), options.wanted))
  }
}

async function examineConfig(
  file: string | undefined,
  { env, cwd }: Surroundings,
  tell: Tell,
): Promise<LoadedConfig | undefined> {
  try {
    const loaded = await loadConfig({ ...(file === undefined ? {} : { file }), env, cwd })
    tell(ok('config', loaded.file ?? 'built-in defaults'))
    const advice = 'see larder config check'
    tell(...loaded.warnings.map((problem) => warn('config', formatProblem(problem), advice)))
    return loaded
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const advice = 'mend it; nothing else can be looked at before'
    tell(...error.problems.map((problem) => fail('config', formatProblem(problem), advice)))
    return undefined
  }
}

function urlOf({ server }: Config, said: string | undefined): string {
  if (said !== undefined) return parseRegistryUrl(said)
  const { host } = server.listen
  const loopback = host === '::' ? '::1' : '127.0.0.1'
  return registryUrlAt(isWildcard(host) ? loopback : host, server)
}

function parseImage(text: string): ImageReference {
  try {
    return parseImageReference(text)
  } catch (cause) {
    if (!(cause instanceof RegistryError)) throw cause
    throw new ExitError(EXIT_USAGE, `${text} is not an image such as ghcr.io/acme/app:v1`, {
      cause,
    })
  }
}
