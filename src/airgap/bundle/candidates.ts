import type { Digest } from '../../oci/digest.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { isManifestType } from '../../oci/media-types.ts'
import type { Platforms } from '../../oci/platform.ts'
import type { WalkDescriptor } from '../walk.ts'
import type { Archive } from './archive.ts'
import { type Bundle, bundledName } from './bundle.ts'
import { findFile, synthesiseManifest } from './docker-archive.ts'
import { ArchiveError } from './errors.ts'
import type { Intake, TakenContent } from './intake.ts'
import { formatName, type ImageName, nameByAnnotations, nameByText } from './naming.ts'
import type { WholeImages } from './whole-image.ts'

/** An image that an archive has, and what it says of it. */
export interface Candidate {
  /** For people; its digest, where it has no name. */
  readonly text: string
  /** A text: why it has none. */
  readonly name: ImageName | string
  readonly root: WalkDescriptor
  /** Those of a bundle; `undefined`: those of the image's upstream, as far as they are here. */
  readonly platforms: Platforms | undefined
  /** When its registry last said what the tag means, epoch milliseconds; `undefined`: nobody knows. */
  readonly checkedAt: number | undefined
  readonly isPublic: boolean
  /** The manifest is the archive's own, made as it was saved: its digest is not the registry's. */
  readonly isSynthesised: boolean
}

/** Its configuration or a layer is not in the archive. */
export interface Incomplete {
  readonly text: string
  readonly reason: string
}

export interface Candidates {
  readonly images: readonly Candidate[]
  readonly incomplete: readonly Incomplete[]
  /** Manifests without a name, which may point at others. */
  readonly unnamed: readonly WalkDescriptor[]
}

export interface CandidateOptions {
  readonly archive: Archive
  readonly intake: Intake
  readonly whole: WholeImages
  readonly fallback: ImageName | undefined
}

/**
 * The images of an archive: by what Larder says of a bundle, else by the index of an image layout,
 * else by what `docker save` says.
 *
 * @throws {ArchiveError} it is no archive of images
 */
export async function findCandidates(options: CandidateOptions): Promise<Candidates> {
  const { bundle, index, docker } = options.archive
  if (bundle !== undefined) return ofBundle(bundle.content)
  if (index !== undefined) return await ofLayout(options, index)
  if (docker !== undefined) return await ofDocker(options)
  const message = 'this is no archive of images: it has neither an index.json nor a manifest.json'
  throw new ArchiveError(message)
}

function ofBundle({ images, blobs, platforms }: Bundle): Candidates {
  const roots = new Set(images.map(({ digest }) => digest))
  const others = blobs.filter(({ kind, digest }) => kind === 'manifest' && !roots.has(digest))
  return {
    images: images.map((image) => ({
      text: bundledName(image),
      name: { registry: image.registry, repository: image.repository, tag: image.tag },
      root: { digest: image.digest, size: image.size, mediaType: image.mediaType },
      platforms,
      checkedAt: image.checkedAt,
      isPublic: image.isPublic,
      isSynthesised: false,
    })),
    incomplete: [],
    unnamed: others.map(({ digest, size }) => ({ digest, size })),
  }
}

async function ofLayout(
  { archive, whole, fallback }: CandidateOptions,
  index: Manifest,
): Promise<Candidates> {
  const images: Candidate[] = []
  const unnamed: WalkDescriptor[] = []
  for (const { annotations = {}, ...root } of index.manifests) {
    if (!isManifestType(root.mediaType)) continue
    const manifest = await whole.readManifest(root)
    const name = nameByAnnotations(annotations, fallback)
    // What points at another image has its place from that one.
    if (typeof name === 'string' && manifest?.subject !== undefined) unnamed.push(root)
    else images.push(foreign(root, name, archive.docker !== undefined && isUncompressed(manifest)))
  }
  return { images, incomplete: [], unnamed }
}

async function ofDocker(options: CandidateOptions): Promise<Candidates> {
  const { archive, intake, fallback } = options
  const images: Candidate[] = []
  const incomplete: Incomplete[] = []
  for (const { config, layers, tags } of archive.docker ?? []) {
    const found = [config, ...layers].map((name) => findFile(name, archive))
    const lacking = [config, ...layers].find((_, at) => found[at] === undefined)
    if (lacking !== undefined) {
      const reason = `the archive lacks ${JSON.stringify(lacking.slice(0, 200))} of it`
      incomplete.push({ text: tags[0] ?? config, reason })
      continue
    }
    const [first, ...rest] = found.filter((one) => one !== undefined)
    if (first === undefined) continue
    const root = await synthesise(intake, first, rest)
    const names = tags.length > 0 ? tags.map(nameByText) : [nameByAnnotations({}, fallback)]
    for (const name of names) images.push(foreign(root, name, true))
  }
  await intake.settle()
  return { images, incomplete, unnamed: [] }
}

async function synthesise(
  intake: Intake,
  config: TakenContent,
  layers: readonly TakenContent[],
): Promise<WalkDescriptor> {
  const bytes = synthesiseManifest(config, layers)
  return { digest: await intake.put(bytes), size: bytes.length }
}

function foreign(
  root: WalkDescriptor,
  name: ImageName | string,
  isSynthesised: boolean,
): Candidate {
  const text = typeof name === 'string' ? root.digest : formatName(name, root.digest)
  const unknown = { platforms: undefined, checkedAt: undefined, isPublic: false }
  return { text, name, root, isSynthesised, ...unknown }
}

/** Registries have compressed layers: `docker save` of the classic store writes them as they are. */
function isUncompressed(manifest: Manifest | undefined): boolean {
  const layers = manifest?.blobs.slice(1) ?? []
  return layers.length > 0 && layers.every(({ mediaType }) => /[.]tar$/.test(mediaType))
}

/** By what each of them points at. */
export async function bySubject(
  unnamed: readonly WalkDescriptor[],
  whole: WholeImages,
): Promise<ReadonlyMap<Digest, readonly WalkDescriptor[]>> {
  const found = new Map<Digest, WalkDescriptor[]>()
  for (const descriptor of unnamed) {
    const subject = (await whole.readManifest(descriptor))?.subject?.digest
    if (subject === undefined) continue
    found.set(subject, [...(found.get(subject) ?? []), descriptor])
  }
  return found
}
