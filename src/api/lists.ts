import type { Digest } from '../oci/digest.ts'
import { OCI_INDEX } from '../oci/media-types.ts'
import type { Lists } from '../pull/lists.ts'
import type { Outcome, Pull } from '../pull/pull.ts'
import type { Exchange } from './exchange.ts'
import type { Route } from './route.ts'

/** A page when the caller names no size: no client can be made to take ten thousand at once. */
const MAX_TAGS = 1000

/**
 * GET `/v2/<name>/tags/list`: distribution-spec v1.1.1 "Listing Tags". Registries page differently
 * and some lose the query in a redirect, so all tags are fetched and paged here.
 */
export async function serveTags(
  exchange: Exchange,
  lists: Lists,
  pull: Pull,
  route: Extract<Route, { kind: 'tags' }>,
): Promise<void> {
  const { items, outcome } = await lists.tags(pull)
  const { n, last, address } = route
  const rest = last === undefined ? items : items.filter((tag) => tag > last)
  const tags = n === undefined ? rest : rest.slice(0, Math.min(n, MAX_TAGS))
  const final = tags.at(-1)
  if (final !== undefined && tags.length < rest.length) {
    const query = new URLSearchParams({ n: String(tags.length), last: final })
    if (address.ns !== undefined) query.set('ns', address.ns)
    const link = `</v2/${address.name}/tags/list?${query}>; rel="next"`
    exchange.response.setHeader('Link', link)
  }
  sendJson(exchange, 'application/json', { name: address.name, tags }, outcome)
}

/** GET `/v2/<name>/referrers/<digest>`: distribution-spec v1.1.1 "Listing Referrers". */
export async function serveReferrers(
  exchange: Exchange,
  lists: Lists,
  pull: Pull,
  subject: Digest,
  artifactType: string | undefined,
): Promise<void> {
  const { items, outcome } = await lists.referrers(pull, subject)
  const isFiltered = artifactType !== undefined && artifactType !== ''
  const manifests = isFiltered ? items.filter((one) => one.artifactType === artifactType) : items
  if (isFiltered) exchange.response.setHeader('OCI-Filters-Applied', 'artifactType')
  sendJson(exchange, OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests }, outcome)
}

function sendJson(exchange: Exchange, type: string, body: object, outcome: Outcome): void {
  exchange.pulled(outcome)
  const { response, isHead } = exchange
  const bytes = Buffer.from(JSON.stringify(body))
  response.setHeader('Content-Type', type)
  response.setHeader('Content-Length', bytes.length)
  response.writeHead(200)
  if (!isHead) {
    const isFetched = outcome.result === 'miss' || outcome.result === 'coalesced'
    exchange.served(isFetched ? 'upstream' : 'cache', bytes.length)
  }
  response.end(isHead ? undefined : bytes)
}
