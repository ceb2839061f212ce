import type { WriteRoute } from '../api/passthrough.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { Blobs } from '../pull/blobs.ts'
import { Epochs } from '../pull/epochs.ts'
import { Lists } from '../pull/lists.ts'
import { Manifests } from '../pull/manifests.ts'
import { Negatives } from '../pull/negatives.ts'
import { Shelf } from '../pull/shelf.ts'
import type { Place } from '../store/ports.ts'
import type { Target } from '../upstream/routing.ts'
import type { Store } from './store.ts'

export interface PullParts {
  readonly store: Store
  readonly metrics: Metrics
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly patienceMs: number | undefined
}

/** Hit, miss, stale. */
export interface PullRoom {
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly lists: Lists
  /** A write is about to go through to the registry. */
  changing(target: Target): void
  /** It has gone through. */
  changed(target: Target, route: WriteRoute): Promise<void>
  /** These upstreams are configured otherwise than before: what was refused may be allowed now. */
  reconfigured(upstreams: readonly string[]): void
}

export function createPull({ store, metrics, logger, now, patienceMs }: PullParts): PullRoom {
  const { blobs: files, shelves, catalog, usage, storeFailed } = store
  const negatives = new Negatives()
  const epochs = new Epochs()
  const shelf = new Shelf({ blobs: files, catalog, epochs, onStoreFailed: storeFailed, now })
  const manifests = new Manifests({
    shelf,
    negatives,
    epochs,
    onFetched: (upstream, bytes) => metrics.fetched(upstream, 'manifest', 'pull', bytes),
    onUsed: (digest) => usage.used(digest),
    now,
  })
  const blobs = new Blobs({
    blobs: files,
    shelves,
    catalog,
    negatives,
    epochs,
    logger,
    events: {
      used: (digest) => usage.used(digest),
      fetched: (upstream, bytes) => metrics.fetched(upstream, 'blob', 'pull', bytes),
      resumed: (upstream) => metrics.resume(upstream),
      mismatched: (upstream, what) => {
        metrics.error({ upstream, reason: `${what}_mismatch` })
      },
      storeFailed,
    },
    now,
    patienceMs,
  })
  const lists = new Lists({ catalog, negatives, epochs, onStoreFailed: storeFailed, now })
  return {
    manifests,
    blobs,
    lists,
    changing: (target) => epochs.begin(placeOf(target)),
    async changed(target, route) {
      const place = placeOf(target)
      epochs.begin(place)
      if (route.kind === 'manifest') {
        await lists.forget(place)
        await manifests.forget(place, route.reference)
      }
      if (route.kind === 'blob') await blobs.forget(place, route.digest)
    },
    reconfigured(upstreams) {
      negatives.clear()
      for (const upstream of upstreams) epochs.beginAll(upstream)
    },
  }
}

function placeOf({ upstream, repository }: Target): Place {
  return { upstream: upstream.config.name, repository }
}
