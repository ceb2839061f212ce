import { OCI_MANIFEST } from '../../oci/media-types.ts'
import { ArchiveError } from './errors.ts'
import type { Compression, TakenContent } from './intake.ts'

/** An image of a `manifest.json`: names of files in the archive, and of the image. */
export interface DockerImage {
  readonly config: string
  readonly layers: readonly string[]
  readonly tags: readonly string[]
}

const MAX_IMAGES = 10_000
/** The engines unpack no more. */
const MAX_LAYERS = 1000
/** A link to a link to a link is nobody's layer. */
const MAX_HOPS = 4

const LAYER = 'application/vnd.oci.image.layer.v1.tar'
const LAYER_TYPES: Readonly<Record<Compression, string>> = {
  none: LAYER,
  gzip: `${LAYER}+gzip`,
  zstd: `${LAYER}+zstd`,
}

/** Reads what `docker save` writes as `manifest.json`. @throws {ArchiveError} */
export function parseDockerImages(bytes: Buffer): readonly DockerImage[] {
  let document: unknown
  try {
    document = JSON.parse(bytes.toString())
  } catch (cause) {
    throw new ArchiveError('manifest.json is not JSON', { cause })
  }
  if (!Array.isArray(document)) throw new ArchiveError('manifest.json is no list of images')
  if (document.length > MAX_IMAGES) {
    throw new ArchiveError(`manifest.json lists more than ${MAX_IMAGES} images`)
  }
  return document.map(toImage)
}

/**
 * The manifest of an image that came without one. The same archive gives the same bytes; its digest
 * is not that of the registry's, which the archive does not tell.
 */
export function synthesiseManifest(config: TakenContent, layers: readonly TakenContent[]): Buffer {
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: config.digest,
      size: config.size,
    },
    layers: layers.map(({ digest, size, compression }) => ({
      mediaType: LAYER_TYPES[compression],
      digest,
      size,
    })),
  }
  return Buffer.from(JSON.stringify(manifest))
}

/** The file that a name means, by way of links; within the archive alone. */
export function findFile(
  name: string,
  {
    files,
    links,
  }: {
    readonly files: ReadonlyMap<string, TakenContent>
    readonly links: ReadonlyMap<string, string>
  },
): TakenContent | undefined {
  let at = name
  for (let hop = 0; hop <= MAX_HOPS; hop++) {
    const file = files.get(at)
    if (file !== undefined) return file
    const target = links.get(at)
    if (target === undefined) return undefined
    at = target
  }
  return undefined
}

function toImage(value: unknown, index: number): DockerImage {
  const wrong = () => new ArchiveError(`manifest.json is not as docker save writes it: [${index}]`)
  if (typeof value !== 'object' || value === null) throw wrong()
  const { Config, Layers, RepoTags } = value as Record<string, unknown>
  const isFit = typeof Config === 'string' && isTexts(Layers) && isTexts(RepoTags ?? [])
  if (!isFit || Layers.length > MAX_LAYERS) throw wrong()
  return { config: Config, layers: Layers, tags: isTexts(RepoTags) ? RepoTags : [] }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}
