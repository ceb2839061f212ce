import type { Platform } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts'
import { formatPlatform, isMatch, type Platforms } from '../oci/platform.ts'
import { type Reference, referrersTag, type Tag } from '../oci/reference.ts'
import type { BlobStore, Catalog, Place } from '../store/ports.ts'
import { type Reached, type WalkDescriptor, type WalkSource, walk } from './walk.ts'

/**
 * Why a content cannot be served without a network: its bytes are not here, or not right, or no
 * registry has ever given or confirmed them at this place, and a digest alone is no right to them.
 */
export type Lack = 'missing' | 'damaged' | 'unconfirmed'

export interface MissingContent {
  readonly digest: Digest
  readonly kind: 'manifest' | 'blob'
  /** Bytes; -1: not known. */
  readonly size: number
  readonly mediaType: string | undefined
  readonly platform: Platform | undefined
  /** Which manifest lists it; `undefined`: it is the image itself. */
  readonly parent: Digest | undefined
  readonly lack: Lack
}

export interface SurveyedContent {
  readonly digest: Digest
  readonly kind: 'manifest' | 'blob'
  /** Bytes. */
  readonly size: number
}

/** What of an image is here. What is missing of a manifest that is missing is not known. */
export interface Survey {
  readonly here: readonly SurveyedContent[]
  readonly missing: readonly MissingContent[]
  /** Why a node of the chosen platforms could not use it, though all of it may be here. */
  readonly notFor: string | undefined
}

export interface SurveyRequest {
  readonly place: Place
  readonly digest: Digest
  readonly platforms: Platforms
  /** Whether what points at the image has to be here too, as far as it is known. */
  readonly referrers: boolean
  /** Keeps each content from being removed before it is looked at; absent: it may go at once. */
  readonly hold?: ((digest: Digest) => Promise<void>) | undefined
  /** Hashes the bytes of blobs, where they are to be read; absent: their sizes have to do. */
  readonly hash?: (digest: Digest) => Promise<boolean>
  readonly signal?: AbortSignal | undefined
}

export interface SurveyorOptions {
  readonly catalog: Pick<
    Catalog,
    'getTag' | 'findManifest' | 'getMember' | 'getBlob' | 'getList' | 'listReferrers'
  >
  readonly blobs: Pick<BlobStore, 'stat' | 'read'>
}

/** What cosign calls the tags beside an image that hold its signatures and the like. */
const COSIGN_SUFFIXES = ['sig', 'att', 'sbom'] as const

/** The tags under which cosign keeps what it says of a digest. */
export function cosignTags(digest: Digest): readonly Tag[] {
  return COSIGN_SUFFIXES.map((suffix) => `${referrersTag(digest)}.${suffix}` as Tag)
}

/** Walks images in the store, as an offline site would have to serve them. Asks no registry. */
export class Surveyor {
  readonly #options: SurveyorOptions

  constructor(options: SurveyorOptions) {
    this.#options = options
  }

  /** What a reference means here; `undefined`: nothing that is known. */
  async digestOf(place: Place, reference: Reference): Promise<Digest | undefined> {
    if (reference.kind === 'digest') return reference.digest
    return (await this.#options.catalog.getTag(place, reference.tag))?.digest
  }

  /** Whether its bytes are here, wherever they are from. */
  async isStored(digest: Digest): Promise<boolean> {
    return (await this.#options.blobs.stat(digest)) !== undefined
  }

  /** Whether a blob is here, and may be served at the place. */
  async isHere(place: Place, digest: Digest): Promise<boolean> {
    const { catalog, blobs } = this.#options
    const member = await catalog.getMember(place, digest, 'blob')
    return member?.isProven === true && (await blobs.stat(digest)) !== undefined
  }

  async survey(request: SurveyRequest): Promise<Survey> {
    const { place, digest, platforms, referrers, hold, signal } = request
    const lacks = new Map<Digest, Lack>()
    const source: WalkSource = {
      manifest: async (descriptor) => {
        await hold?.(descriptor.digest)
        return await this.#readManifest(place, descriptor, lacks)
      },
      ...(referrers ? { referrers: (of: Digest) => this.#referrersOf(place, of) } : {}),
    }
    const here: SurveyedContent[] = []
    const missing: MissingContent[] = []
    let notFor: string | undefined
    for await (const reached of walk({ digest, size: -1 }, platforms, source)) {
      signal?.throwIfAborted()
      if (reached.parent === undefined) notFor = lackOfPlatform(reached.manifest, platforms)
      const found = await this.#lookAt(request, reached, lacks)
      if (typeof found === 'number') here.push({ ...contentOf(reached), size: found })
      else missing.push(missingOf(reached, found))
    }
    return { here, missing, notFor }
  }

  /** @returns its size in bytes when all is well */
  async #lookAt(
    { place, hold, hash }: SurveyRequest,
    { kind, descriptor, manifest }: Reached,
    lacks: ReadonlyMap<Digest, Lack>,
  ): Promise<number | Lack> {
    const { catalog, blobs } = this.#options
    const { digest } = descriptor
    if (kind === 'manifest' && manifest === undefined) return lacks.get(digest) ?? 'missing'
    if (kind === 'blob') await hold?.(digest)
    const size = await blobs.stat(digest)
    const row = await catalog.getBlob(digest)
    if (size === undefined || row === undefined) return 'missing'
    if (row.size !== size || (descriptor.size >= 0 && descriptor.size !== size)) return 'damaged'
    const member = await catalog.getMember(place, digest, kind)
    if (member?.isProven !== true) return 'unconfirmed'
    if (kind === 'blob' && hash !== undefined && !(await hash(digest))) return 'damaged'
    return size
  }

  async #readManifest(
    place: Place,
    { digest }: WalkDescriptor,
    lacks: Map<Digest, Lack>,
  ): Promise<Manifest | undefined> {
    const { catalog, blobs } = this.#options
    const record = await catalog.findManifest(digest)
    const bytes = await blobs.read(digest, MAX_MANIFEST_BYTES)
    if (record === undefined || bytes === undefined) return undefined
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      lacks.set(digest, 'damaged')
      return undefined
    }
    if ((await catalog.getMember(place, digest, 'manifest'))?.isProven !== true) {
      lacks.set(digest, 'unconfirmed')
      return undefined
    }
    return parseManifest(bytes, record.mediaType)
  }

  /** What the registry said last, what has come by itself, and what cosign's tags name. */
  async #referrersOf(place: Place, subject: Digest): Promise<readonly WalkDescriptor[]> {
    const { catalog } = this.#options
    const said = await catalog.getList(place, 'referrers', subject)
    const known = await catalog.listReferrers(place, subject)
    const tagged: WalkDescriptor[] = []
    for (const tag of cosignTags(subject)) {
      const record = await catalog.getTag(place, tag)
      if (record !== undefined) tagged.push({ digest: record.digest, size: -1 })
    }
    // Rows are only ever written by `pull/lists.ts`.
    const listed = said === undefined ? [] : (JSON.parse(said.body) as readonly WalkDescriptor[])
    return [...listed, ...known, ...tagged]
  }
}

/** An index may be for other platforms than those that are asked for. */
function lackOfPlatform(manifest: Manifest | undefined, wanted: Platforms): string | undefined {
  if (manifest === undefined || wanted === 'all') return undefined
  const offered = manifest.manifests
    .flatMap(({ platform }) => (platform === undefined ? [] : [platform]))
    .filter(({ os }) => os !== 'unknown')
  if (offered.length === 0) return undefined
  if (wanted.some((one) => offered.some((other) => isMatch(other, one)))) return undefined
  const names = new Set(offered.map(formatPlatform))
  return `is not for ${wanted.map(formatPlatform).join(', ')}, but for ${[...names].join(', ')}`
}

function contentOf({ kind, descriptor }: Reached) {
  return { kind, digest: descriptor.digest }
}

function missingOf({ kind, descriptor, platform, parent }: Reached, lack: Lack): MissingContent {
  const { digest, size, mediaType } = descriptor
  return { digest, kind, size, mediaType, platform, parent, lack }
}
