import type { WriteRoute } from '../api/passthrough.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { Blobs } from '../pull/blobs.ts'
import { Epochs } from '../pull/epochs.ts'
import { Lists } from '../pull/lists.ts'
import { Manifests } from '../pull/manifests.ts'
import { Negatives } from '../pull/negatives.ts'
import type { Restoration } from '../pull/restoration.ts'
import { Shelf } from '../pull/shelf.ts'
import type { Place } from '../store/ports.ts'
import type { Target } from '../upstream/routing.ts'
import type { Store } from './store.ts'

export interface PullParts {
  readonly store: Store
  readonly restoration: Restoration
  readonly metrics: Metrics
  readonly logger: Logger
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
  /** What is in the catalog of this place, and what the tag means, has come from elsewhere. */
  brought(place: Place, tag: Tag | undefined, digest: Digest): Promise<void>
  /** These contents are no longer in the store. */
  removed(digests: readonly Digest[]): void
  /** The place no longer has them, though their bytes may stay. */
  purged(place: Place, references: readonly (Tag | Digest)[]): void
  /** Gives up what nobody waits for, and every download: what has arrived stays. */
  stop(): Promise<void>
  /** These upstreams are configured otherwise than before: what was refused may be allowed now. */
  reconfigured(upstreams: readonly string[]): void
}

export function createPull({
  store,
  restoration,
  metrics,
  logger,
  patienceMs,
}: PullParts): PullRoom {
  const now = () => store.clock.now()
  const elapsed = () => store.clock.elapsed()
  const { shelves, catalog, pins, usage, storeFailed } = store
  const { damage } = store.integrity
  const files = store.kept.blobs
  const negatives = new Negatives()
  const epochs = new Epochs()
  const shelf = new Shelf({
    blobs: files,
    catalog,
    epochs,
    restoration,
    damage,
    onStoreFailed: storeFailed,
    onMoved(place, tag, digest) {
      pins.moved(place, tag, digest).catch((error: unknown) => storeFailed('pin', error))
    },
    now,
  })
  const manifests = new Manifests({
    shelf,
    negatives,
    epochs,
    onFetched(upstream, bytes, reason) {
      metrics.pulls.fetched(upstream, 'manifest', reason, bytes)
    },
    logger,
    onUsed: (digest) => usage.used(digest),
    now,
  })
  const blobs = new Blobs({
    blobs: files,
    shelves,
    catalog,
    negatives,
    epochs,
    restoration,
    damage,
    logger,
    events: {
      used: (digest) => usage.used(digest),
      fetched: (upstream, bytes, reason) => metrics.pulls.fetched(upstream, 'blob', reason, bytes),
      downloaded: (upstream, bytes, ms) => metrics.upstreams.downloaded(upstream, bytes, ms / 1000),
      resumed: (upstream) => metrics.upstreams.resume(upstream),
      mismatched: (upstream, what) => {
        metrics.upstreams.error({ upstream, reason: `${what}_mismatch` })
      },
      broken: (upstream, reason) => metrics.upstreams.error({ upstream, reason }),
      storeFailed,
    },
    now,
    elapsed,
    patienceMs,
  })
  const lists = new Lists({
    catalog,
    negatives,
    epochs,
    onStoreFailed: storeFailed,
    onFetched: (upstream, type, bytes) => metrics.pulls.fetched(upstream, type, 'pull', bytes),
    now,
  })
  return {
    manifests,
    blobs,
    lists,
    async brought(place, tag, digest) {
      // What is being read or asked for is of before.
      epochs.begin(place)
      negatives.clear()
      await lists.forget(place)
      if (tag !== undefined) shelf.moved(place, tag, digest)
    },
    removed: (digests) => shelf.drop(new Set(digests)),
    purged: (place, references) => shelf.dropAt(place, references),
    async stop() {
      await manifests.stop()
      await blobs.stop()
    },
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
