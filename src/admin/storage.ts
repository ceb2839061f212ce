import type { Endpoint } from './endpoint.ts'
import type { Storage } from './ports/storage.ts'

/** `GET /storage`: what is used, of how much, and what would go next; `/storage/usage`: by whom. */
export function storageEndpoints(storage: Storage): readonly Endpoint[] {
  return [
    { path: '/storage', read: () => storage.read() },
    { path: '/storage/usage', read: () => storage.usage() },
  ]
}
