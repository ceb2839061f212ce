import type { Endpoint } from './endpoint.ts'
import type { Overview } from './ports.ts'

/** `GET /overview`: whether it works, what it saves, and how full it is. */
export function overviewEndpoint(overview: Overview): Endpoint {
  return { path: '/overview', read: () => overview.read() }
}
