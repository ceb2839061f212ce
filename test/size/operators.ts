import { send } from '../support/http-client.ts'
import type { Site } from './site.ts'
import { type Spread, spreadOf } from './spread.ts'

const TIMES = 50
/** What goes through everything is asked for less often. */
const WHOLE_TIMES = 3

/** What a scrape and a dashboard ask for. */
const PATHS = {
  scrape: '/metrics',
  overview: '/api/v1/overview',
  history: '/api/v1/overview/history',
  upstreams: '/api/v1/upstreams',
  storage: '/api/v1/storage',
  images: '/api/v1/images?limit=50',
} as const

export type OperatorFigures = Readonly<Record<keyof typeof PATHS | 'imagesBySize', Spread>>

/** GET over one connection, milliseconds as an operator sees them. */
export async function operatorLatency(site: Site): Promise<OperatorFigures> {
  const figures: Partial<Record<keyof OperatorFigures, Spread>> = {}
  for (const [name, path] of Object.entries(PATHS) as [keyof typeof PATHS, string][]) {
    figures[name] = await latency(site, path, TIMES)
  }
  const imagesBySize = await latency(site, '/api/v1/images?limit=50&sort=size', WHOLE_TIMES)
  return { ...(figures as Record<keyof typeof PATHS, Spread>), imagesBySize }
}

async function latency(site: Site, path: string, count: number): Promise<Spread> {
  const times: number[] = []
  // The first compiles what the others run.
  for (let i = 0; i <= count; i++) {
    const startedAt = performance.now()
    const { status } = await send(site.larder.adminUrl, path, { agent: site.agent })
    if (i > 0) times.push(performance.now() - startedAt)
    if (status !== 200) throw new Error(`${status} for ${path}`)
  }
  return spreadOf(times)
}
