import type { ConnectionEvents } from '../listener/connections.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'

/** What is said of the connections of the registry API. */
export function watchConnections(metrics: Metrics, logger: Logger): ConnectionEvents {
  return {
    counted: (open) => metrics.connections(open),
    rejected: (reason) => metrics.connectionRejected(reason),
    full(isFull, { open, limit }) {
      if (isFull) logger.warn({ open, limit }, 'too many connections: more are refused')
      else logger.info({ open, limit }, 'there is room for connections again')
    },
  }
}
