/** What `User-Agent` begins with, and what people call that. */
const RUNTIMES: ReadonlyMap<string, string> = new Map([
  ['containerd', 'containerd'],
  ['cri-o', 'cri-o'],
  ['libpod', 'podman'],
  ['podman', 'podman'],
  // The library of Podman, Buildah and Skopeo, which say no more in some releases.
  ['containers', 'podman'],
  ['buildah', 'buildah'],
  ['skopeo', 'skopeo'],
  ['docker', 'docker'],
  ['docker-client', 'docker'],
  ['buildkit', 'buildkit'],
  ['nerdctl', 'nerdctl'],
  ['stargz-snapshotter', 'stargz'],
  ['crane', 'crane'],
  ['go-containerregistry', 'crane'],
  ['ko', 'ko'],
  ['kaniko', 'kaniko'],
  ['regctl', 'regclient'],
  ['regsync', 'regclient'],
  ['regclient', 'regclient'],
  ['helm', 'helm'],
  ['oras', 'oras'],
  ['oras-go', 'oras'],
  ['cosign', 'cosign'],
  ['trivy', 'trivy'],
  ['flux', 'flux'],
  ['larder', 'larder'],
  ['curl', 'curl'],
])

/** The family of what a client calls itself; `other` where nobody knows it. */
export function runtimeOf(agent: string | undefined): string {
  const [, product = ''] = /^([\w.-]{1,40})(?:\/|\s|$)/.exec(agent ?? '') ?? []
  return RUNTIMES.get(product.toLowerCase()) ?? 'other'
}
