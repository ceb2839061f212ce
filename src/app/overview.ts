import type { Overview, OverviewReport, Traffic } from '../admin/ports/overview.ts'
import { add, type MinuteTally, NOTHING, sum, type Tally } from '../metrics/history.ts'
import { byteHitRatio, hitRatio, savedBytes, toColumns } from '../metrics/history-columns.ts'
import type { Site } from './site.ts'

const MINUTE_MS = 60_000
const DAY_MINUTES = 24 * 60
/** What counts as now: less would jump about. */
const RECENT_MINUTES = 5

/**
 * How it stands since now.
 *
 * @param warnings what an operator should know of, though pulls are answered all the same
 */
export function createOverview(site: Site, warnings: () => readonly string[]): Overview {
  const { store, metrics, history, version, monotonic } = site
  const startedAt = store.clock.now()
  const began = monotonic()
  return {
    async read() {
      const day = await history.last(DAY_MINUTES)
      return {
        version,
        startedAt,
        now: store.clock.now(),
        uptimeSeconds: Math.floor((monotonic() - began) / 1000),
        ...figuresOf(sum(await metrics.pulls.totals())),
        last5Minutes: trafficOf(day, RECENT_MINUTES),
        last24Hours: trafficOf(day, DAY_MINUTES),
        storage: await storageOf(site),
        pins: await store.pins.totals(),
        warnings: warnings(),
      }
    },
    async history({ minutes, step }) {
      const found = await history.last(minutes)
      const last = found.at(-1)?.minute ?? 0
      return toColumns(found, { last, count: Math.ceil(minutes / step), step })
    },
  }
}

/** @param day oldest first; the minute under way is its last */
function trafficOf(day: readonly MinuteTally[], minutes: number): Traffic {
  const last = day.at(-1)?.minute ?? 0
  const among = day.filter(({ minute }) => minute >= last - minutes)
  const since = (among[0]?.minute ?? last) * MINUTE_MS
  return { since, ...figuresOf(among.reduce<Tally>(add, NOTHING)) }
}

export function figuresOf(tally: Tally): Omit<Traffic, 'since'> {
  const { results, servedBytes: served, fetchedBytes: fetched, preloadedBytes: preloaded } = tally
  const total = Object.values(results).reduce((all, count) => all + count, 0)
  const saved = savedBytes(tally)
  const bytes = { served, fetched, preloaded, saved, hitRatio: byteHitRatio(tally) }
  return { requests: { total, byResult: results, hitRatio: hitRatio(tally) }, bytes }
}

async function storageOf({ store }: Site): Promise<OverviewReport['storage']> {
  const { availableBytes, quotaBytes, blobs, manifests, tags } = await store.read()
  const { usedBytes } = store.kept.quota
  return { usedBytes, quotaBytes, availableBytes, blobs, manifests, tags }
}
