import { AdminError } from '../admin/errors.ts'
import type { Activity } from '../admin/ports/activity.ts'
import type { Exporting, Importing } from '../admin/ports/bundles.ts'
import type { Configuration } from '../admin/ports/configuration.ts'
import type { Images } from '../admin/ports/images.ts'
import type { NodeSetups } from '../admin/ports/node-setups.ts'
import type { Overview } from '../admin/ports/overview.ts'
import type { Pin, Pins } from '../admin/ports/pins.ts'
import type { PreloadRuns } from '../admin/ports/preload-runs.ts'
import type { Preloading } from '../admin/ports/preloading.ts'
import type { Removal, Removed } from '../admin/ports/removal.ts'
import type { StorageReport } from '../admin/ports/storage.ts'
import type { Upstreams as UpstreamsPort } from '../admin/ports/upstreams.ts'
import type { AdminPorts } from '../admin/ports.ts'
import { formatReference } from '../oci/reference.ts'
import { PinnedError } from '../store/errors.ts'
import { InvalidPinError, NotHereError, nameOf, type Pin as StoredPin } from '../store/pin.ts'
import { keptOnly } from '../store/removal.ts'
import type { RemovalReport } from '../store/removal-report.ts'
import { pinMatcherOf, type Selection } from '../store/selection.ts'
import { Space } from '../store/space.ts'
import type { Upstreams } from '../upstream/routing.ts'
import type { Airgap } from './airgap.ts'
import { reasonOf } from './reason.ts'
import { isDiskRefusal } from './refusal.ts'
import type { Reloading } from './reload.ts'
import type { Store } from './store.ts'

/** What would go next is shown up to here. */
const MAX_NEXT = 20

export interface AdminPortsParts {
  readonly store: Store
  /** As they are configured now. */
  readonly routes: () => Upstreams
  readonly upstreams: UpstreamsPort
  readonly reloading: Reloading
  readonly airgap: Airgap
  readonly preloading: Preloading
  readonly runs: PreloadRuns
  readonly exporting: Exporting
  readonly importing: Importing
  readonly images: Images
  readonly activity: Activity
  readonly overview: Overview
  readonly configuration: Configuration
  readonly nodeSetups: NodeSetups
}

/** What the admin API asks for, in terms of the rooms that have it. */
export function createAdminPorts(parts: AdminPortsParts): AdminPorts {
  const { store, routes, reloading, airgap, ...made } = parts
  const { catalog, clock } = store
  const space = new Space({ catalog, now: () => clock.now() })
  return {
    names: {
      find: (registry) => routes().find(registry)?.config.name,
      all: () => routes().names,
    },
    reloading,
    pins: pinsOf(store),
    removal: removalOf(store),
    verification: store.integrity.verification,
    storage: { read: () => readStorage(store), usage: () => space.read() },
    checking: airgap.check,
    ...made,
  }
}

function pinsOf({ pins, kept, clock }: Store): Pins {
  return {
    async pin({ target, follows, expiresInMs }) {
      const expiresAt = expiresInMs === undefined ? undefined : clock.now() + expiresInMs
      const request =
        target.kind === 'pattern'
          ? { pattern: target.pattern, expiresAt }
          : { place: target, reference: target.reference, follows, expiresAt }
      try {
        return shownPin(await pins.pin(request))
      } catch (error) {
        if (error instanceof NotHereError) return undefined
        if (error instanceof InvalidPinError) {
          throw new AdminError('INVALID', { message: error.message, cause: error })
        }
        if (!isDiskRefusal(error)) throw error
        const message = `${reasonOf(error)}; make room (larder gc, larder purge), then pin again`
        throw new AdminError('NO_ROOM', { message, cause: error })
      }
    },
    async unpin(target) {
      const selector =
        target.kind === 'pattern'
          ? { reference: target.pattern }
          : { ...target, reference: formatReference(target.reference) }
      const gone = await pins.unpin(selector)
      kept.eviction.lookAgain()
      return gone.length
    },
    list: async () => pins.list().map(shownPin).sort(byName),
  }
}

function byName(one: Pin, other: Pin): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0
}

function shownPin(pin: StoredPin): Pin {
  const { kind, owner, createdAt, expiresAt } = pin
  const common = { kind, owner, createdAt, expiresAt }
  return pin.kind === 'pattern'
    ? { ...common, name: pin.pattern, digest: undefined, follows: true }
    : { ...common, name: nameOf(pin, pin.reference), digest: pin.digest, follows: pin.follows }
}

function removalOf({ kept, pins }: Store): Removal {
  return {
    async purge(selection, { dryRun, force }) {
      const wanted: Selection =
        selection.kind === 'pattern' ? { kind: 'pattern', glob: selection.pattern } : selection
      try {
        if (force && !dryRun) await unpinSelected(pins, wanted)
        return shownRemoval(await kept.purge.run(wanted, { dryRun, force }))
      } catch (error) {
        if (!(error instanceof PinnedError)) throw error
        return { ...keptOnly({ pinned: 1, inUse: 0 }), items: [] }
      }
    },
    async gc({ dryRun, olderThanMs: unusedForMs }) {
      const age = unusedForMs === undefined ? {} : { unusedForMs }
      const report = await kept.garbage.collect({ dryRun, ...age })
      return { ...shownRemoval(report), files: report.files }
    },
  }
}

/** What is to go for certain is pinned no more: its pin's file would bring it back. */
async function unpinSelected(pins: Store['pins'], selection: Selection): Promise<void> {
  if (selection.kind === 'unused' || selection.kind === 'size') return
  // Or it would pin at once what is pulled anew.
  if (selection.kind === 'pattern') await pins.unpin({ reference: selection.glob })
  await pins.release(pinMatcherOf(selection))
}

function shownRemoval({ removed, items }: RemovalReport): Removed {
  return { ...removed, items }
}

async function readStorage(store: Store): Promise<StorageReport> {
  const { catalog, kept, files, pins } = store
  const { availableBytes, quotaBytes, blobs, manifests, tags } = await store.read()
  // Not what a scrape is told, which may be a minute old: who has just pinned something looks here.
  const pinnedBytes = await pins.pinnedBytes()
  const parts = await files.listParts()
  const { plan } = await kept.eviction.preview({ bytes: 1 })
  return {
    usedBytes: kept.quota.usedBytes,
    quotaBytes,
    availableBytes,
    pinnedBytes,
    blobs,
    manifests,
    tags,
    parts: { count: parts.length, bytes: parts.reduce((sum, { size }) => sum + size, 0) },
    next: plan.leaving.slice(0, MAX_NEXT).map(({ digest, size = 0 }) => ({
      name: catalog.selection.nameOf(digest) ?? digest,
      bytes: size,
      lastUsedAt: catalog.retention.blob(digest)?.usedAt ?? 0,
    })),
  }
}
