import type { Endpoint } from './endpoint.ts'
import type { Storage } from './ports.ts'

/** `GET /storage`: what is used, of how much, and what would go next. */
export function storageEndpoint(storage: Storage): Endpoint {
  return { path: '/storage', read: () => storage.read() }
}
