import type { Reference } from '../oci/reference.ts'
import type { Manifests } from '../pull/manifests.ts'
import type { Pull } from '../pull/pull.ts'
import type { Exchange } from './exchange.ts'
import { matchesEtag } from './ranges.ts'

/**
 * GET and HEAD `/v2/<name>/manifests/<reference>`. `Accept` is not looked at: there is one manifest
 * under a digest, and a tag's must not depend on who asked first.
 */
export async function serveManifest(
  exchange: Exchange,
  manifests: Manifests,
  pull: Pull,
  reference: Reference,
): Promise<void> {
  const { digest, mediaType, bytes, outcome } = await manifests.get(pull, reference)
  exchange.pulled(outcome)
  exchange.found(digest)
  const { request, response } = exchange
  const etag = `"${digest}"`
  response.setHeader('Docker-Content-Digest', digest)
  response.setHeader('ETag', etag)
  if (reference.kind === 'digest') {
    response.setHeader('Cache-Control', 'max-age=31536000, immutable')
  }
  if (matchesEtag(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end()
    return
  }
  response.setHeader('Content-Type', mediaType)
  response.setHeader('Content-Length', bytes.length)
  response.writeHead(200)
  if (exchange.isHead) {
    response.end()
    return
  }
  const isFetched = outcome.result === 'miss' || outcome.result === 'coalesced'
  exchange.served(isFetched ? 'upstream' : 'cache', bytes.length)
  response.end(bytes)
}
