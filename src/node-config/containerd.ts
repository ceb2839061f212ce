import { hostsTree } from './hosts-toml.ts'
import { loginNotes, NAME_CERTIFICATE } from './notes.ts'
import type { NodeConfig, NodeSetup } from './setup.ts'

export const CONTAINERD_HOSTS = '/etc/containerd/certs.d'

/** https://github.com/containerd/containerd/blob/main/docs/hosts.md */
export function containerdConfig(setup: NodeSetup): NodeConfig {
  return {
    files: hostsTree(CONTAINERD_HOSTS, setup),
    notes: [
      'They are read at each pull: nothing has to be restarted for them.',
      'Before 2.2 containerd has to be told once to look there, in /etc/containerd/config.toml, ' +
        `and restarted: config_path = "${CONTAINERD_HOSTS}" under ` +
        '[plugins."io.containerd.cri.v1.images".registry] in 2.x (version = 3), or ' +
        '[plugins."io.containerd.grpc.v1.cri".registry] in 1.x (version = 2). It excludes ' +
        'registry.mirrors and registry.configs with tls.',
      ...containerdLogin(setup),
    ],
  }
}

/** Of whatever pulls with containerd's resolver. */
export function containerdLogin(setup: NodeSetup): string[] {
  const table = `[host.${JSON.stringify(setup.url)}.header]`
  const also = setup.fallback ? '' : ', and [header] above it for the server'
  return loginNotes(setup, {
    password:
      'A node sends it the pull secret of the pod. For one login of the node, add ' +
      `${table}${also} to each hosts.toml, with authorization = "Basic <base64 of user:password>", ` +
      'and make the files readable by root only.',
    certificate: NAME_CERTIFICATE,
  })
}
