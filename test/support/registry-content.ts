import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { referrersTag } from '../../src/oci/reference.ts'
import { type BuiltManifest, buildIndex, type Content } from './images.ts'

interface StoredRepository {
  readonly manifests: Map<string, BuiltManifest>
  readonly tags: Map<string, Digest>
  readonly blobs: Map<string, Buffer>
}

/** What the fault registry has. Blobs belong to the repositories they were put into. */
export class RegistryContent {
  readonly #repositories = new Map<string, StoredRepository>()

  has(repository: string): boolean {
    return this.#repositories.has(repository)
  }

  /** Puts an image, index or artifact with all that it names. */
  add(repository: string, content: Content, ...tags: readonly string[]): Digest {
    for (const child of content.children) this.add(repository, child)
    for (const [digest, bytes] of content.blobs) this.#make(repository).blobs.set(digest, bytes)
    this.putManifest(repository, content.manifest, ...tags)
    return content.manifest.digest
  }

  putManifest(repository: string, manifest: BuiltManifest, ...tags: readonly string[]): void {
    const { manifests, tags: all } = this.#make(repository)
    manifests.set(manifest.digest, manifest)
    for (const tag of tags) all.set(tag, manifest.digest)
  }

  putBlob(repository: string, bytes: Buffer, digest = digestOf(bytes)): Digest {
    this.#make(repository).blobs.set(digest, bytes)
    return digest
  }

  getBlob(repository: string, digest: string): Buffer | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest)
  }

  /** @param reference a tag or a digest */
  getManifest(repository: string, reference: string): BuiltManifest | undefined {
    const stored = this.#repositories.get(repository)
    return stored?.manifests.get(stored.tags.get(reference) ?? reference)
  }

  /** Whether there was anything to delete. A digest takes its tags with it. */
  deleteManifest(repository: string, reference: string): boolean {
    const stored = this.#repositories.get(repository)
    if (stored === undefined) return false
    if (stored.tags.delete(reference)) return true
    for (const [tag, digest] of stored.tags) if (digest === reference) stored.tags.delete(tag)
    return stored.manifests.delete(reference)
  }

  deleteBlob(repository: string, digest: string): boolean {
    return this.#repositories.get(repository)?.blobs.delete(digest) ?? false
  }

  /** In byte order. */
  listTags(repository: string): string[] {
    const tags = [...(this.#repositories.get(repository)?.tags.keys() ?? [])]
    return tags.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }

  /** Descriptors of the manifests whose subject is `subject`, as the referrers API lists them. */
  listReferrers(repository: string, subject: string): Record<string, unknown>[] {
    const manifests = this.#repositories.get(repository)?.manifests.values() ?? []
    return [...manifests].flatMap((manifest) => {
      const document = JSON.parse(manifest.bytes.toString()) as ManifestDocument
      if (document.subject?.digest !== subject) return []
      const { mediaType, digest } = manifest
      const artifactType = document.artifactType ?? document.config?.mediaType
      const { annotations } = document
      return [{ mediaType, digest, size: manifest.bytes.length, artifactType, annotations }]
    })
  }

  /** Lists `referrers` under the referrers tag, as clients do where a registry has no API for it. */
  tagReferrers(repository: string, subject: Digest, referrers: readonly Content[]): void {
    this.putManifest(repository, buildIndex(referrers).manifest, referrersTag(subject))
  }

  #make(name: string): StoredRepository {
    const known = this.#repositories.get(name)
    if (known !== undefined) return known
    const made = { manifests: new Map(), tags: new Map(), blobs: new Map() }
    this.#repositories.set(name, made)
    return made
  }
}

interface ManifestDocument {
  readonly subject?: { readonly digest?: string }
  readonly artifactType?: string
  readonly config?: { readonly mediaType?: string }
  readonly annotations?: Readonly<Record<string, string>>
}
