import { setImmediate } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { FoundBlob, RestoredPin, SqliteCatalog } from './catalog.ts'
import type { ReferencePin } from './pin.ts'
import type { BlobStore } from './ports.ts'
import { isUnreadable, readManifest } from './reconcile.ts'

/** Pins restored in one transaction. */
const SLICE = 16

export interface RestoreOptions {
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'stat' | 'open'>
  /** Those that have a file and no row. */
  readonly pins: readonly ReferencePin[]
  /** Asked as the rows are written: it may have been unpinned meanwhile. */
  readonly isKept: (pin: ReferencePin) => boolean
  /** Told between slices to end early. */
  readonly isEnding: () => boolean
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * Gives the catalog back what it knew of pinned references, from the files alone: tag → manifest →
 * everything that it lists. A row of `pins` comes last, so that what was interrupted is done again.
 *
 * @returns how many were restored
 */
export async function restorePins(options: RestoreOptions): Promise<number> {
  const { catalog, blobs, isKept, isEnding, now } = options
  // Of two pins of a tag the younger knows better what it means.
  const pins = options.pins.toSorted((a, b) => b.checkedAt - a.checkedAt)
  const sizes = new Map<Digest, Promise<number | undefined>>()
  const sizeOf = (digest: Digest) => {
    const size = sizes.get(digest) ?? blobs.stat(digest)
    sizes.set(digest, size)
    return size
  }
  let restored = 0
  for (let at = 0; at < pins.length; at += SLICE) {
    const slice = pins.slice(at, at + SLICE)
    const found = await Promise.all(slice.map((pin) => findOnDisk(pin, blobs, sizeOf)))
    if (isEnding()) return restored
    const kept = found.filter(({ pin }) => isKept(pin))
    await catalog.restorePins(kept, now())
    restored += kept.length
    await setImmediate()
  }
  return restored
}

async function findOnDisk(
  pin: ReferencePin,
  blobs: RestoreOptions['blobs'],
  sizeOf: (digest: Digest) => Promise<number | undefined>,
): Promise<RestoredPin> {
  const members: Child[] = []
  const listed: Child[] = []
  const found: FoundBlob[] = []
  const unproven = new Set(pin.unproven)
  const seen = new Set<string>()
  const next: Child[] = [pin.digest, ...pin.referrers].map(manifestOf)
  for (let child = next.pop(); child !== undefined; child = next.pop()) {
    const { digest, kind } = child
    if (seen.has(kind + digest)) continue
    seen.add(kind + digest)
    const size = unproven.has(digest) ? undefined : await sizeOf(digest)
    const type = digest === pin.digest ? pin.mediaType : undefined
    const isManifest = kind === 'manifest' && size !== undefined
    const manifest = isManifest ? await readIfReadable(blobs, digest, type) : undefined
    if (size === undefined || (isManifest && manifest === undefined)) {
      listed.push(child)
      continue
    }
    members.push({ digest, kind, size })
    if (manifest === undefined) continue
    found.push({ digest, size, manifest })
    next.push(...manifest.children)
  }
  return { pin, members, listed, found }
}

/** One that cannot be read must not keep the others from being restored. */
async function readIfReadable(
  ...from: Parameters<typeof readManifest>
): Promise<FoundBlob['manifest']> {
  try {
    return await readManifest(...from)
  } catch (error) {
    if (!isUnreadable(error)) throw error
    return undefined
  }
}

function manifestOf(digest: Digest): Child {
  return { digest, kind: 'manifest', size: -1 }
}
