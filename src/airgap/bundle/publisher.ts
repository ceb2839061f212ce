import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Platforms } from '../../oci/platform.ts'
import type { Reference, Tag } from '../../oci/reference.ts'
import type { FailAt } from '../../store/failpoints.ts'
import type { BroughtImage, Catalog, Place, TagRecord } from '../../store/ports.ts'
import type { Upstream } from '../../upstream/routing.ts'
import { type Image, type ResolveTarget, resolveTarget } from '../image.ts'
import type { WalkDescriptor } from '../walk.ts'
import type { Bundle } from './bundle.ts'
import type { Candidate } from './candidates.ts'
import type { WholeImage, WholeImages } from './whole-image.ts'

/** What becomes of an image that was brought. */
export interface ImportedImage {
  readonly image: string
  /** `undefined`: the archive does not have enough of it to say. */
  readonly digest: Digest | undefined
  readonly state: 'published' | 'unchanged' | 'refused'
  /** Why it is refused, or what else is to be known of it. */
  readonly reason: string | undefined
}

export interface PublisherOptions {
  readonly catalog: Pick<Catalog, 'putImage' | 'getTag' | 'getMember' | 'getBlob'>
  readonly resolve: ResolveTarget
  /** It is in the catalog: what is remembered of the place elsewhere is of before. */
  readonly onPublished: (place: Place, tag: Tag | undefined, digest: Digest) => Promise<void>
  readonly pin: (place: Place, reference: Reference, platforms: Platforms) => Promise<void>
  /** Why nobody could read it here, although all of it is. */
  readonly obstacle: (
    image: Pick<Image, 'name' | 'upstream' | 'place'>,
  ) => Promise<string | undefined>
  /**
   * When a registry that has said nothing would have to have said it, for the tag to be asked for
   * where there is somebody to ask, and served where there is not; epoch milliseconds.
   */
  readonly unconfirmedAt: (upstream: Upstream, place: Place, tag: Tag) => number
  /** Epoch milliseconds of Larder's own clock. */
  readonly now: () => number
  readonly failAt?: FailAt | undefined
}

/** An image that may be published: nothing stands against it any more. */
export interface PlannedImage {
  readonly candidate: Candidate
  readonly upstream: Upstream
  readonly place: Place
  readonly tag: Tag | undefined
  readonly whole: WholeImage
}

export interface PlanContext {
  readonly whole: WholeImages
  readonly bundle: { readonly content: Bundle } | undefined
  readonly referrers: ReadonlyMap<Digest, readonly WalkDescriptor[]>
}

/** From images that an archive has to images that nodes can pull. */
export class Publisher {
  readonly #options: PublisherOptions

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Changes nothing. @returns a text: why it is refused. @throws {ArchiveError} */
  async plan(candidate: Candidate, context: PlanContext): Promise<PlannedImage | string> {
    const { name, root, platforms } = candidate
    if (typeof name === 'string') return name
    const target = this.#targetOf(name.registry, name.repository)
    if (typeof target === 'string') return target
    const whole = await context.whole.find({
      root,
      platforms: platforms ?? 'all',
      isStrict: platforms !== undefined,
      referrers: (digest) => context.referrers.get(digest) ?? [],
    })
    if ('missing' in whole) return whyMissing(whole.missing, context.bundle?.content)
    const { upstream, repository } = target
    const place = { upstream: upstream.config.name, repository }
    return { candidate, upstream, place, tag: name.tag, whole }
  }

  /** Whether `run` would change nothing. */
  async isUnchanged(
    { candidate, place, tag, whole }: PlannedImage,
    added: ReadonlyMap<Digest, number>,
  ): Promise<boolean> {
    const { catalog } = this.#options
    const { digest } = candidate.root
    if (tag !== undefined) {
      const known = await catalog.getTag(place, tag)
      const isAsNew = (known?.checkedAt ?? 0) >= (candidate.checkedAt ?? 0)
      if (known?.digest !== digest || !isAsNew) return false
    }
    for (const { digest: one, kind } of contentsOf(whole)) {
      if (added.has(one) || (await catalog.getBlob(one)) === undefined) return false
      if ((await catalog.getMember(place, one, kind))?.isProven !== true) return false
    }
    return true
  }

  /** @returns what else is to be known; `undefined`: nothing */
  async run(planned: PlannedImage, hashed: ReadonlySet<Digest>): Promise<string | undefined> {
    const { catalog, onPublished, now, failAt } = this.#options
    const { candidate, place, tag, whole, upstream } = planned
    const { digest } = candidate.root
    const known = tag && (await catalog.getTag(place, tag))
    const record = tag && this.#recordOf(planned, tag)
    const isOlder = known !== undefined && record !== undefined && isNewer(known, record)
    const isShown = candidate.isPublic && upstream.config.access === 'public'
    const checkedAt = Math.min(candidate.checkedAt ?? 0, now())
    const image: BroughtImage = {
      ...whole,
      hashed,
      tag: tag === undefined || record === undefined || isOlder ? undefined : { tag, record },
      publicAt: isShown ? checkedAt : undefined,
    }
    await catalog.putImage(place, image, now())
    failAt?.('import.published')
    await onPublished(place, image.tag?.tag, digest)
    if (!isOlder) return undefined
    return `the tag here is newer, and stays: it was checked at ${iso(known.checkedAt)}`
  }

  pin({ place, tag, candidate }: PlannedImage): Promise<void> {
    const { digest } = candidate.root
    const reference: Reference =
      tag === undefined ? { kind: 'digest', digest } : { kind: 'tag', tag }
    return this.#options.pin(place, reference, candidate.platforms ?? 'all')
  }

  obstacle({ candidate, upstream, place }: PlannedImage): Promise<string | undefined> {
    return this.#options.obstacle({ name: candidate.text, upstream, place })
  }

  #targetOf(registry: string, repository: string) {
    try {
      return resolveTarget(registry, repository, this.#options.resolve)
    } catch (error) {
      if (error instanceof RegistryError) return error.message
      throw error
    }
  }

  /** A bundle of another site's clock is not of tomorrow. */
  #recordOf({ candidate, upstream, place }: PlannedImage, tag: Tag): TagRecord {
    const { now, unconfirmedAt } = this.#options
    const { checkedAt = unconfirmedAt(upstream, place, tag), root } = candidate
    return { digest: root.digest, checkedAt: Math.max(0, Math.min(checkedAt, now())) }
  }
}

/** Each with its kind. */
export function contentsOf({ blobs, manifests }: WholeImage) {
  return [
    ...blobs.map(({ digest, kind }) => ({ digest, kind })),
    ...manifests.map(({ record }) => ({ digest: record.digest, kind: 'manifest' as const })),
  ]
}

/** What its registry has said since counts more than what is brought, a no included. */
function isNewer({ checkedAt, refusedAt = 0 }: TagRecord, brought: TagRecord): boolean {
  return Math.max(checkedAt, refusedAt) > brought.checkedAt
}

function whyMissing(missing: Digest, bundle: Bundle | undefined): string {
  const { base } = bundle ?? {}
  if (base === undefined) return `the archive lacks ${missing} of it`
  const which = `bundle ${base.id} (content of ${iso(base.contentAt)})`
  return `needs ${which}, which is not here whole: ${missing} is missing`
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString()
}
