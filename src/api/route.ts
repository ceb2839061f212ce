import { type Digest, parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseReference, type Reference } from '../oci/reference.ts'

/** How the caller named the repository. Which registry that means, only the upstreams know. */
export interface Address {
  /** `?ns=`: the registry that a mirror's client means (distribution-spec "Registry Proxying"). */
  readonly ns: string | undefined
  /** What stands between `/v2/` and the endpoint: a repository, perhaps behind its registry. */
  readonly name: string
}

/** A request as a value. Only this file reads URLs. */
export type Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'manifest'; readonly address: Address; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly address: Address; readonly digest: Digest }
  | {
      readonly kind: 'tags'
      readonly address: Address
      readonly n: number | undefined
      readonly last: string | undefined
    }
  | {
      readonly kind: 'referrers'
      readonly address: Address
      readonly subject: Digest
      readonly artifactType: string | undefined
    }
  /** `blobs/uploads/…`: only ever passed through. */
  | { readonly kind: 'upload'; readonly address: Address; readonly rest: string }

const MAX_PATH_LENGTH = 4096

/** Greedy names: a repository may itself be called `a/manifests/b`, so the last keyword counts. */
const UPLOAD = /^(?<name>.+)\/blobs\/uploads(?<rest>\/.*)?$/
const CONTENT = /^(?<name>.+)\/(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+)$/
const TAGS = /^(?<name>.+)\/tags\/list$/

/**
 * Reads a raw request target. containerd appends `/v2` to a host's path unless told otherwise, so
 * `/docker.io/v2/library/app/…` is the same as `/v2/docker.io/library/app/…`.
 *
 * @throws {RegistryError} for everything that is not an endpoint of the specification
 */
export function parseRoute(target: string): Route {
  const question = target.indexOf('?')
  const path = question < 0 ? target : target.slice(0, question)
  const query = new URLSearchParams(question < 0 ? '' : target.slice(question + 1))
  const endpoint = endpointOf(decodePath(path))
  if (endpoint === '') return { kind: 'ping' }
  const ns = single(query, 'ns')
  const content = CONTENT.exec(endpoint)?.groups
  if (content !== undefined && content['reference'] !== 'uploads') {
    return contentRoute(content, ns, query)
  }
  const name = TAGS.exec(endpoint)?.groups?.['name']
  if (name !== undefined) {
    return { kind: 'tags', address: { ns, name }, n: count(query), last: single(query, 'last') }
  }
  const upload = UPLOAD.exec(endpoint)?.groups
  if (upload === undefined) throw new RegistryError('NAME_UNKNOWN')
  return {
    kind: 'upload',
    address: { ns, name: upload['name'] ?? '' },
    rest: upload['rest'] ?? '/',
  }
}

function contentRoute(
  groups: Record<string, string | undefined>,
  ns: string | undefined,
  query: URLSearchParams,
): Route {
  const { name = '', kind, reference = '' } = groups
  const address = { ns, name }
  if (kind === 'manifests') {
    return { kind: 'manifest', address, reference: parseReference(reference) }
  }
  if (kind === 'blobs') return { kind: 'blob', address, digest: parseDigest(reference) }
  const artifactType = single(query, 'artifactType')
  return { kind: 'referrers', address, subject: parseDigest(reference), artifactType }
}

/** What follows `/v2/`, with the registry of the `/docker.io/v2/…` form put in front. */
function endpointOf(path: string): string {
  if (path === '/v2' || path === '/v2/') return ''
  if (path.startsWith('/v2/')) return path.slice('/v2/'.length)
  const [, host, rest] = /^\/([^/]+)\/v2(?:\/(.*))?$/.exec(path) ?? []
  if (host === undefined) throw new RegistryError('NAME_UNKNOWN')
  return rest === undefined || rest === '' ? '' : `${host}/${rest}`
}

/**
 * Decodes each segment once. What decodes to a separator, a dot segment or a control character is
 * nobody's honest request; `new URL()` would have resolved it silently, even to another host.
 */
function decodePath(raw: string): string {
  if (raw.length > MAX_PATH_LENGTH) throw new RegistryError('NAME_INVALID')
  const segments = raw.split('/')
  const decoded = segments.map((segment, index) => {
    const text = decodeSegment(segment)
    const edge = index === 0 || index === segments.length - 1
    if ((text === '' && !edge) || text === '.' || text === '..' || !/^[\w.:@+=~-]*$/.test(text)) {
      throw new RegistryError('NAME_INVALID')
    }
    return text
  })
  return decoded.join('/')
}

function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new RegistryError('NAME_INVALID', { cause })
  }
}

/** A parameter that is given twice could be read as the other value by somebody else. */
function single(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  if (values.length > 1) {
    throw new RegistryError('NAME_INVALID', { message: `more than one "${name}" in the query` })
  }
  return values[0]
}

function count(query: URLSearchParams): number | undefined {
  const text = single(query, 'n')
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) {
    throw new RegistryError('UNSUPPORTED', { status: 400, message: '"n" must be a whole number' })
  }
  return Number(text)
}
