import { loginNotes, NAME_CERTIFICATE } from './notes.ts'
import {
  hostOf,
  isFoundByName,
  isPlain,
  type NodeConfig,
  NodeConfigError,
  type NodeRegistry,
  type NodeSetup,
  nodeFile,
} from './setup.ts'
import { tomlString, tomlStrings, toText } from './toml.ts'

const ROOT = '/etc/buildkit'
/** Without TLS. */
const PLAIN = 'http = true'
const CA_FILE = `${ROOT}/larder-ca.crt`

/**
 * https://github.com/moby/buildkit/blob/master/docs/buildkitd.toml.md
 *
 * @throws {NodeConfigError}
 */
export function buildkitConfig(setup: NodeSetup): NodeConfig {
  const { fallback, everything, ca } = setup
  if (!fallback) {
    throw new NodeConfigError(
      'BuildKit asks a registry itself when its mirrors fail, and nothing turns that off: ' +
        'leave --no-fallback out, or keep the builder from the network',
    )
  }
  if (everything) {
    throw new NodeConfigError(
      'buildkitd.toml has no entry for every registry: leave --all-registries out',
    )
  }
  return {
    files: [
      nodeFile(`${ROOT}/buildkitd.toml`, buildkitdToml(setup)),
      ...(ca === undefined ? [] : [nodeFile(CA_FILE, ca)]),
    ],
    notes: [
      'If there is a buildkitd.toml already, add these tables to it, and restart buildkitd. For a ' +
        'builder of docker buildx: docker buildx create --config buildkitd.toml.',
      'The BuildKit inside Docker Engine does not read it: see larder node-config docker.',
      ...loginNotes(setup, {
        password: `Whoever builds needs: docker login ${hostOf(setup)}.`,
        certificate: NAME_CERTIFICATE,
      }),
    ],
  }
}

/** A table for each registry, for Larder, and for what else is reached without TLS. */
function buildkitdToml(setup: NodeSetup): string {
  const tables = new Map<string, string[]>()
  const add = (name: string, ...lines: readonly string[]) => {
    const known = tables.get(name) ?? []
    tables.set(name, [...known, ...lines.filter((line) => !known.includes(line))])
  }
  for (const registry of setup.registries) {
    const mirrors = [hostOf(setup), ...elsewhere(registry)]
    add(registry.name, `mirrors = ${tomlStrings(mirrors)}`)
  }
  for (const registry of setup.registries) {
    if (isPlain(registry) && !hasPath(registry)) add(hostOf(registry), PLAIN)
  }
  const own = larderLines(setup)
  if (own.length > 0) add(hostOf(setup), ...own)
  return [...tables]
    .map(([name, lines]) =>
      toText([`[registry.${tomlString(name)}]`, ...lines.map((line) => `  ${line}`)]),
    )
    .join('\n')
}

/** BuildKit puts a mirror's path behind /v2/, and asks last what is reached by its own name. */
function elsewhere(registry: NodeRegistry): string[] {
  const host = hostOf(registry)
  return hasPath(registry) || isFoundByName(registry) || host === registry.name ? [] : [host]
}

function hasPath({ url }: NodeRegistry): boolean {
  return new URL(url).pathname !== '/'
}

function larderLines(setup: NodeSetup): string[] {
  const { ca, auth } = setup
  const { clientCertificate } = auth
  return [
    ...(isPlain(setup) ? [PLAIN] : []),
    ...(ca === undefined ? [] : [`ca = ${tomlStrings([CA_FILE])}`]),
    ...(clientCertificate === undefined
      ? []
      : [
          `[[registry.${tomlString(hostOf(setup))}.keypair]]`,
          `  key = ${tomlString(clientCertificate.keyFile)}`,
          `  cert = ${tomlString(clientCertificate.certFile)}`,
        ]),
  ]
}
