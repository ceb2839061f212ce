/** k3s and RKE2: one file of their own, of which they make containerd's. */
import { stringify } from 'yaml'

import { loginNotes, NAME_CERTIFICATE } from './notes.ts'
import {
  hostOf,
  isFoundByName,
  type NodeConfig,
  type NodeFile,
  type NodeSetup,
  nodeFile,
} from './setup.ts'

export function k3sConfig(setup: NodeSetup): NodeConfig {
  return rancherConfig('k3s', 'k3s or k3s-agent', setup)
}

export function rke2Config(setup: NodeSetup): NodeConfig {
  return rancherConfig('rke2', 'rke2-server or rke2-agent', setup)
}

/** https://docs.k3s.io/installation/private-registry, https://docs.rke2.io/install/private_registry */
function rancherConfig(name: 'k3s' | 'rke2', services: string, setup: NodeSetup): NodeConfig {
  const root = `/etc/rancher/${name}`
  const registries = `${root}/registries.yaml`
  const config: NodeFile[] = setup.fallback
    ? []
    : [
        nodeFile(
          `${root}/config.yaml.d/50-larder.yaml`,
          stringify({ 'disable-default-registry-endpoint': true }),
        ),
      ]
  return {
    files: [
      nodeFile(registries, stringify(registriesYaml(root, setup), { lineWidth: 0 })),
      ...config,
      ...(setup.ca === undefined ? [] : [nodeFile(caFileIn(root), setup.ca)]),
    ],
    notes: [
      `If there is a registries.yaml already, add these keys to it. Every node needs the files; ` +
        `they are read when ${services} starts.`,
      ...(setup.fallback ? [] : [NO_FALLBACK]),
      ...loginNotes(setup, {
        password:
          `Add auth, with username and password, to "${hostOf(setup)}" under configs, and make ` +
          'the file readable by root only.',
        certificate: NAME_CERTIFICATE,
      }),
    ],
  }
}

const NO_FALLBACK =
  'disable-default-registry-endpoint holds for the registries in registries.yaml; ' +
  'it is there since the releases of January 2024.'

function caFileIn(root: string): string {
  return `${root}/larder-ca.crt`
}

function registriesYaml(root: string, setup: NodeSetup): object {
  const { url, registries, everything, fallback, ca, auth } = setup
  const mirrors = everything
    ? [['*', { endpoint: [url] }]]
    : registries.map((registry) => {
        // What it finds by itself it asks last anyway.
        const itself = fallback && !isFoundByName(registry) ? [endpointOf(registry.url)] : []
        return [registry.name, { endpoint: [url, ...itself] }]
      })
  const { clientCertificate } = auth
  const tls = {
    ...(ca === undefined ? {} : { ca_file: caFileIn(root) }),
    ...(clientCertificate === undefined
      ? {}
      : { cert_file: clientCertificate.certFile, key_file: clientCertificate.keyFile }),
  }
  const configs = Object.keys(tls).length === 0 ? {} : { configs: { [hostOf(setup)]: { tls } } }
  return { mirrors: Object.fromEntries(mirrors), ...configs }
}

/** A path is taken as it is, so that it has to end where the API begins. */
function endpointOf(url: string): string {
  return new URL(url).pathname === '/' ? url : `${url}/v2`
}
