import { hostOf, type NodeFile, type NodeRegistry, type NodeSetup, nodeFile } from './setup.ts'
import { tomlString, tomlStrings, toText } from './toml.ts'

/** The folder that stands for every registry without one of its own. */
const DEFAULT_DIRECTORY = '_default'
/** The name of an authority's certificate that containerd and Docker look for by themselves. */
const CA_NAME = 'ca.crt'

/**
 * The tree that containerd reads: `<registry>/hosts.toml`, and Larder's authority in the folder of
 * Larder itself, where it also serves who pulls by Larder's name. File names in it are relative, so
 * that the tree may stand anywhere.
 * https://github.com/containerd/containerd/blob/main/docs/hosts.md
 *
 * @param ownDirectory the folder of Larder itself
 */
export function hostsTree(
  root: string,
  setup: NodeSetup,
  ownDirectory = hostDirectory(hostOf(setup)),
): NodeFile[] {
  const targets = setup.everything ? [undefined] : setup.registries
  const tls = tlsOf(setup, `../${ownDirectory}/${CA_NAME}`)
  const authority =
    setup.ca === undefined ? [] : [nodeFile(`${root}/${ownDirectory}/${CA_NAME}`, setup.ca)]
  return [...authority, ...targets.map((target) => hostsFile(root, target, setup, tls))]
}

/** A colon is no part of a folder's name on every system. */
function hostDirectory(host: string): string {
  const colon = host.lastIndexOf(':')
  return colon > 0 ? `${host.slice(0, colon)}_${host.slice(colon + 1)}_` : host
}

function hostsFile(
  root: string,
  target: NodeRegistry | undefined,
  setup: NodeSetup,
  tls: readonly string[],
): NodeFile {
  const { url, fallback } = setup
  const who = target?.name ?? 'Every registry'
  const directory = target === undefined ? DEFAULT_DIRECTORY : hostDirectory(target.name)
  // The server is asked last. Before containerd 2.0 a file without a host is no valid one, and is
  // passed over for the registry itself; so Larder is named as both where nothing may get past it.
  const server = fallback ? target?.url : url
  const content = toText([
    `# ${who}: Larder ${fallback ? 'first, then the registry itself' : 'alone'}.`,
    ...(server === undefined ? [] : [`server = ${tomlString(server)}`]),
    ...(fallback ? [] : tls),
    '',
    `[host.${tomlString(url)}]`,
    `  capabilities = ${tomlStrings(['pull', 'resolve'])}`,
    ...tls.map((line) => `  ${line}`),
    // Known since 2.1, passed over before.
    fallback ? '  dial_timeout = "2s"' : undefined,
  ])
  return nodeFile(`${root}/${directory}/hosts.toml`, content)
}

function tlsOf({ ca, auth }: NodeSetup, caFile: string): string[] {
  const { clientCertificate } = auth
  const lines: string[] = []
  if (ca !== undefined) lines.push(`ca = ${tomlString(caFile)}`)
  if (clientCertificate !== undefined) {
    const { certFile, keyFile } = clientCertificate
    lines.push(`client = [${tomlStrings([certFile, keyFile])}]`)
  }
  return lines
}
