import { hostsTree } from './hosts-toml.ts'
import { linkCertificate, loginNotes, placeCertificate } from './notes.ts'
import {
  hostOf,
  isPlain,
  type NodeConfig,
  type NodeFile,
  type NodeSetup,
  nodeFile,
} from './setup.ts'

const CERTIFICATES = '/etc/docker/certs.d'
const DAEMON = '/etc/docker/daemon.json'

/**
 * Docker Engine. Its `registry-mirrors` are of Docker Hub alone and are not told which registry is
 * meant; with its containerd image store it reads hosts.toml besides, for any registry.
 * https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 */
export function dockerConfig(setup: NodeSetup): NodeConfig {
  const hasMirror = setup.registries.some(
    ({ name, isDefault }) => name === 'docker.io' && isDefault,
  )
  return {
    // Docker has the port behind a colon, and a hosts.toml may name a file there as well.
    files: [...daemonJson(setup, hasMirror), ...hostsTree(CERTIFICATES, setup, hostOf(setup))],
    notes: [
      'If there is a daemon.json already, add these keys to it. Docker takes them over with: ' +
        'systemctl reload docker.',
      hasMirror
        ? 'registry-mirrors is for Docker Hub alone. Images of other registries are pulled through ' +
          `Larder by name (docker pull ${hostOf(setup)}/ghcr.io/acme/app:v1), or by hosts.toml, ` +
          'which Docker 28 and newer read where their image store is containerd’s.'
        : 'No registry-mirrors: Docker asks them for what is on Docker Hub without saying so, and ' +
          'docker.io as the default upstream is not among these. hosts.toml is read by Docker 28 ' +
          'and newer where their image store is containerd’s.',
      ...(setup.fallback ? [] : [NO_FALLBACK]),
      ...loginNotes(setup, {
        password: `Docker sends a mirror no login: docker login ${hostOf(setup)}, and pull by name.`,
        certificate: placeCertificate(CERTIFICATES, setup),
      }),
      ...linkCertificate(CERTIFICATES, setup),
    ],
  }
}

const NO_FALLBACK =
  'Docker asks Docker Hub itself when a mirror of registry-mirrors fails, and nothing turns that ' +
  'off; only hosts.toml does, so here it holds for the containerd image store alone.'

function daemonJson(setup: NodeSetup, hasMirror: boolean): NodeFile[] {
  const settings = {
    ...(hasMirror ? { 'registry-mirrors': [setup.url] } : {}),
    ...(isPlain(setup) ? { 'insecure-registries': [hostOf(setup)] } : {}),
  }
  if (Object.keys(settings).length === 0) return []
  return [nodeFile(DAEMON, `${JSON.stringify(settings, undefined, 2)}\n`)]
}
