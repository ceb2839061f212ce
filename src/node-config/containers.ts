/** CRI-O, Podman, Buildah and Skopeo: they read the same files. */
import { normalizeRegistry } from '../oci/reference.ts'
import { linkCertificate, loginNotes, placeCertificate } from './notes.ts'
import {
  hostOf,
  isPlain,
  type NodeConfig,
  NodeConfigError,
  type NodeFile,
  type NodeRegistry,
  type NodeSetup,
  nodeFile,
} from './setup.ts'
import { tomlString, toText } from './toml.ts'

const CERTIFICATES = '/etc/containers/certs.d'
const DROP_IN = '/etc/containers/registries.conf.d/50-larder.conf'

export function podmanConfig(setup: NodeSetup): NodeConfig {
  const login = `Once per user: podman login ${hostOf(setup)}.`
  return {
    files: containersFiles(setup),
    notes: ['They are read at each pull: nothing has to be restarted.', ...notesOf(setup, login)],
  }
}

export function crioConfig(setup: NodeSetup): NodeConfig {
  const login =
    `Add an entry for ${hostOf(setup)} to the file that global_auth_file of crio.conf names, ` +
    'or to /var/lib/kubelet/config.json: pods’ pull secrets are not sent to a mirror.'
  return {
    files: containersFiles(setup),
    notes: ['CRI-O takes them over with: systemctl reload crio.', ...notesOf(setup, login)],
  }
}

/** @throws {NodeConfigError} */
export function containersFiles(setup: NodeSetup): NodeFile[] {
  if (setup.everything) {
    throw new NodeConfigError(
      'registries.conf has no entry for every registry: leave --all-registries out',
    )
  }
  const nameless = setup.registries.find(({ segment }) => segment === undefined)
  if (nameless !== undefined) {
    throw new NodeConfigError(
      `${nameless.name}: Podman and CRI-O cannot put a name with a port before a repository: add ` +
        'one without to match of its upstream, or choose other upstreams with --upstream',
    )
  }
  const { ca } = setup
  const own = isPlain(setup) ? [plainEntry(setup)] : []
  const entries = setup.registries.map((registry) => entryOf(registry, setup))
  return [
    nodeFile(DROP_IN, [...entries, ...own].join('\n')),
    ...(ca === undefined ? [] : [nodeFile(`${CERTIFICATES}/${hostOf(setup)}/ca.crt`, ca)]),
  ]
}

function notesOf(setup: NodeSetup, password: string): string[] {
  const certificate = placeCertificate(CERTIFICATES, setup)
  const hidden = setup.registries.filter(({ url }) => new URL(url).pathname !== '/')
  return [
    ...loginNotes(setup, { password, certificate }),
    ...linkCertificate(CERTIFICATES, setup),
    ...(setup.fallback ? hidden : []).map(
      ({ name, url }) =>
        `${name} falls back to a registry at https://${name}: a path before /v2/, as in ${url}, ` +
        'cannot be said here.',
    ),
  ]
}

/** As a mirror Larder is asked before the registry; in its place, nobody else is. */
function entryOf(registry: NodeRegistry, setup: NodeSetup): string {
  const { fallback } = setup
  const larder = [
    `location = ${tomlString(`${hostOf(setup)}/${registry.segment}`)}`,
    isPlain(setup) ? 'insecure = true # without TLS' : undefined,
  ]
  const how = fallback ? 'first, then the registry itself' : 'alone'
  return toText([
    `# ${registry.name}: Larder ${how}.`,
    '[[registry]]',
    `prefix = ${tomlString(registry.name)}`,
    ...(fallback ? [...itself(registry), '[[registry.mirror]]'] : []),
    ...larder,
  ])
}

function itself({ name, url }: NodeRegistry): (string | undefined)[] {
  const { host, pathname, protocol } = new URL(url)
  // A location's path would come after /v2/.
  const location = pathname === '/' ? normalizeRegistry(host) : name
  const isOpen = pathname === '/' && protocol === 'http:'
  return [
    `location = ${tomlString(location)}`,
    isOpen ? 'insecure = true # without TLS' : undefined,
  ]
}

function plainEntry(setup: NodeSetup): string {
  return toText([
    '# What is pulled by Larder’s own name.',
    '[[registry]]',
    `location = ${tomlString(hostOf(setup))}`,
    'insecure = true # without TLS',
  ])
}
