import { Counter, type Registry } from 'prom-client'

import type { PullResult } from '../oci/pull-result.ts'
import { HITS, NOT_COUNTED, type PullMetrics, type PullTotals } from './pulls.ts'

/** What could not be had either. */
const isMiss = (result: PullResult) => !HITS.includes(result) && !NOT_COUNTED.includes(result)
const isHit = (result: PullResult) => HITS.includes(result)

type Reading = (totals: PullTotals) => number

const READINGS: Readonly<Record<string, readonly [help: string, reading: Reading]>> = {
  requests: ['Pulls; hits and misses together', (one) => count(one, isHit) + count(one, isMiss)],
  hits: ['Pulls without a fetch of their own', (one) => count(one, isHit)],
  misses: ['Pulls with one', (one) => count(one, isMiss)],
  pulled_bytes: ['Bytes read from upstreams', ({ fetchedBytes }) => fetchedBytes],
  pushed_bytes: ['Bytes written to clients', ({ servedBytes }) => servedBytes],
}

/**
 * The same figures under the names that distribution's proxy has for them, with the label by which
 * several of it are told apart, so that dashboards for it show Larder too. Read at a scrape.
 */
export function exposeAsDistribution(registry: Registry, pulls: PullMetrics): void {
  for (const [name, [help, reading]] of Object.entries(READINGS)) {
    new Counter({
      name: `registry_proxy_${name}_total`,
      help: `As distribution's proxy has it. ${help}`,
      labelNames: ['type', 'upstream_host'],
      registers: [registry],
      async collect() {
        const totals = await pulls.totals()
        this.reset()
        for (const one of totals) {
          const { type, upstream } = one
          if (type !== 'manifest' && type !== 'blob') continue
          this.inc({ type, upstream_host: upstream }, reading(one))
        }
      },
    })
  }
}

function count({ results }: PullTotals, isOfThem: (result: PullResult) => boolean): number {
  let sum = 0
  for (const [result, pulls] of results) if (isOfThem(result)) sum += pulls
  return sum
}
