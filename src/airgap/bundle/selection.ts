import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Platforms } from '../../oci/platform.ts'
import {
  formatImageReference,
  type ImageReference,
  isTag,
  parseImageReference,
  type Tag,
} from '../../oci/reference.ts'
import type { Pin, ReferencePin } from '../../store/pin.ts'
import type { Catalog, Place } from '../../store/ports.ts'
import type { Upstream } from '../../upstream/routing.ts'
import { platformsOf, type ResolveTarget, resolveImage } from '../image.ts'

/** What is to be in a bundle. */
export interface Wanted {
  /** As people write them. */
  readonly images: readonly string[]
  /** Globs over `<upstream>/<repository>:<tag>`: every tag here that matches. */
  readonly patterns: readonly string[]
  /** Whether everything that is pinned is wanted. */
  readonly pinned: boolean
}

/** One image, and what it means here. */
export interface Chosen {
  /** Whole; of what is no image, as it was written. */
  readonly name: string
  readonly image: ChosenImage | undefined
  /** Why there is none. */
  readonly reason: string | undefined
}

export interface ChosenImage {
  /** As nodes name it. */
  readonly registry: string
  readonly place: Place
  /** `undefined`: it is known by its digest alone. */
  readonly tag: Tag | undefined
  readonly digest: Digest
  /** When its registry last said that the tag means it, epoch milliseconds; without a tag 0. */
  readonly checkedAt: number
  /** What its upstream takes of a multi-platform image. */
  readonly platforms: Platforms
}

export interface SelectionOptions {
  readonly catalog: Pick<Catalog, 'getTag'>
  readonly resolve: ResolveTarget
  readonly upstreams: () => readonly Upstream[]
  /** Every tag here that a glob over `<upstream>/<repository>:<tag>` matches. */
  readonly tagsMatching: (glob: string) => AsyncIterable<Place & { readonly tag: Tag }>
  readonly pins: () => readonly Pin[]
}

/** Finds out what of the store is meant. */
export class Selection {
  readonly #options: SelectionOptions

  constructor(options: SelectionOptions) {
    this.#options = options
  }

  /** Each image once. */
  async choose({ images, patterns, pinned }: Wanted): Promise<readonly Chosen[]> {
    const chosen = new Map<string, Chosen>()
    for (const text of images) put(chosen, await this.#named(text))
    for (const pattern of patterns) {
      for (const one of await this.#matching(pattern)) put(chosen, one)
    }
    if (pinned) for await (const one of this.#pinned()) put(chosen, one)
    return [...chosen.values()]
  }

  async #named(text: string): Promise<Chosen> {
    return await reasoned(text, async () => {
      const { place, platforms } = resolveImage(text, this.#options.resolve)
      return await this.#find(parseImageReference(text), place, platforms)
    })
  }

  async #matching(pattern: string): Promise<readonly Chosen[]> {
    const found: Chosen[] = []
    for await (const { tag, ...place } of this.#options.tagsMatching(pattern)) {
      found.push(await this.#at(place, tag, undefined))
    }
    return found.length > 0 ? found : [without(pattern, 'matches nothing here')]
  }

  async *#pinned(): AsyncGenerator<Chosen, void, undefined> {
    for (const pin of this.#options.pins()) {
      if (pin.kind === 'pattern') yield* await this.#matching(pin.pattern)
      else yield await this.#kept(pin)
    }
  }

  /** What a pin keeps is what its tag meant then, as after a loss of the database. */
  async #kept(pin: ReferencePin): Promise<Chosen> {
    const { kind, reference, digest, upstream, repository, checkedAt } = pin
    const tag = kind === 'tag' && isTag(reference) ? reference : undefined
    const chosen = await this.#at({ upstream, repository }, tag, digest)
    if (chosen.image === undefined) return chosen
    const platforms = pin.platforms === undefined ? undefined : platformsOf(pin.platforms)
    const image = { ...chosen.image, ...(platforms === undefined ? {} : { platforms }) }
    if (tag === undefined || image.tag !== undefined) return named(image)
    return named({ ...image, tag, checkedAt })
  }

  async #at(place: Place, tag: Tag | undefined, digest: Digest | undefined): Promise<Chosen> {
    const { upstream: name, repository } = place
    const upstream = this.#options.upstreams().find(({ config }) => config.name === name)
    const registry = upstream === undefined ? name : registryOf(upstream)
    const wanted = { registry, repository, tag, digest }
    if (upstream === undefined) {
      return without(formatImageReference(wanted), `no upstream called ${name} is configured`)
    }
    return await this.#find(wanted, place, platformsOf(upstream.config.platforms))
  }

  async #find(wanted: ImageReference, place: Place, platforms: Platforms): Promise<Chosen> {
    const { registry } = wanted
    const record =
      wanted.tag === undefined ? undefined : await this.#options.catalog.getTag(place, wanted.tag)
    const digest = wanted.digest ?? record?.digest
    if (digest === undefined) return without(formatImageReference(wanted), 'not here')
    // A digest counts more than the tag before it, which may have moved since.
    const tag = record?.digest === digest ? wanted.tag : undefined
    const checkedAt = tag === undefined ? 0 : (record?.checkedAt ?? 0)
    return named({ registry, place, tag, digest, checkedAt, platforms })
  }
}

/** A tag that was kept and has moved since is two images: the newest has the name. */
function put(chosen: Map<string, Chosen>, one: Chosen): void {
  const other = chosen.get(one.name)
  if (one.image === undefined || other?.image === undefined) {
    if (other === undefined || one.image !== undefined) chosen.set(one.name, one)
    return
  }
  if (one.image.digest === other.image.digest) return
  const [newest, older] =
    one.image.checkedAt > other.image.checkedAt ? [one, other.image] : [other, one.image]
  chosen.set(newest.name, newest)
  const untagged = named({ ...older, tag: undefined, checkedAt: 0 })
  chosen.set(untagged.name, untagged)
}

function named(image: ChosenImage): Chosen {
  const { registry, place, tag, digest } = image
  const { repository } = place
  const reference = tag === undefined ? { tag, digest } : { tag, digest: undefined }
  const name = formatImageReference({ registry, repository, ...reference })
  return { name, image, reason: undefined }
}

/** Of several names under which nodes know it, its own. */
function registryOf({ config: { name, match } }: Upstream): string {
  return match.includes(name) ? name : (match[0] ?? name)
}

async function reasoned(name: string, find: () => Promise<Chosen>): Promise<Chosen> {
  try {
    return await find()
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    return without(name, error.message)
  }
}

function without(name: string, reason: string): Chosen {
  return { name, image: undefined, reason }
}
