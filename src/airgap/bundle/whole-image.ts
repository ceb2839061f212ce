import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import {
  type Child,
  childrenOf,
  type Manifest,
  parseManifest,
  recordOf,
} from '../../oci/manifest.ts'
import { essence, isManifestType } from '../../oci/media-types.ts'
import { chooseManifests, type Platforms } from '../../oci/platform.ts'
import type { BroughtImage } from '../../store/ports.ts'
import { type Reached, type WalkDescriptor, type WalkSource, walk } from '../walk.ts'
import { ArchiveError } from './errors.ts'
import type { Intake } from './intake.ts'

export interface WholeRequest {
  readonly root: WalkDescriptor
  readonly platforms: Platforms
  /**
   * Whether every chosen platform has to be there. Otherwise those do that are: most tools save a
   * single one, with an index that lists them all.
   */
  readonly isStrict: boolean
  /** What points at a digest, such as signatures. */
  readonly referrers: (digest: Digest) => readonly WalkDescriptor[]
}

/** Everything of an image that is here. */
export interface WholeImage extends Pick<BroughtImage, 'blobs' | 'manifests'> {
  /** Of an index: how many of its images were chosen, and how many of these are here. */
  readonly parts: { readonly chosen: number; readonly here: number }
}

/** What an image lacks. */
export interface MissingPart {
  readonly missing: Digest
}

/** Every image of an archive may have some manifests in common with others; not all, again and again. */
const MAX_READINGS = 64
const FREE_BYTES = 64 * 1024 * 1024

/** Finds out whether all that an image needs has come, or was here. Stores nothing. */
export class WholeImages {
  readonly #intake: Pick<Intake, 'read' | 'sizeOf'>
  readonly #seen = new Set<Digest>()
  #seenBytes = 0
  /** Of manifests, each as often as it was read. */
  #readBytes = 0

  constructor(intake: Pick<Intake, 'read' | 'sizeOf'>) {
    this.#intake = intake
  }

  /** @throws {ArchiveError} a manifest lies about what it lists, or is none */
  async find(request: WholeRequest): Promise<WholeImage | MissingPart> {
    const { root, platforms, isStrict } = request
    const manifest = await this.readManifest(root)
    if (manifest === undefined) return { missing: root.digest }
    const chosen = chooseManifests(manifest.manifests, platforms)
    if (isStrict || chosen.length === 0) {
      const gathered = await this.#gather(root, request)
      const parts = { chosen: chosen.length, here: chosen.length }
      return 'missing' in gathered ? gathered : { ...gathered.content, parts }
    }
    return await this.#findParts(request, manifest, chosen)
  }

  /** `undefined`: it is not here. @throws {ArchiveError} it cannot be used */
  async readManifest({ digest, mediaType, size }: WalkDescriptor): Promise<Manifest | undefined> {
    const bytes = await this.#intake.read(digest)
    if (bytes === undefined) return undefined
    requireSize(digest, size, bytes.length)
    this.#count(digest, bytes.length)
    try {
      return parseManifest(bytes, essence(mediaType))
    } catch (cause) {
      if (!(cause instanceof RegistryError)) throw cause
      throw new ArchiveError(`${digest} cannot be used: ${cause.message}`, { cause })
    }
  }

  /** @throws {ArchiveError} of indexes that list indexes which have all of their entries in common */
  #count(digest: Digest, bytes: number): void {
    if (!this.#seen.has(digest)) this.#seenBytes += bytes
    this.#seen.add(digest)
    this.#readBytes += bytes
    if (this.#readBytes <= Math.max(FREE_BYTES, MAX_READINGS * this.#seenBytes)) return
    throw new ArchiveError('the archive has indexes that list the same again and again')
  }

  /** The root, and each image of it that is here whole. */
  async #findParts(
    request: WholeRequest,
    manifest: Manifest,
    chosen: Manifest['manifests'],
  ): Promise<WholeImage | MissingPart> {
    const { root } = request
    const bytes = await this.#intake.read(root.digest)
    if (bytes === undefined) return { missing: root.digest }
    const content = new Content()
    content.addManifest(root.digest, bytes.length, manifest)
    let here = 0
    let missing: Digest | undefined
    for (const descriptor of chosen.filter(({ mediaType }) => isManifestType(mediaType))) {
      const part = await this.#gather(descriptor, request)
      if ('missing' in part) {
        missing ??= part.missing
        continue
      }
      content.addAll(part.content)
      // What is for no machine is a statement about an image.
      if (descriptor.platform?.os !== 'unknown') here++
    }
    const images = chosen.filter(({ platform }) => platform?.os !== 'unknown').length
    if (here === 0 && missing !== undefined) return { missing }
    return { ...content.image, parts: { chosen: images, here } }
  }

  async #gather(
    root: WalkDescriptor,
    { platforms, referrers }: WholeRequest,
  ): Promise<{ readonly content: Pick<BroughtImage, 'blobs' | 'manifests'> } | MissingPart> {
    const source: WalkSource = {
      manifest: (descriptor) => this.readManifest(descriptor),
      referrers: async (digest) => referrers(digest),
    }
    const content = new Content()
    for await (const reached of walk(root, platforms, source)) {
      if (await this.#add(reached, content)) continue
      if (!reached.isReferrer) return { missing: reached.descriptor.digest }
    }
    return { content: content.image }
  }

  /** @returns false: it is not here */
  async #add({ kind, descriptor, manifest }: Reached, content: Content): Promise<boolean> {
    const { digest } = descriptor
    const size = await this.#intake.sizeOf(digest)
    if (size === undefined || (kind === 'manifest' && manifest === undefined)) return false
    requireSize(digest, descriptor.size, size)
    if (manifest === undefined) content.addBlob({ digest, size, kind })
    else content.addManifest(digest, size, manifest)
    return true
  }
}

class Content {
  readonly #blobs = new Map<Digest, Child>()
  readonly #manifests = new Map<Digest, BroughtImage['manifests'][number]>()

  get image(): Pick<BroughtImage, 'blobs' | 'manifests'> {
    return { blobs: [...this.#blobs.values()], manifests: [...this.#manifests.values()] }
  }

  addBlob(child: Child): void {
    this.#blobs.set(child.digest, child)
  }

  addManifest(digest: Digest, size: number, manifest: Manifest): void {
    const record = recordOf(digest, size, manifest)
    this.#manifests.set(digest, { record, children: childrenOf(manifest) })
  }

  addAll({ blobs, manifests }: Pick<BroughtImage, 'blobs' | 'manifests'>): void {
    for (const child of blobs) this.addBlob(child)
    for (const one of manifests) this.#manifests.set(one.record.digest, one)
  }
}

function requireSize(digest: Digest, said: number, size: number): void {
  if (said < 0 || said === size) return
  throw new ArchiveError(`a manifest says that ${digest} has ${said} bytes, and it has ${size}`)
}
