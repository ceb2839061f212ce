import { containerdLogin } from './containerd.ts'
import { containersFiles } from './containers.ts'
import { hostsTree } from './hosts-toml.ts'
import { hostOf, isPlain, type NodeConfig, type NodeSetup } from './setup.ts'

/** What lies below it is copied to the root of each node when minikube starts. */
const FILES = '.minikube/files'

/** https://minikube.sigs.k8s.io/docs/handbook/filesync/ */
export function minikubeConfig(setup: NodeSetup): NodeConfig {
  const { everything, fallback, registries } = setup
  const hasCrio = !everything && registries.every(({ segment }) => segment !== undefined)
  const crio = hasCrio ? containersFiles(setup) : []
  const hub = registries.some(({ name, isDefault }) => name === 'docker.io' && isDefault)
  const flags = [
    ...(hub ? [`--registry-mirror=${setup.url}`] : []),
    ...(isPlain(setup) ? [`--insecure-registry=${hostOf(setup)}`] : []),
  ]
  return {
    files: [
      ...hostsTree(`${FILES}/etc/containerd/certs.d`, setup),
      ...crio.map((file) => ({ ...file, path: `${FILES}${file.path}` })),
    ],
    notes: [
      'They belong in your home folder (--write ~), or where MINIKUBE_HOME is, and are copied when ' +
        `the cluster starts: minikube start --container-runtime=containerd${hasCrio ? ', or cri-o' : ''}.`,
      fallback && flags.length > 0
        ? `With Docker inside, Docker Hub alone: minikube start ${flags.join(' ')}.`
        : 'With Docker inside there is no way: choose containerd.',
      ...containerdLogin(setup),
    ],
  }
}
