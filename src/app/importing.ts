import { AdminError } from '../admin/errors.ts'
import type { Importing } from '../admin/ports/bundles.ts'
import { ArchiveError } from '../airgap/bundle/errors.ts'
import { Import } from '../airgap/bundle/import.ts'
import type { Tag } from '../oci/reference.ts'
import { TagPolicies } from '../pull/freshness.ts'
import { codeOf, isRefusedWrite, NoRoomError, StoreRestingError } from '../store/errors.ts'
import type { Place } from '../store/ports.ts'
import { OfflineRegistry } from '../upstream/offline.ts'
import type { Upstream } from '../upstream/routing.ts'
import { offlineObstacleOf } from './airgap.ts'
import { reasonOf } from './reason.ts'
import type { Site } from './site.ts'

/** Archives of images into the store of a site, and before its nodes. */
export function createImporting(site: Site): Importing {
  const { store, pull } = site
  const { catalog, kept, pins, clock } = store
  const policies = new TagPolicies()
  const archives = new Import({
    blobs: kept.blobs,
    damage: store.integrity.damage,
    catalog,
    leases: kept.leases,
    remove: (digest, size) => kept.leftovers.removeStray({ digest, size, modifiedAt: 0 }),
    keep: (contents) =>
      catalog.adopt(
        contents.map((content) => ({ ...content, manifest: undefined })),
        clock.now(),
      ),
    isNoRoom,
    resolve: (registry, repository) => site.upstreams().resolve(registry, repository),
    onPublished: (place, tag, digest) => pull.brought(place, tag, digest),
    pin: async (place, reference, platforms) =>
      void (await pins.pin({ place, reference, platforms })),
    obstacle: async (image) =>
      image.upstream.registry instanceof OfflineRegistry
        ? await offlineObstacleOf(site, image)
        : undefined,
    unconfirmedAt: (upstream, place, tag) =>
      clock.now() - freshMs(policies, upstream, place, tag) - 1,
    now: () => clock.now(),
    failAt: site.failAt,
  })
  return {
    async run(body, request, onEvent, signal) {
      // Before its pins are restored the catalog may not know what is here, and how new.
      await store.ready.catch(() => undefined)
      try {
        return await archives.run(body, request, onEvent, signal)
      } catch (error) {
        throw shown(error)
      }
    },
  }
}

function freshMs(policies: TagPolicies, upstream: Upstream, place: Place, tag: Tag): number {
  return Math.max(0, policies.of(upstream).for(place.repository, tag).maxAgeMs)
}

function isNoRoom(error: unknown): boolean {
  if (error instanceof NoRoomError || error instanceof StoreRestingError) return true
  return ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '') || isRefusedWrite(error)
}

function shown(error: unknown): unknown {
  if (error instanceof ArchiveError) {
    return new AdminError('ARCHIVE_REFUSED', { message: error.message, cause: error })
  }
  if (!isNoRoom(error)) return error
  const message = `${reasonOf(error)}; make room (larder gc, larder purge, storage.maxSize), then import again`
  return new AdminError('NO_ROOM', { message, cause: error })
}
