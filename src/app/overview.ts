import type { Overview, OverviewReport } from '../admin/ports.ts'
import { HITS, NOT_COUNTED, type PullResult, type PullTotals } from '../metrics/pulls.ts'
import type { Site } from './site.ts'

/** How it stands since now. */
export function createOverview(site: Site): Overview {
  const { store, metrics, version, monotonic } = site
  const startedAt = store.clock.now()
  const began = monotonic()
  return {
    async read() {
      const totals = await metrics.pulls.totals()
      return {
        version,
        startedAt,
        uptimeSeconds: Math.floor((monotonic() - began) / 1000),
        requests: requestsOf(totals),
        bytes: bytesOf(totals),
        storage: await storageOf(site),
        pins: await store.pins.totals(),
      }
    },
  }
}

function requestsOf(totals: readonly PullTotals[]): OverviewReport['requests'] {
  const byResult = new Map<PullResult, number>()
  for (const { results } of totals) {
    for (const [result, count] of results) {
      byResult.set(result, (byResult.get(result) ?? 0) + count)
    }
  }
  const count = (among: readonly PullResult[]) =>
    among.reduce((sum, result) => sum + (byResult.get(result) ?? 0), 0)
  const total = count([...byResult.keys()])
  const hitRatio = ratio(count(HITS), total - count(NOT_COUNTED))
  return { total, byResult: Object.fromEntries(byResult), hitRatio }
}

function bytesOf(totals: readonly PullTotals[]): OverviewReport['bytes'] {
  const served = totals.reduce((sum, { servedBytes }) => sum + servedBytes, 0)
  const fetched = totals.reduce((sum, { fetchedBytes }) => sum + fetchedBytes, 0)
  const saved = served - fetched
  return { served, fetched, saved, hitRatio: ratio(Math.max(0, saved), served) }
}

async function storageOf({ store }: Site): Promise<OverviewReport['storage']> {
  const { availableBytes, quotaBytes, blobs, manifests, tags } = await store.read()
  const { usedBytes } = store.kept.quota
  return { usedBytes, quotaBytes, availableBytes, blobs, manifests, tags }
}

function ratio(part: number, whole: number): number | undefined {
  return whole > 0 ? part / whole : undefined
}
