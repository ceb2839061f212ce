import { formatImageReference, type ImageReference } from '../../oci/reference.ts'
import type { Found, ImageMention, Note } from './mention.ts'

/** An image, with every place that names it. */
export interface NamedImage {
  readonly reference: ImageReference
  /** The whole reference: `docker.io/library/nginx:latest`. */
  readonly name: string
  /** Those that were asked for; none when a place asks for it without saying one. */
  readonly platforms: readonly string[]
  readonly mentions: readonly ImageMention[]
}

/** What all sources name together, in the order in which it is named. */
export interface Gathered {
  readonly images: readonly NamedImage[]
  /** What may be images, and is in none of the places that are there for them. */
  readonly maybe: readonly NamedImage[]
  readonly notes: readonly Note[]
}

/** Every image once, in the order in which they were named first. */
export function gather(found: readonly Found[]): Gathered {
  const mentions = found.flatMap(({ images }) => images)
  const notes = found.flatMap((one) => one.notes)
  const images = group(mentions.filter(({ certainty }) => certainty === 'sure'))
  const sure = new Set(images.map(({ name }) => name))
  const maybe = group(mentions.filter(({ certainty }) => certainty === 'maybe'))
  return { images, maybe: maybe.filter(({ name }) => !sure.has(name)), notes }
}

function group(mentions: readonly ImageMention[]): readonly NamedImage[] {
  const groups = Map.groupBy(mentions, ({ reference }) => formatImageReference(reference))
  return [...groups].map(([name, all]) => {
    const places = new Map(all.map((one) => [JSON.stringify([one.where, one.platform]), one]))
    const platforms = all.map(({ platform }) => platform)
    const asked = platforms.includes(undefined) ? [] : new Set(platforms)
    // A group has at least the one that made it.
    const [{ reference }] = all as [ImageMention]
    return {
      reference,
      name,
      platforms: [...asked].filter((one) => one !== undefined),
      mentions: [...places.values()],
    }
  })
}
