import { History } from '../metrics/history.ts'
import type { Metrics } from '../metrics.ts'
import type { Store } from './store.ts'

/** What each minute of the last day has brought. */
export function createHistory({ catalog, clock, kept, storeFailed }: Store, metrics: Metrics) {
  return new History({
    totals: () => metrics.pulls.totals(),
    usedBytes: () => kept.quota.usedBytes,
    now: () => clock.now(),
    put: (minutes, from) => catalog.putSamples(minutes, from),
    list: (from) => catalog.listSamples(from),
    onError: (error) => storeFailed('catalog', error),
  })
}
