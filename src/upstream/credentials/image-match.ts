/** The part of an image's name that a credential is for: host, perhaps with globs, and path. */
export interface ImagePattern {
  readonly labels: readonly RegExp[]
  readonly port: string
  /** Without a leading slash; empty: all. */
  readonly path: string
}

/**
 * A key of a docker configuration as the kubelet reads it: with or without a scheme, `/v1/` and
 * `/v2/` of old registries dropped. `undefined` when it is no name of a registry.
 */
export function parseImagePattern(key: string): ImagePattern | undefined {
  const bare = key.replace(/^[a-z]+:\/\//i, '')
  const slash = bare.indexOf('/')
  const authority = (slash < 0 ? bare : bare.slice(0, slash)).toLowerCase()
  const path = slash < 0 ? '' : bare.slice(slash).replace(/^\/v[12]\//, '/')
  const match = /^([^:@]+)(?::(\d+))?$/.exec(authority)
  if (match === null) return undefined
  const host = match[1] === 'index.docker.io' ? 'docker.io' : (match[1] ?? '')
  return {
    labels: host.split('.').map(toLabelPattern),
    port: match[2] ?? '',
    path: path.replace(/^\/|\/+$/g, ''),
  }
}

/**
 * The kubelet's rules: equal ports, as many labels, a glob within a label, and the path as a plain
 * prefix, without regard to segments.
 *
 * @param host as in an image's name, `docker.io` for Docker Hub
 */
export function matchesImage(pattern: ImagePattern, host: string, repository: string): boolean {
  const [name = '', port = ''] = host.toLowerCase().split(':')
  const labels = name.split('.')
  return (
    port === pattern.port &&
    labels.length === pattern.labels.length &&
    pattern.labels.every((label, i) => label.test(labels[i] ?? '')) &&
    repository.startsWith(pattern.path)
  )
}

/** `*` and `?` only. Runs of `*` are one, so that no pattern takes long. */
function toLabelPattern(glob: string): RegExp {
  const source = glob
    .replace(/\*+/g, '*')
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`)
}
