import type { Endpoint } from './endpoint.ts'
import type { Configuration } from './ports/configuration.ts'

/** `GET /config`: the configuration in effect, without secrets, and where each value comes from. */
export function configurationEndpoint(configuration: Configuration): Endpoint {
  return { path: '/config', read: async () => configuration.read() }
}
