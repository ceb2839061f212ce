import type { NodeAuth, NodeConfig, NodeRegistry, NodeSetup } from '../../src/node-config/setup.ts'
import { LOOPBACK_CERT } from '../upstream/loopback-tls.ts'

export const HUB: NodeRegistry = {
  name: 'docker.io',
  segment: 'docker.io',
  url: 'https://registry-1.docker.io',
  isDefault: true,
  asksCaller: false,
  hasOwnCa: false,
}

/** With a port, and elsewhere than its name says. */
export const ACME: NodeRegistry = {
  ...HUB,
  name: 'reg.acme.example:8443',
  segment: 'acme.example',
  url: 'http://10.0.0.1:8443',
  isDefault: false,
}

export const OPEN: NodeAuth = { password: false, certificate: false, clientCertificate: undefined }
export const WITH_CERTIFICATE: NodeAuth = {
  password: true,
  certificate: true,
  clientCertificate: { certFile: '/pki/node.crt', keyFile: '/pki/node.key' },
}

/** Over plain HTTP, to both registries, with the fallback. */
export const PLAIN: NodeSetup = {
  url: 'http://larder.example:5000',
  registries: [HUB, ACME],
  everything: false,
  ca: undefined,
  fallback: true,
  auth: OPEN,
}

export const TLS: NodeSetup = {
  ...PLAIN,
  url: 'https://larder.example:5000',
  ca: LOOPBACK_CERT,
  auth: WITH_CERTIFICATE,
}

/** What stands in each file, by its path. */
export function byPath({ files }: NodeConfig): Record<string, string> {
  return Object.fromEntries(files.map(({ path, content }) => [path, content]))
}
