import { stringify } from 'yaml'

import { CONTAINERD_HOSTS, containerdLogin } from './containerd.ts'
import { hostsTree } from './hosts-toml.ts'
import { type NodeConfig, type NodeSetup, nodeFile } from './setup.ts'

const CLUSTER = 'kind-cluster.yaml'
const HOSTS = 'certs.d'

/** kind: containerd's files, mounted into each node. https://kind.sigs.k8s.io/docs/user/configuration/ */
export function kindConfig(setup: NodeSetup): NodeConfig {
  const cluster = {
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    containerdConfigPatches: [
      '[plugins."io.containerd.grpc.v1.cri".registry]\n' +
        `  config_path = "${CONTAINERD_HOSTS}"\n`,
    ],
    nodes: [
      {
        role: 'control-plane',
        extraMounts: [{ hostPath: `./${HOSTS}`, containerPath: CONTAINERD_HOSTS, readOnly: true }],
      },
    ],
  }
  return {
    files: [nodeFile(CLUSTER, stringify(cluster, { lineWidth: 0 })), ...hostsTree(HOSTS, setup)],
    notes: [
      `Write them to a folder, and from there: kind create cluster --config ${CLUSTER}.`,
      'A node more needs the same extraMounts. The patch is for node images older than kind 0.27.',
      'localhost is the node itself: --url has to name this machine as containers reach it.',
      ...containerdLogin(setup),
    ],
  }
}
