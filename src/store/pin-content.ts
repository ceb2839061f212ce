import { setImmediate } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { SqliteCatalog } from './catalog.ts'
import type { ReferencePin } from './pin.ts'
import type { BlobStore, Place } from './ports.ts'

/** Rows looked at before other work gets its turn. */
const SLICE = 256

export interface ContentSource {
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'stat'>
}

/** What a pin file has to say of a digest at a place, beyond what the manifests say themselves. */
export type Content = Pick<
  ReferencePin,
  'upstream' | 'repository' | 'digest' | 'mediaType' | 'publicAt' | 'unproven' | 'referrers'
>

/** `undefined` when the manifest is not in the store, or not known to be the place's. */
export async function contentOf(
  { catalog, blobs }: ContentSource,
  place: Place,
  digest: Digest,
): Promise<Content | undefined> {
  const manifest = { digest, kind: 'manifest' } as const
  const record = await catalog.findManifest(digest)
  // Eviction takes the row away first, a hand the file alone.
  const isKnown = record !== undefined && (await catalog.getBlob(digest)) !== undefined
  const isHere = isKnown && (await blobs.stat(digest)) !== undefined
  if (!isHere || !(await isProven(catalog, place, manifest))) return undefined
  const publicAt = await catalog.getPublicAt(place)
  const standing = await standingOf(catalog, place, digest)
  return { ...placeOf(place), digest, mediaType: record.mediaType, publicAt, ...standing }
}

/** The place alone, of what has one. */
export function placeOf({ upstream, repository }: Place): Place {
  return { upstream, repository }
}

async function standingOf(
  catalog: SqliteCatalog,
  place: Place,
  digest: Digest,
): Promise<Pick<Content, 'unproven' | 'referrers'>> {
  const unproven: Digest[] = []
  const referrers: Digest[] = []
  const seen = new Set<string>()
  const next: Pick<Child, 'digest' | 'kind'>[] = [{ digest, kind: 'manifest' }]
  for (let child = next.pop(); child !== undefined; child = next.pop()) {
    if (seen.has(child.kind + child.digest)) continue
    seen.add(child.kind + child.digest)
    if (seen.size % SLICE === 0) await setImmediate()
    const isHere = (await catalog.getBlob(child.digest)) !== undefined
    if (isHere && !(await isProven(catalog, place, child))) {
      unproven.push(child.digest)
      continue
    }
    if (child.kind === 'blob') continue
    next.push(...catalog.pins.childrenOf(child.digest))
    for (const referrer of catalog.pins.referrersOf(child.digest)) {
      const manifest = { digest: referrer, kind: 'manifest' } as const
      if (!(await isProven(catalog, place, manifest))) continue
      referrers.push(referrer)
      next.push(manifest)
    }
  }
  return { unproven: unproven.sort(), referrers: [...new Set(referrers)].sort() }
}

/** Whether the registry has given or confirmed it there, or it is what anyone can have. */
export async function isProven(
  catalog: SqliteCatalog,
  place: Place,
  { digest, kind }: Pick<Child, 'digest' | 'kind'>,
): Promise<boolean> {
  return (await catalog.getMember(place, digest, kind))?.isProven === true
}
