import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { discard } from './body.ts'
import { protocolError } from './content.ts'
import { parseContentRange } from './content-range.ts'
import type { Endpoint } from './endpoint.ts'
import { UpstreamError } from './errors.ts'
import { contentLengthOf, headerOf } from './headers.ts'
import type { RemoteBlob, RequestOptions } from './ports.ts'
import type { TransportResponse } from './transport.ts'

/**
 * The size of a blob. Signed URLs are for one method, and ECR's public registry refuses HEAD: where
 * HEAD is of no use, the first byte of a GET tells.
 */
export async function headBlob(
  endpoint: Endpoint,
  repository: Repository,
  digest: Digest,
  options: RequestOptions,
): Promise<{ readonly size: number | undefined }> {
  const path = pathOf(repository, digest)
  const request = { kind: 'blob', method: 'HEAD', path, repository } as const
  const head = await endpoint.exchange.send(request, options).catch((error: unknown) => {
    throw asBroken(error)
  })
  head.body.resume()
  if (head.status < 300) return { size: contentLengthOf(head.headers) }
  const headers = { range: 'bytes=0-0' }
  const probe = { ...request, method: 'GET', headers, accept: [416] } as const
  const response = await endpoint.exchange.send(probe, options)
  discard(response.body)
  if (response.status === 200) return { size: contentLengthOf(response.headers) }
  return { size: parseContentRange(headerOf(response.headers, 'content-range'))?.total }
}

/** The body from `offset`, or from the start where the registry ignores ranges. */
export async function openBlob(
  endpoint: Endpoint,
  repository: Repository,
  digest: Digest,
  options: RequestOptions & { readonly offset: number },
): Promise<RemoteBlob> {
  const { offset } = options
  const request = {
    kind: 'blob',
    method: 'GET',
    path: pathOf(repository, digest),
    repository,
    ...(offset > 0 ? { headers: { range: `bytes=${offset}-` } } : {}),
    accept: [416],
  } as const
  const response = await sendTwice(() => endpoint.exchange.send(request, options))
  const start = startOf(response, offset)
  if (start !== undefined) return { body: response.body, ...start }
  discard(response.body)
  throw protocolError(endpoint.upstream, 'the registry sent another range than it was asked for')
}

/** A signed URL may have run out on the way: the registry gives a new one. */
async function sendTwice(send: () => Promise<TransportResponse>): Promise<TransportResponse> {
  try {
    return await send()
  } catch (error) {
    if (!(error instanceof UpstreamError) || error.status === undefined) throw error
    if (error.reason !== 'redirect') throw error
    return await send().catch((again: unknown) => {
      throw asBroken(again)
    })
  }
}

/** A registry that redirects has the blob. Its store's "not found" is a fault, not an answer. */
function asBroken(error: unknown): unknown {
  if (!(error instanceof UpstreamError) || error.kind !== 'unknown') return error
  if (error.reason !== 'redirect') return error
  const { upstream, status } = error
  const message = "the registry's blob store does not have what the registry says it has"
  return new UpstreamError('failed', {
    upstream,
    reason: 'redirect',
    message,
    ...(status === undefined ? {} : { status }),
    cause: error,
  })
}

/** `undefined` when the answer is not what was asked for. */
function startOf(
  { status, headers }: TransportResponse,
  offset: number,
): { readonly offset: number; readonly size: number | undefined } | undefined {
  const length = contentLengthOf(headers)
  if (status === 200) return { offset: 0, size: length }
  const range = parseContentRange(headerOf(headers, 'content-range'))
  if (status !== 206 || offset === 0 || range?.first !== offset || range.last === undefined) {
    return undefined
  }
  // A part that is not the rest would look like a body that was cut.
  if (range.total !== undefined && range.last + 1 !== range.total) return undefined
  if (length !== undefined && length !== range.last + 1 - offset) return undefined
  return { offset, size: range.total ?? range.last + 1 }
}

function pathOf(repository: Repository, digest: Digest): string {
  return `/v2/${repository}/blobs/${digest}`
}
