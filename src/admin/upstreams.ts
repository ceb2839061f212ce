import type { Endpoint } from './endpoint.ts'
import type { Upstreams } from './ports.ts'

/** `GET /upstreams`: how each registry is, and what is left of Larder's quota there. */
export function upstreamsEndpoint(upstreams: Upstreams): Endpoint {
  return { path: '/upstreams', read: async () => ({ upstreams: upstreams.list() }) }
}
