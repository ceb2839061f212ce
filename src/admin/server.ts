import express, { type Express } from 'express'
import helmet from 'helmet'

import type { Probes } from '../api/probes.ts'
import type { Metrics } from '../metrics.ts'

export interface AdminOptions {
  readonly probes: Probes
  readonly metrics: Metrics
}

/** The operators' listener: what a scraper and a supervisor ask for. */
export function createAdmin({ probes, metrics }: AdminOptions): Express {
  const app = express()
  app.disable('etag')
  app.use(helmet())
  app.get('/metrics', async (_request, response) => {
    const body = await metrics.render()
    response.setHeader('Content-Type', metrics.contentType)
    response.send(body)
  })
  app.use((request, response) => {
    if (probes.answers(request, response)) return
    response.status(404).json({ error: 'not found' })
  })
  return app
}
