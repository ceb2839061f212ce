import { AdminError } from '../admin/errors.ts'
import type { NodeSetups } from '../admin/ports/node-setups.ts'
import type { Config } from '../config/config.ts'
import { nodeAuthOf, registriesOf } from '../node-config/from-config.ts'
import { RUNTIMES, type Runtime, renderNodeConfig } from '../node-config/render.ts'
import { NodeConfigError } from '../node-config/setup.ts'

/**
 * What nodes need to pull through this Larder.
 *
 * @param registryPort where it really listens; 0: nowhere
 */
export function createNodeSetups(config: () => Config, registryPort: () => number): NodeSetups {
  return {
    runtimes: RUNTIMES,
    serverAt(host) {
      const { tls, listen } = config().server
      const scheme = tls === undefined ? 'http' : 'https'
      const name = URL.parse(`http://${host ?? ''}`)?.hostname ?? ''
      const port = registryPort() || listen.port
      return `${scheme}://${name === '' ? 'localhost' : name}:${port}`
    },
    render({ runtime, server, fallback, everything }) {
      const { upstreams, auth } = config()
      try {
        return renderNodeConfig(runtime as Runtime, {
          url: server,
          registries: registriesOf(upstreams),
          everything,
          ca: undefined,
          fallback,
          auth: nodeAuthOf(auth, undefined),
        })
      } catch (error) {
        if (!(error instanceof NodeConfigError)) throw error
        throw new AdminError('INVALID', { message: error.message, cause: error })
      }
    },
  }
}
