import { formatPlatform, type Platforms } from '../../oci/platform.ts'
import type { Catalog } from '../../store/ports.ts'
import { cosignTags, type Survey, type Surveyor, type SurveyRequest } from '../survey.ts'
import type { BundleBase, BundledImage } from './bundle.ts'
import { Draft, type ExportPlan } from './draft.ts'
import { ExportError } from './export-error.ts'
import type { Chosen, ChosenImage, Selection, Wanted } from './selection.ts'

export interface ExportRequest extends Wanted {
  /** `undefined`: those of the images' upstreams. */
  readonly platforms: Platforms | undefined
  /** Whether what points at the images is taken along, as far as it is known. */
  readonly referrers: boolean
  /** What is at the other side already, and is left out. */
  readonly base: BundleBase | undefined
  /** Whether images that are not whole are left out, instead of everything being refused. */
  readonly allowIncomplete: boolean
}

export interface PlannerOptions {
  readonly selection: Selection
  readonly surveyor: Surveyor
  readonly catalog: Pick<Catalog, 'findManifest' | 'getTag' | 'getPublicAt'>
  /** `larder 1.2.3` */
  readonly createdBy: string
}

/** Looks at every image in the store, to its last layer. */
export class Planner {
  readonly #options: PlannerOptions

  constructor(options: PlannerOptions) {
    this.#options = options
  }

  /**
   * @param hold keeps what is planned from being removed; absent: it may be gone when it is read
   * @throws {ExportError}
   * @throws the signal's reason
   */
  async plan(
    request: ExportRequest,
    signal: AbortSignal,
    hold?: SurveyRequest['hold'],
  ): Promise<ExportPlan> {
    const chosen = await this.#options.selection.choose(request)
    if (chosen.length === 0) throw new ExportError('NOT_FOUND', 'nothing is pinned')
    const platforms = request.platforms ?? commonPlatforms(chosen)
    const draft = new Draft()
    for (const one of chosen) {
      signal.throwIfAborted()
      await this.#add(draft, one, { ...request, platforms }, signal, hold)
    }
    return draft.plan(this.#options.createdBy, platforms, request.base)
  }

  async #add(
    draft: Draft,
    { name, image, reason }: Chosen,
    request: ExportRequest & { readonly platforms: Platforms },
    signal: AbortSignal,
    hold: SurveyRequest['hold'],
  ): Promise<void> {
    if (image === undefined) {
      draft.leaveOut({ image: name, reason, missing: [], missingBytes: 0 })
      return
    }
    const { place, digest } = image
    const { platforms, referrers } = request
    const { surveyor } = this.#options
    const survey = await surveyor.survey({ place, digest, platforms, referrers, hold, signal })
    const { here, missing, notFor } = survey
    if (missing.length > 0 || notFor !== undefined) {
      const missingBytes = missing.reduce((sum, { size }) => sum + Math.max(0, size), 0)
      draft.leaveOut({ image: name, reason: notFor, missing, missingBytes })
      return
    }
    draft.addContents(here)
    draft.addImage(await this.#describe(image))
    if (request.referrers) {
      for (const one of await this.#cosigned(image, survey)) {
        draft.addImage(await this.#describe(one))
      }
    }
  }

  /** What cosign says of an image it has under tags beside it: by these alone is it found. */
  async #cosigned(image: ChosenImage, { here }: Survey): Promise<readonly ChosenImage[]> {
    const found: ChosenImage[] = []
    for (const { digest, kind } of here) {
      if (kind !== 'manifest') continue
      for (const tag of cosignTags(digest)) {
        const record = await this.#options.catalog.getTag(image.place, tag)
        if (record !== undefined) found.push({ ...image, tag, ...record })
      }
    }
    return found
  }

  async #describe({
    registry,
    place,
    tag,
    digest,
    checkedAt,
  }: ChosenImage): Promise<BundledImage | undefined> {
    const { catalog } = this.#options
    const record = await catalog.findManifest(digest)
    if (record === undefined) return undefined
    const { mediaType, size } = record
    return {
      registry,
      repository: place.repository,
      ...(tag === undefined ? {} : { tag }),
      digest,
      mediaType,
      size,
      isPublic: (await catalog.getPublicAt(place)) !== undefined,
      checkedAt,
    }
  }
}

/** A bundle is whole for certain platforms: it says one time which. */
function commonPlatforms(chosen: readonly Chosen[]): Platforms {
  const found = new Map<string, Platforms>()
  for (const { image } of chosen) {
    if (image !== undefined) found.set(shown(image.platforms), image.platforms)
  }
  if (found.size > 1) {
    const configured = [...found.keys()].join('; ')
    const problem = `the upstreams of these images have different platforms configured`
    throw new ExportError('INVALID', `${problem} (${configured}): say which are wanted`)
  }
  return found.values().next().value ?? 'all'
}

function shown(platforms: Platforms): string {
  return platforms === 'all' ? platforms : platforms.map(formatPlatform).sort().join(', ')
}
