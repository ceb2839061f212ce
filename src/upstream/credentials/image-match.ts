/** The part of an image's name that a credential is for: host, perhaps with globs, and path. */
export interface ImagePattern {
  /** Host, port and path as they were read: what tells it from others, and sorts them. */
  readonly key: string
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
  const path = (slash < 0 ? '' : bare.slice(slash)).replace(/^\/v[12]\//, '/').replace(/^\//, '')
  const match = /^([^:@\s]+)(?::(\d+))?$/.exec(authority)
  if (match === null) return undefined
  const host = match[1] === 'index.docker.io' ? 'docker.io' : (match[1] ?? '')
  const port = match[2] ?? ''
  const registry = port === '' ? host : `${host}:${port}`
  return {
    key: path === '' ? registry : `${registry}/${path}`,
    labels: host.split('.').map(toLabelPattern),
    port,
    path,
  }
}

/**
 * The kubelet's rules: equal ports, as many labels, a glob within a label, and the path as a plain
 * prefix, without regard to segments.
 *
 * @param host as in an image's name, `docker.io` for Docker Hub
 */
export function matchesImage(pattern: ImagePattern, host: string, repository: string): boolean {
  return matchesHost(pattern, host) && repository.startsWith(pattern.path)
}

/** Whether it is for any image of that host. */
export function matchesHost(pattern: ImagePattern, host: string): boolean {
  const [name = '', port = ''] = host.toLowerCase().split(':')
  const labels = name.split('.')
  return (
    port === pattern.port &&
    labels.length === pattern.labels.length &&
    pattern.labels.every((label, i) => label.test(labels[i] ?? ''))
  )
}

/** In reverse order of their keys the longer, more specific of two equal beginnings comes first. */
export function compareSpecificity(a: ImagePattern, b: ImagePattern): number {
  if (a.key === b.key) return 0
  return a.key < b.key ? 1 : -1
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
