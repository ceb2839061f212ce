import type { RequestHandler } from 'express'

import type { HttpMetrics } from '../metrics/http.ts'

/** A label's values are a closed set, whatever a caller invents. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'DELETE'])

/**
 * Counts what is asked of the operators' listener: `ui` is the dashboard's own files, `admin` all else
 * but a scrape, which would always find itself under way.
 *
 * @param monotonic milliseconds of a clock that never jumps
 */
export function countRequests(
  http: Pick<HttpMetrics, 'started' | 'finished'>,
  monotonic: () => number,
): RequestHandler {
  return ({ method: asked, path }, response, next) => {
    if (path === '/metrics') return next()
    const handler = path === '/' || path.startsWith('/ui/') ? 'ui' : 'admin'
    const method = METHODS.has(asked) ? asked : 'other'
    const startedAt = monotonic()
    http.started(handler)
    response.once('close', () => {
      const status = response.headersSent ? response.statusCode : undefined
      const seconds = (monotonic() - startedAt) / 1000
      http.finished({ handler, method, status, seconds })
    })
    next()
  }
}
