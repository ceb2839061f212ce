import express, { type Express, type RequestHandler } from 'express'
import helmet from 'helmet'

import type { Probes } from '../api/probes.ts'
import type { Metrics } from '../metrics.ts'
import { countRequests } from './requests.ts'

export interface AdminOptions {
  readonly probes: Probes
  readonly metrics: Metrics
  /** What answers below `/api/v1`. */
  readonly api: RequestHandler
  /** What answers at `/` and below `/ui`; calls on for everything else. */
  readonly page: RequestHandler
  /** Milliseconds of a clock that never jumps. */
  readonly monotonic: () => number
}

/** The operators' listener: what a scraper, a supervisor and an operator ask for. */
export function createAdmin({ probes, metrics, api, page, monotonic }: AdminOptions): Express {
  const app = express()
  app.disable('etag')
  app.use(countRequests(metrics.http, monotonic))
  app.use(helmet())
  app.get('/metrics', async (_request, response) => {
    const body = await metrics.render()
    response.setHeader('Content-Type', metrics.contentType)
    response.send(body)
  })
  app.use('/api/v1', api)
  app.use(page)
  app.use((request, response) => {
    if (probes.answers(request, response)) return
    response.status(404).json({ error: 'not found' })
  })
  return app
}
