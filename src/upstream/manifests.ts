import { type Digest, digestOf } from '../oci/digest.ts'
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts'
import { ACCEPT_MANIFESTS, essence } from '../oci/media-types.ts'
import { formatReference, type Reference, type Repository } from '../oci/reference.ts'
import { readBody } from './body.ts'
import { announcedDigest, digestMismatch, protocolError, verifyContent } from './content.ts'
import type { Endpoint } from './endpoint.ts'
import { contentLengthOf, headerOf } from './headers.ts'
import type { RemoteManifest, RemoteManifestHead, RequestOptions } from './ports.ts'
import type { TransportResponse } from './transport.ts'

/** HEAD, which Docker Hub does not count as a pull; GET where that does not tell the digest. */
export async function headManifest(
  endpoint: Endpoint,
  repository: Repository,
  reference: Reference,
  options: RequestOptions,
): Promise<RemoteManifestHead> {
  const response = await send(endpoint, 'HEAD', repository, reference, options)
  // Nothing to read, but the connection is free only when its end was seen.
  response.body.resume()
  const digest = response.status < 300 ? digestOfHead(endpoint, response, reference) : undefined
  if (digest === undefined) {
    const manifest = await getManifest(endpoint, repository, reference, options)
    return { ...manifest, size: manifest.bytes.length }
  }
  return {
    digest,
    mediaType: essence(headerOf(response.headers, 'content-type')),
    size: contentLengthOf(response.headers),
  }
}

/** The body whole, and hashed to what was asked for or announced. */
export async function getManifest(
  endpoint: Endpoint,
  repository: Repository,
  reference: Reference,
  options: RequestOptions,
): Promise<RemoteManifest> {
  const response = await send(endpoint, 'GET', repository, reference, options)
  const { upstream, timeoutMs } = endpoint
  const { onBytes } = options
  const limits = { upstream, timeoutMs, maxBytes: MAX_MANIFEST_BYTES, onBytes }
  const bytes = await readBody(response, limits)
  return {
    digest: digestOfBody(endpoint, response, reference, bytes),
    mediaType: essence(headerOf(response.headers, 'content-type')),
    bytes,
  }
}

async function send(
  { exchange }: Endpoint,
  method: 'GET' | 'HEAD',
  repository: Repository,
  reference: Reference,
  options: RequestOptions,
): Promise<TransportResponse> {
  const path = `/v2/${repository}/manifests/${formatReference(reference)}`
  const headers = { accept: ACCEPT_MANIFESTS }
  return await exchange.send({ kind: 'manifest', method, path, repository, headers }, options)
}

function digestOfHead(
  { upstream }: Endpoint,
  { headers }: TransportResponse,
  reference: Reference,
): Digest | undefined {
  const announced = announcedDigest(headers)
  if (reference.kind === 'tag') return announced
  refuseOther(upstream, announced, reference.digest)
  return reference.digest
}

function digestOfBody(
  { upstream }: Endpoint,
  { headers }: TransportResponse,
  reference: Reference,
  bytes: Buffer,
): Digest {
  const announced = announcedDigest(headers)
  if (reference.kind === 'digest') {
    verifyContent(upstream, bytes, reference.digest)
    return reference.digest
  }
  if (announced !== undefined) {
    verifyContent(upstream, bytes, announced)
    return announced
  }
  // Without a digest or a length, only this tells a cut document from a whole one.
  if (contentLengthOf(headers) === undefined && !isJson(bytes)) {
    throw protocolError(upstream, 'the registry sent a manifest that is not JSON')
  }
  return digestOf(bytes)
}

/** Of one algorithm there is one digest; of another it may be announced as well. */
function refuseOther(upstream: string, announced: Digest | undefined, asked: Digest): void {
  if (announced === undefined || announced === asked) return
  if (announced.split(':')[0] === asked.split(':')[0]) throw digestMismatch(upstream)
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('utf8'))
    return true
  } catch {
    return false
  }
}
