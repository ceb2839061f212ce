import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts'
import { essence, OCI_INDEX } from '../oci/media-types.ts'
import { isTag, type Repository } from '../oci/reference.ts'
import { discard, readBody } from './body.ts'
import { protocolError } from './content.ts'
import type { Endpoint } from './endpoint.ts'
import { UpstreamError } from './errors.ts'
import type { ExchangeRequest } from './exchange.ts'
import { headerOf } from './headers.ts'
import { parseNextLink, resolveNextLink } from './link.ts'
import type { RequestOptions } from './ports.ts'
import type { TransportResponse } from './transport.ts'

const MAX_PAGES = 100
const MAX_ENTRIES = 10_000
/** Of all pages together: few entries may be large, and referrers are kept with their annotations. */
const MAX_LIST_BYTES = 4 * MAX_MANIFEST_BYTES
const PAGE_SIZE = 1000

/** All tags, in the registry's order: distribution-spec v1.1.1 "Listing Tags". */
export async function listTags(
  endpoint: Endpoint,
  repository: Repository,
  options: RequestOptions,
): Promise<readonly string[]> {
  const path = `/v2/${repository}/tags/list?n=${PAGE_SIZE}`
  const headers = { accept: 'application/json' }
  const request = { kind: 'tags', method: 'GET', path, repository, headers } as const
  const tags: string[] = []
  const read = createReader(endpoint, options)
  for await (const response of pages(endpoint, request, options)) {
    tags.push(...parseTags(endpoint, await read(response)))
    if (tags.length > MAX_ENTRIES) throw tooMany(endpoint)
  }
  return tags
}

/** distribution-spec v1.1.1 "Listing Referrers"; `undefined` when there is no such API. */
export async function listReferrers(
  endpoint: Endpoint,
  repository: Repository,
  subject: Digest,
  options: RequestOptions,
): Promise<readonly Descriptor[] | undefined> {
  const path = `/v2/${repository}/referrers/${subject}`
  const headers = { accept: OCI_INDEX }
  const accept = [404]
  const request = { kind: 'referrers', method: 'GET', path, repository, headers, accept } as const
  const referrers: Descriptor[] = []
  const read = createReader(endpoint, options)
  for await (const response of pages(endpoint, request, options)) {
    if (response.status === 404) {
      discard(response.body)
      // Without the API, a mirror does not know; only the registry's own word counts.
      if (!endpoint.authoritative) throw unknown(endpoint)
      return undefined
    }
    const type = essence(headerOf(response.headers, 'content-type'))
    if (type !== OCI_INDEX) {
      discard(response.body)
      throw protocolError(endpoint.upstream, 'the registry sent referrers that are no index')
    }
    referrers.push(...parseReferrers(endpoint, await read(response)))
    if (referrers.length > MAX_ENTRIES) throw tooMany(endpoint)
  }
  return referrers
}

/** Follows `Link: rel="next"` at the endpoint itself, wherever it points. */
async function* pages(
  endpoint: Endpoint,
  first: ExchangeRequest,
  options: RequestOptions,
): AsyncGenerator<TransportResponse, void, void> {
  const { exchange, upstream } = endpoint
  let path = first.path
  const seen = new Set<string>()
  for (;;) {
    if (seen.has(path) || seen.size === MAX_PAGES) throw tooMany(endpoint)
    seen.add(path)
    const response = await exchange.send({ ...first, path }, options)
    const target = parseNextLink(response.headers['link'])
    yield response
    if (target === undefined) return
    const next = resolveNextLink(target, exchange.urlOf(path))
    if (next === undefined) {
      throw protocolError(upstream, 'the registry continues its list at another place')
    }
    path = withoutPrefix(next, exchange.urlOf('')) + next.search
  }
}

/** Some registries do not know the prefix that they are reached by. */
function withoutPrefix({ pathname }: URL, { pathname: prefix }: URL): string {
  const base = prefix.replace(/\/$/, '')
  return base !== '' && pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : pathname
}

/** Reads the pages of one list, which has a bound as a whole. */
function createReader(
  endpoint: Endpoint,
  { onBytes }: RequestOptions,
): (page: TransportResponse) => Promise<Buffer> {
  const { upstream, timeoutMs } = endpoint
  let size = 0
  return async (page) => {
    const limits = { upstream, timeoutMs, maxBytes: MAX_MANIFEST_BYTES, onBytes }
    const bytes = await readBody(page, limits)
    size += bytes.length
    if (size > MAX_LIST_BYTES) throw tooMany(endpoint)
    return bytes
  }
}

/** What is no tag cannot be asked for either, so it is left out. `null` is how Go writes none. */
function parseTags({ upstream }: Endpoint, bytes: Buffer): readonly string[] {
  let document: unknown
  try {
    document = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw protocolError(upstream, 'the registry sent a list of tags that is not JSON')
  }
  const tags = (document as { tags?: unknown } | null)?.tags ?? []
  if (!Array.isArray(tags)) {
    throw protocolError(upstream, 'the registry sent a list of tags that is none')
  }
  return tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag))
}

function parseReferrers({ upstream }: Endpoint, bytes: Buffer): readonly Descriptor[] {
  try {
    return parseManifest(bytes, OCI_INDEX).manifests
  } catch {
    throw protocolError(upstream, 'the registry sent referrers that are no index')
  }
}

function unknown({ upstream }: Endpoint): UpstreamError {
  const message = 'the mirror has no list of referrers'
  return new UpstreamError('unknown', { upstream, reason: 'not_found', message, status: 404 })
}

function tooMany({ upstream }: Endpoint): UpstreamError {
  return protocolError(upstream, 'the registry sent a list without an end')
}
