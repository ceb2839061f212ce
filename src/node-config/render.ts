import { buildkitConfig } from './buildkit.ts'
import { containerdConfig } from './containerd.ts'
import { crioConfig, podmanConfig } from './containers.ts'
import { dockerConfig } from './docker.ts'
import { kindConfig } from './kind.ts'
import { minikubeConfig } from './minikube.ts'
import { k3sConfig, rke2Config } from './rancher.ts'
import { type NodeConfig, NodeConfigError, type NodeSetup } from './setup.ts'
import { talosConfig } from './talos.ts'

const RENDERERS = {
  containerd: containerdConfig,
  crio: crioConfig,
  podman: podmanConfig,
  docker: dockerConfig,
  k3s: k3sConfig,
  rke2: rke2Config,
  buildkit: buildkitConfig,
  kind: kindConfig,
  minikube: minikubeConfig,
  talos: talosConfig,
} as const satisfies Readonly<Record<string, (setup: NodeSetup) => NodeConfig>>

export type Runtime = keyof typeof RENDERERS

export const RUNTIMES = Object.keys(RENDERERS) as readonly Runtime[]

/** A name becomes a folder and a key: it may be nothing but a host with a port. */
const REGISTRY_NAME = /^(?:\[[\da-f:.]+\]|[a-z\d](?:[a-z\d.-]*[a-z\d])?)(?::\d{1,5})?$/

/**
 * The files that a runtime reads to pull through Larder, and what else is to be done.
 *
 * @throws {NodeConfigError} where the runtime cannot do what was asked for, or a name is none
 */
export function renderNodeConfig(runtime: Runtime, setup: NodeSetup): NodeConfig {
  const url = URL.parse(setup.url)
  if (url === null || url.origin !== setup.url || !/^https?:$/.test(url.protocol)) {
    throw new NodeConfigError(
      'the URL of Larder has to be http:// or https:// with a host, perhaps a port, and no more',
    )
  }
  const isTls = url.protocol === 'https:'
  if (!isTls && (setup.ca ?? setup.auth.clientCertificate) !== undefined) {
    throw new NodeConfigError(
      'certificates are of no use without TLS: the URL of Larder begins with http://',
    )
  }
  const names = setup.registries.flatMap(({ name, segment }) => [name, segment ?? name])
  for (const name of names) {
    if (!REGISTRY_NAME.test(name) || name.includes('..')) {
      throw new NodeConfigError(`${JSON.stringify(name)} is not the name of a registry`)
    }
  }
  const { files, notes } = RENDERERS[runtime](setup)
  return { files, notes: [...notes, ...registryNotes(setup)] }
}

function registryNotes({ registries, fallback }: NodeSetup): string[] {
  const callers = registries.filter(({ asksCaller }) => asksCaller).map(({ name }) => name)
  const unknown = registries.filter(({ hasOwnCa }) => hasOwnCa).map(({ name }) => name)
  return [
    ...(callers.length === 0
      ? []
      : [
          `What is private at ${callers.join(', ')} takes a login for that registry, given to Larder.`,
        ]),
    ...(unknown.length === 0 || !fallback
      ? []
      : [
          `${unknown.join(', ')}: the fallback works where nodes trust the authority that caFile ` +
            'in Larder’s configuration names.',
        ]),
  ]
}
