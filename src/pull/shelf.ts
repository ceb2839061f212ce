import { LRUCache } from 'lru-cache'

import { atMost } from '../bound.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { childrenOf, MAX_MANIFEST_BYTES, type Manifest, recordOf } from '../oci/manifest.ts'
import type { Tag } from '../oci/reference.ts'
import type { Damage } from '../store/damage.ts'
import type { BlobStore, Catalog, Place, TagRecord } from '../store/ports.ts'
import type { Epochs } from './epochs.ts'
import { isOutOfDescriptors } from './failures.ts'
import { keyPrefix } from './pull.ts'
import type { Restoration } from './restoration.ts'
import { Unsaved } from './unsaved.ts'

/** Manifests are small and asked for by every node of a rollout: they are served from memory. */
const MEMORY_BYTES = 64 * 1024 * 1024
const MEMORY_TAGS = 20_000

export interface StoredManifest {
  readonly digest: Digest
  readonly mediaType: string
  /** As the registry sent them. */
  readonly bytes: Buffer
}

export interface ShelfOptions {
  readonly blobs: BlobStore
  readonly catalog: Catalog
  readonly epochs: Epochs
  readonly restoration: Restoration
  readonly damage: Pick<Damage, 'report'>
  readonly onStoreFailed: (operation: string, error: unknown) => void
  /** A tag that was known to mean something else, or nothing, means this. */
  readonly onMoved?: (place: Place, tag: Tag, digest: Digest) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** What a registry has given. */
interface Fetched {
  readonly place: Place
  readonly manifest: Manifest
  readonly stored: StoredManifest
  /** When it was asked for. */
  readonly epoch: number
}

/** The manifests and tags that are here: in memory, else in the store. It asks no registry. */
export class Shelf {
  readonly #options: ShelfOptions
  readonly #manifests = new LRUCache<string, StoredManifest>({
    maxSize: MEMORY_BYTES,
    sizeCalculation: ({ bytes }) => bytes.length + 512,
  })
  readonly #tags = new LRUCache<string, TagRecord>(atMost(MEMORY_TAGS))
  readonly #unsaved: Unsaved

  constructor(options: ShelfOptions) {
    this.#options = options
    const onError = (error: unknown) => options.onStoreFailed('manifest', error)
    this.#unsaved = new Unsaved({ onError, now: options.now })
  }

  /** Only if it may be served at `place`. */
  async find(place: Place, digest: Digest): Promise<StoredManifest | undefined> {
    const key = keyOf(place, digest)
    const remembered = this.#manifests.get(key)
    this.#unsaved.trySaving()
    if (remembered !== undefined) return remembered
    const epoch = this.#options.epochs.of(place)
    const { catalog, restoration } = this.#options
    const member = await restoration.ask(
      () => catalog.getMember(place, digest, 'manifest'),
      (answer) => answer?.isProven !== true,
    )
    const stored = member?.isProven ? await this.read(digest) : undefined
    if (stored !== undefined && this.#isCurrent(place, epoch)) this.#manifests.set(key, stored)
    return stored
  }

  /** Whichever place it came from: whether the caller may have it is for a registry to say. */
  async read(digest: Digest): Promise<StoredManifest | undefined> {
    const { catalog, damage } = this.#options
    const record = await catalog.findManifest(digest)
    const bytes = record && (await this.#readFile(digest))
    if (record === undefined || bytes === undefined) return undefined
    if (digestOf(bytes, algorithmOf(digest)) === digest) {
      return { digest, mediaType: record.mediaType, bytes }
    }
    await damage.report(digest, 'digest')
    return undefined
  }

  /** What the disk cannot give is not here: it is fetched again, and its file is replaced. */
  async #readFile(digest: Digest): Promise<Buffer | undefined> {
    try {
      return await this.#options.blobs.read(digest, MAX_MANIFEST_BYTES)
    } catch (error) {
      if (isOutOfDescriptors(error)) throw error
      this.#options.onStoreFailed('read', error)
      return undefined
    }
  }

  /**
   * Stores bytes that were verified, and what they say; without a disk, only in memory, until the
   * disk takes them.
   *
   * @param epoch when they were asked for: what is not of today is given back, but not kept
   */
  async keep(
    place: Place,
    manifest: Manifest,
    { digest, bytes }: { readonly digest: Digest; readonly bytes: Buffer },
    tag: Tag | undefined,
    epoch: number,
  ): Promise<StoredManifest> {
    const checkedAt = this.#options.now()
    const stored = { digest, mediaType: manifest.mediaType, bytes }
    const fetched = { place, manifest, stored, epoch }
    const key = keyOf(place, tag ?? digest)
    try {
      await this.#save(fetched, tag === undefined ? undefined : { tag, checkedAt })
      this.#unsaved.delete(key)
    } catch (error) {
      this.#options.onStoreFailed('manifest', error)
      this.#unsaved.add(key, () => this.#saveLater(fetched, tag))
    }
    if (!this.#isCurrent(place, epoch)) return stored
    this.#manifests.set(keyOf(place, digest), stored)
    if (tag !== undefined) this.#tagged(place, tag, { digest, checkedAt })
    return stored
  }

  async #save(
    { place, manifest, stored: { digest, bytes }, epoch }: Fetched,
    tagged: { readonly tag: Tag; readonly checkedAt: number } | undefined,
  ): Promise<void> {
    const { blobs, catalog, now } = this.#options
    await blobs.put(digest, bytes)
    if (!this.#isCurrent(place, epoch)) return
    const record = recordOf(digest, bytes.length, manifest)
    await catalog.putManifest(place, record, childrenOf(manifest), tagged)
    await catalog.putBlob(digest, bytes.length, tagged?.checkedAt ?? now())
  }

  /** What memory has, and the disk has not taken before: purged or replaced since, it is not saved. */
  async #saveLater(fetched: Fetched, tag: Tag | undefined): Promise<void> {
    const { place, stored, epoch } = fetched
    const isHere = this.#manifests.has(keyOf(place, stored.digest))
    if (!isHere || !this.#isCurrent(place, epoch)) return
    const record = tag === undefined ? undefined : this.#tags.peek(keyOf(place, tag))
    const means = record?.digest === stored.digest ? record : undefined
    if (tag === undefined || means === undefined) return this.#save(fetched, undefined)
    await this.#save(fetched, { tag, checkedAt: means.checkedAt })
    // A pin could not follow to what was not in the store.
    this.#options.onMoved?.(place, tag, stored.digest)
  }

  async tag(place: Place, tag: Tag): Promise<TagRecord | undefined> {
    const key = keyOf(place, tag)
    const remembered = this.#tags.get(key)
    if (remembered !== undefined) return remembered
    const epoch = this.#options.epochs.of(place)
    const { catalog, restoration } = this.#options
    const record = await restoration.ask(() => catalog.getTag(place, tag))
    if (record !== undefined && this.#isCurrent(place, epoch)) this.#tags.set(key, record)
    return record
  }

  /** The registry, asked in `epoch`, has said that the tag means this digest. */
  async putTag(place: Place, tag: Tag, digest: Digest, epoch: number): Promise<void> {
    if (!this.#isCurrent(place, epoch)) return
    const record = { digest, checkedAt: this.#options.now() }
    try {
      await this.#options.catalog.putTag(place, tag, record)
    } catch (error) {
      this.#options.onStoreFailed('tag', error)
    }
    if (this.#isCurrent(place, epoch)) this.#tagged(place, tag, record)
  }

  /**
   * Its file is damaged or gone: stores it again from memory.
   *
   * @returns whether it was there
   */
  async restore(digest: Digest): Promise<boolean> {
    const { blobs, catalog, now } = this.#options
    for (const { digest: known, bytes } of this.#manifests.values()) {
      if (known !== digest) continue
      await blobs.put(digest, bytes)
      await catalog.putBlob(digest, bytes.length, now())
      return true
    }
    return false
  }

  /** They have left the store: what was served from memory would outlive what it lists. */
  drop(digests: ReadonlySet<Digest>): void {
    for (const memory of [this.#manifests, this.#tags]) {
      for (const [key, { digest }] of memory.entries()) if (digests.has(digest)) memory.delete(key)
    }
  }

  /** The place has lost them, though the bytes may be there for others. */
  dropAt(place: Place, references: readonly (Tag | Digest)[]): void {
    for (const reference of references) {
      const key = keyOf(place, reference)
      this.#tags.delete(key)
      this.#manifests.delete(key)
    }
  }

  #tagged(place: Place, tag: Tag, record: TagRecord): void {
    const key = keyOf(place, tag)
    const before = this.#tags.get(key)
    this.#tags.set(key, record)
    if (before?.digest !== record.digest) this.#options.onMoved?.(place, tag, record.digest)
  }

  /** The registry, asked in `epoch`, has said no to the tag. What it meant stays. */
  async refuseTag(place: Place, tag: Tag, epoch: number): Promise<void> {
    const known = await this.tag(place, tag)
    if (known === undefined || !this.#isCurrent(place, epoch)) return
    const refusedAt = this.#options.now()
    this.#tags.set(keyOf(place, tag), { ...known, refusedAt })
    try {
      await this.#options.catalog.refuseTag(place, tag, refusedAt)
    } catch (error) {
      this.#options.onStoreFailed('tag', error)
    }
  }

  /** Others have written down what the tag means: what is remembered is of before. */
  moved(place: Place, tag: Tag, digest: Digest): void {
    this.#tags.delete(keyOf(place, tag))
    this.#options.onMoved?.(place, tag, digest)
  }

  /** One tag, or all of the place. The bytes stay. */
  async forgetTags(place: Place, tag: Tag | undefined): Promise<void> {
    const { catalog } = this.#options
    const tags = tag === undefined ? await catalog.listTags(place) : [tag]
    for (const one of tags) await catalog.deleteTag(place, one)
    const prefix = keyPrefix(place)
    for (const key of this.#tags.keys()) if (key.startsWith(prefix)) this.#tags.delete(key)
  }

  /** The place has it no longer, whatever is on disk. */
  async forgetManifest(place: Place, digest: Digest): Promise<void> {
    this.#manifests.delete(keyOf(place, digest))
    await this.#options.catalog.deleteMember(place, digest, 'manifest')
  }

  #isCurrent(place: Place, epoch: number): boolean {
    return this.#options.epochs.of(place) === epoch
  }
}

function keyOf(place: Place, reference: string): string {
  return `${keyPrefix(place)}${reference}`
}
