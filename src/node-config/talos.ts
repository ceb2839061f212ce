import { stringify } from 'yaml'

import { loginNotes } from './notes.ts'
import { hostOf, type NodeConfig, type NodeRegistry, type NodeSetup, nodeFile } from './setup.ts'

/** Talos: patches of the machine configuration. https://docs.siderolabs.com/talos/ */
export function talosConfig(setup: NodeSetup): NodeConfig {
  return {
    files: [
      nodeFile('talos-registries.yaml', documents(setup)),
      nodeFile('talos-registries-before-1.12.yaml', machinePatch(setup)),
    ],
    notes: [
      'One of the two, by the version of Talos: talosctl patch machineconfig --patch ' +
        '@talos-registries.yaml, or --config-patch when a cluster is made.',
      'Talos pulls its installer, kubelet and etcd through it as well: keep the fallback where ' +
        'Larder runs inside this cluster.',
      ...loginNotes(setup, {
        password:
          `Add a document of kind RegistryAuthConfig with name: "${hostOf(setup)}", username and ` +
          'password (before 1.12: auth under machine.registries.config), and keep the file to yourself.',
        certificate:
          'Add clientIdentity, with cert and key as PEM, to the RegistryTLSConfig (before 1.12: ' +
          'under tls, in base64), and keep the file to yourself.',
      }),
    ],
  }
}

interface Mirror {
  readonly name: string
  readonly endpoints: readonly string[]
}

/** The registry itself is named, too: some releases of 1.12 forget it though it is not skipped. */
function mirrorsOf({ url, registries, everything, fallback }: NodeSetup): Mirror[] {
  if (everything) return [{ name: '*', endpoints: [url] }]
  const itself = (registry: NodeRegistry) => (fallback ? [registry.url] : [])
  return registries.map((registry) => ({
    name: registry.name,
    endpoints: [url, ...itself(registry)],
  }))
}

function documents(setup: NodeSetup): string {
  const mirrors = mirrorsOf(setup).map(({ name, endpoints }) => ({
    apiVersion: 'v1alpha1',
    kind: 'RegistryMirrorConfig',
    name,
    endpoints: endpoints.map((url) => ({ url })),
    skipFallback: !setup.fallback,
  }))
  const tls =
    setup.ca === undefined
      ? []
      : [{ apiVersion: 'v1alpha1', kind: 'RegistryTLSConfig', name: hostOf(setup), ca: setup.ca }]
  return [...mirrors, ...tls].map((one) => stringify(one, { lineWidth: 0 })).join('---\n')
}

function machinePatch(setup: NodeSetup): string {
  const mirrors = mirrorsOf(setup).map(({ name, endpoints }) => [
    name,
    { endpoints, skipFallback: !setup.fallback },
  ])
  const { ca } = setup
  const config =
    ca === undefined
      ? {}
      : { config: { [hostOf(setup)]: { tls: { ca: Buffer.from(ca).toString('base64') } } } }
  const registries = { mirrors: Object.fromEntries(mirrors), ...config }
  return stringify({ machine: { registries } }, { lineWidth: 0 })
}
