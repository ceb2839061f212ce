import { type ConnectionEvents, connectionCap, descriptorLimit } from '../listener/connections.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'

/** With fewer a rollout may find too few for its connections and their files. */
const ENOUGH_DESCRIPTORS = 4096

/** What is said of the connections of the registry API. */
export function watchConnections(metrics: Metrics, logger: Logger): ConnectionEvents {
  return {
    counted: (open) => metrics.http.connections(open),
    rejected: (reason) => metrics.http.connectionRejected(reason),
    full(isFull, { open, limit }) {
      if (isFull) logger.warn({ open, limit }, 'too many connections: more are refused')
      else logger.info({ open, limit }, 'there is room for connections again')
    },
  }
}

/** Says at the start what would otherwise be seen only under load. */
export function warnOfFewDescriptors(logger: Logger, limit = descriptorLimit()): void {
  if (limit >= ENOUGH_DESCRIPTORS) return
  const advice = `raise it to ${ENOUGH_DESCRIPTORS} or more (ulimit -n, LimitNOFILE=)`
  logger.warn({ limit, connections: connectionCap(limit) }, `few file descriptors: ${advice}`)
}
