import type { Descriptor, Platform } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import { isManifestType } from '../oci/media-types.ts'
import { chooseManifests, type Platforms } from '../oci/platform.ts'

/** An index of indexes of indexes is nobody's image: deeper than this, nothing can be had. */
const MAX_DEPTH = 8

/** Where a walk reads what it walks over. */
export interface WalkSource {
  /** Verified; `undefined`: it cannot be had, and what it lists is not known. */
  manifest(descriptor: WalkDescriptor): Promise<Manifest | undefined>
  /** What points at it, such as signatures; absent: nobody asks. */
  referrers?(digest: Digest): Promise<readonly WalkDescriptor[]>
}

/** A root is known by less than a descriptor. A size of -1 is unknown. */
export type WalkDescriptor = Pick<Descriptor, 'digest' | 'size'> &
  Partial<Pick<Descriptor, 'mediaType' | 'platform' | 'urls'>>

/** One content that an image needs. Each digest comes once as a manifest, and once as a blob. */
export interface Reached {
  readonly kind: 'manifest' | 'blob'
  readonly descriptor: WalkDescriptor
  /** Which manifest lists it, or is its subject; `undefined`: the root. */
  readonly parent: Digest | undefined
  /** What the image that it is part of is for, where its index says so. */
  readonly platform: Platform | undefined
  /** Of a manifest: what it says; `undefined`: it cannot be had. */
  readonly manifest: Manifest | undefined
  /** Came as a referrer, or is part of one: an image is whole without it. */
  readonly isReferrer: boolean
}

type Step = Omit<Reached, 'manifest'> & { readonly depth: number }

/**
 * Everything that an image reaches, itself first, each manifest before what it lists: the index, of
 * its entries those for `platforms`, their configs and layers, and what points at any of them.
 */
export async function* walk(
  root: WalkDescriptor,
  platforms: Platforms,
  source: WalkSource,
): AsyncGenerator<Reached, void, undefined> {
  const seen = new Set<string>()
  const next: Step[] = [
    {
      kind: 'manifest',
      descriptor: root,
      parent: undefined,
      platform: root.platform,
      isReferrer: false,
      depth: 0,
    },
  ]
  for (let step = next.shift(); step !== undefined; step = next.shift()) {
    const { depth, ...reached } = step
    const { descriptor, kind } = reached
    if (seen.has(kind + descriptor.digest)) continue
    seen.add(kind + descriptor.digest)
    const isRead = kind === 'manifest' && depth < MAX_DEPTH
    const manifest = isRead ? await source.manifest(descriptor) : undefined
    yield { ...reached, manifest }
    if (manifest === undefined) continue
    next.unshift(...stepsOf(step, manifest, platforms), ...(await referrersOf(step, source)))
  }
}

function stepsOf(from: Step, manifest: Manifest, platforms: Platforms): Step[] {
  const common = { parent: from.descriptor.digest, isReferrer: from.isReferrer }
  const manifests = chooseManifests(manifest.manifests, platforms).map(
    (descriptor): Step => ({
      ...common,
      kind: isManifestType(descriptor.mediaType) ? 'manifest' : 'blob',
      descriptor,
      platform: descriptor.platform ?? from.platform,
      depth: from.depth + 1,
    }),
  )
  const blobs = manifest.blobs.map(
    (descriptor): Step => ({
      ...common,
      kind: 'blob',
      descriptor,
      platform: from.platform,
      depth: from.depth + 1,
    }),
  )
  return [...manifests, ...blobs]
}

async function referrersOf(from: Step, source: WalkSource): Promise<Step[]> {
  const { digest } = from.descriptor
  const referrers = (await source.referrers?.(digest)) ?? []
  return referrers.map((descriptor) => ({
    kind: 'manifest',
    descriptor,
    parent: digest,
    platform: from.platform,
    isReferrer: true,
    depth: from.depth + 1,
  }))
}
