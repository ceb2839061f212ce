import { OCI_INDEX } from '../../src/oci/media-types.ts'
import { failure } from './registry-auth.ts'
import type { RegistryContent } from './registry-content.ts'
import type { Answer, RecordedRequest } from './scripted-server.ts'

/** What a registry can do, and how: some cannot. */
export interface PullOptions {
  /** Whether `Range` is heeded; default yes. */
  readonly ranges?: boolean
  /** Whether there is a referrers API; default yes. Without: 404. */
  readonly referrers?: boolean
  /** Whether it filters referrers by type itself; default yes. */
  readonly filtersReferrers?: boolean
  /** At most so many tags or referrers a page; default no limit. */
  readonly pageSize?: number
}

/** GET and HEAD of manifests; HEAD is answered as GET, whoever sends it drops the body. */
export function pullManifest(content: RegistryContent, name: string, reference: string): Answer {
  const manifest = content.getManifest(name, reference)
  if (manifest === undefined) {
    return failure(404, content.has(name) ? 'MANIFEST_UNKNOWN' : 'NAME_UNKNOWN')
  }
  const { mediaType, digest, bytes } = manifest
  const headers = { 'content-type': mediaType, 'docker-content-digest': digest }
  return { status: 200, headers: { ...headers, etag: `"${digest}"` }, body: bytes }
}

export function pullBlob(
  bytes: Buffer | undefined,
  digest: string,
  request: RecordedRequest,
  { ranges = true }: PullOptions,
): Answer {
  if (bytes === undefined) return failure(404, 'BLOB_UNKNOWN')
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    ...(ranges ? { 'accept-ranges': 'bytes' } : {}),
  }
  const range = ranges && request.method === 'GET' ? request.headers.range : undefined
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? []
  if (first === '' && last === '') return { status: 200, headers, body: bytes }
  const size = bytes.length
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (start > end) return { status: 416, headers: { 'content-range': `bytes */${size}` } }
  const contentRange = `bytes ${start}-${end}/${size}`
  return {
    status: 206,
    headers: { ...headers, 'content-range': contentRange },
    body: bytes.subarray(start, end + 1),
  }
}

export function listTags(
  content: RegistryContent,
  name: string,
  { query }: RecordedRequest,
  { pageSize }: PullOptions,
): Answer {
  if (!content.has(name)) return failure(404, 'NAME_UNKNOWN')
  const asked = query.get('n') === null ? Number.POSITIVE_INFINITY : Number(query.get('n'))
  const limit = Math.min(asked, pageSize ?? Number.POSITIVE_INFINITY)
  const last = query.get('last')
  const rest = content.listTags(name).filter((tag) => last === null || isAfter(tag, last))
  const tags = rest.slice(0, limit)
  const isMore = tags.length > 0 && tags.length < rest.length
  const next = `/v2/${name}/tags/list?n=${limit}&last=${encodeURIComponent(tags.at(-1) ?? '')}`
  return {
    status: 200,
    headers: { 'content-type': 'application/json', ...(isMore ? linkTo(next) : {}) },
    body: { name, tags },
  }
}

export function listReferrers(
  content: RegistryContent,
  name: string,
  subject: string,
  { query }: RecordedRequest,
  options: PullOptions,
): Answer {
  if (options.referrers === false) return { status: 404, body: '404 page not found\n' }
  const all = content.listReferrers(name, subject)
  const wanted = options.filtersReferrers === false ? null : query.get('artifactType')
  const matching = wanted === null ? all : all.filter((each) => each['artifactType'] === wanted)
  const from = Number(query.get('from') ?? 0)
  const to = from + (options.pageSize ?? matching.length)
  const filter = wanted === null ? '' : `&artifactType=${encodeURIComponent(wanted)}`
  const next = `/v2/${name}/referrers/${subject}?from=${to}${filter}`
  return {
    status: 200,
    headers: {
      'content-type': OCI_INDEX,
      ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
      ...(to < matching.length ? linkTo(next) : {}),
    },
    body: { schemaVersion: 2, mediaType: OCI_INDEX, manifests: matching.slice(from, to) },
  }
}

function linkTo(next: string): Record<string, string> {
  return { link: `<${next}>; rel="next"` }
}

function isAfter(tag: string, last: string): boolean {
  return Buffer.compare(Buffer.from(tag), Buffer.from(last)) > 0
}
