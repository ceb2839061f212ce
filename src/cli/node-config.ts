/** `larder node-config RUNTIME`. Files go to standard output or to a folder, notes to standard error. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { resolve } from 'node:path'

import { Argument, Command, Option } from 'commander'

import { isLoopback, isWildcard } from '../config/addresses.ts'
import type { Config, UpstreamConfig } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { nodeAuthOf, registriesOf } from '../node-config/from-config.ts'
import { RUNTIMES, type Runtime, renderNodeConfig } from '../node-config/render.ts'
import {
  type ClientCertificate,
  type NodeConfig,
  NodeConfigError,
  type NodeSetup,
} from '../node-config/setup.ts'
import { ExitError } from './exit.ts'
import { writeNodeFiles } from './node-files.ts'
import { parseRegistryUrl, registryUrlAt } from './registry-url.ts'

const EXIT_USAGE = 2

interface NodeConfigOptions {
  readonly config?: string
  readonly url?: string
  readonly ca?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly upstream?: readonly string[]
  readonly allRegistries?: boolean
  readonly fallback: boolean
  readonly write?: string
  readonly force?: true
  readonly output: 'text' | 'json'
}

const EXAMPLES = `
Examples:
  larder node-config containerd --url https://larder.example:5000 --ca ca.pem
  larder node-config crio --no-fallback --write /
  larder node-config k3s --upstream docker.io ghcr.io -o json`

export function nodeConfigCommand(io: Surroundings): Command {
  return new Command('node-config')
    .description('print or write the files with which nodes pull through this Larder')
    .addArgument(new Argument('<runtime>', 'what runs on the nodes').choices(RUNTIMES))
    .option('-c, --config <file>', 'the configuration file')
    .option('--url <url>', 'Larder as nodes reach it; default: this host, and server.listen')
    .option('--ca <file>', 'PEM of the authority that issued its certificate')
    .option('--client-cert <path>', 'the client certificate, as a file on the nodes')
    .option('--client-key <path>', 'its key, as a file on the nodes')
    .option('--upstream <name...>', 'only these; default: every one that is configured')
    .option('--all-registries', 'one entry for every registry, also for those added later')
    .option('--no-fallback', 'nodes never ask a registry itself')
    .option('--write <dir>', 'write the files below this folder, such as /')
    .option('--force', 'with --write: also over files that differ')
    .addOption(new Option('-o, --output <format>').choices(['text', 'json']).default('text'))
    .addHelpText('after', EXAMPLES)
    .action((runtime: Runtime, options: NodeConfigOptions) => nodeConfig(runtime, options, io))
}

async function nodeConfig(
  runtime: Runtime,
  options: NodeConfigOptions,
  io: Surroundings,
): Promise<void> {
  const { config: file, write, force = false, output } = options
  if (force && write === undefined) throw new ExitError(EXIT_USAGE, '--force goes with --write')
  const { env, cwd } = io
  const { config } = await loadConfig({ ...(file === undefined ? {} : { file }), env, cwd })
  const { url, notes: doubts } = urlOf(config, options.url)
  const rendered = render(runtime, await setupOf(config, url, options, io))
  const { files } = rendered
  const notes = [...doubts, ...rendered.notes]
  const written =
    write === undefined ? undefined : await writeNodeFiles(resolve(cwd, write), files, force)
  if (output === 'json') {
    const shown = files.map(({ mode, ...one }) => ({ ...one, mode: `0${mode.toString(8)}` }))
    const document = { runtime, url, files: shown, notes, ...(written && { written }) }
    io.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`)
    return
  }
  io.stdout.write(written === undefined ? printed(rendered) : toLines(written))
  for (const note of notes) io.stderr.write(`note: ${note}\n`)
}

function toLines(written: Awaited<ReturnType<typeof writeNodeFiles>>): string {
  return written.map(({ path, isNew }) => `${isNew ? 'wrote' : 'as is'}  ${path}\n`).join('')
}

/** A header and an empty line keep the files apart for whoever reads. */
function printed({ files }: NodeConfig): string {
  return files.map(({ path, content }) => `# ${path}\n${content}`).join('\n')
}

function render(runtime: Runtime, setup: NodeSetup): NodeConfig {
  try {
    return renderNodeConfig(runtime, setup)
  } catch (error) {
    if (!(error instanceof NodeConfigError)) throw error
    throw new ExitError(EXIT_USAGE, error.message, { cause: error })
  }
}

async function setupOf(
  config: Config,
  url: string,
  { upstream, ca, allRegistries = false, fallback, ...rest }: NodeConfigOptions,
  { cwd }: Surroundings,
): Promise<NodeSetup> {
  return {
    url,
    registries: registriesOf(chosen(config.upstreams, upstream)),
    everything: allRegistries,
    ca: ca === undefined ? undefined : await readAuthority(resolve(cwd, ca)),
    fallback,
    auth: nodeAuthOf(config.auth, clientCertificateOf(rest)),
  }
}

function chosen(
  upstreams: readonly UpstreamConfig[],
  names: readonly string[] | undefined,
): readonly UpstreamConfig[] {
  if (names === undefined) return upstreams
  const unknown = names.find((name) => !upstreams.some((upstream) => upstream.name === name))
  if (unknown !== undefined) {
    const known = upstreams.map(({ name }) => name).join(', ')
    throw new ExitError(EXIT_USAGE, `no upstream is called ${unknown}; there are: ${known}`)
  }
  return upstreams.filter(({ name }) => names.includes(name))
}

function clientCertificateOf({
  clientCert,
  clientKey,
}: Pick<NodeConfigOptions, 'clientCert' | 'clientKey'>): ClientCertificate | undefined {
  if (clientCert === undefined && clientKey === undefined) return undefined
  if (clientCert === undefined || clientKey === undefined) {
    throw new ExitError(EXIT_USAGE, '--client-cert and --client-key go together')
  }
  return { certFile: clientCert, keyFile: clientKey }
}

/** Certificates alone, so that a key beside them in the same file is on no node. */
async function readAuthority(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ExitError(EXIT_USAGE, `cannot read ${file}: ${cause.code}`, { cause })
  })
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  try {
    if (blocks.length > 0) return blocks.map((pem) => new X509Certificate(pem).toString()).join('')
  } catch (cause) {
    throw new ExitError(EXIT_USAGE, `${file} holds a certificate that is damaged`, { cause })
  }
  throw new ExitError(EXIT_USAGE, `${file} holds no certificate in PEM`)
}

interface Reached {
  readonly url: string
  readonly notes: readonly string[]
}

/** What was said, or a guess by what the server listens on. */
function urlOf({ server }: Config, said: string | undefined): Reached {
  if (said !== undefined) return { url: parseRegistryUrl(said), notes: [] }
  const { host } = server.listen
  const isFixed = !isWildcard(host) && !isLoopback(host)
  const url = registryUrlAt(isFixed ? host : hostname(), server)
  const doubt = isLoopback(host)
    ? `server.listen is on loopback: no other machine reaches ${url}. Say --url for what is in front of it.`
    : `nodes have to reach ${url}; for another name or address say --url.`
  return { url, notes: [doubt] }
}
