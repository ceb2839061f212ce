import type { Endpoint } from './endpoint.ts'

/** `GET /authority`: whether whoever asks may change anything, and what is needed otherwise. */
export function authorityEndpoint(): Endpoint {
  return { path: '/authority', read: ({ rightOf }) => rightOf() }
}
