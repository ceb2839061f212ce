import type { Database } from 'better-sqlite3'

import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { Tag } from '../oci/reference.ts'
import { BlobRows, type CheckKey, type StoredBlob } from './catalog/blobs.ts'
import { type ClockRecord, ClockRow } from './catalog/clock.ts'
import { HotRows } from './catalog/hot-rows.ts'
import { ImageRows } from './catalog/images.ts'
import { type ListKind, ListRows } from './catalog/lists.ts'
import { ManifestRows } from './catalog/manifests.ts'
import { type MemberPlace, MemberRows } from './catalog/members.ts'
import { PinRows, toRow } from './catalog/pins.ts'
import { PlaceRows } from './catalog/places.ts'
import { RememberedRows } from './catalog/remembered.ts'
import { RetentionRows } from './catalog/retention.ts'
import { RunRows } from './catalog/runs.ts'
import { type Sample, SampleRows } from './catalog/samples.ts'
import { SelectionRows } from './catalog/selection.ts'
import { TagRows } from './catalog/tags.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import type { Pin, ReferencePin } from './pin.ts'
import type {
  BlobRecord,
  BroughtImage,
  Catalog,
  CatalogTotals,
  ListRecord,
  ManifestRecord,
  Member,
  Place,
  TagRecord,
} from './ports.ts'
import type { PullCount } from './pull-counts.ts'

/** A file without a row, and what its bytes say if they are a manifest. */
export interface FoundBlob {
  readonly digest: Digest
  readonly size: number
  readonly manifest:
    | { readonly record: ManifestRecord; readonly children: readonly Child[] }
    | undefined
}

/** When a tag began to point at a digest. */
export interface TagMove {
  readonly digest: Digest
  /** Epoch milliseconds. */
  readonly seenAt: number
}

/** A pin that has a file and no row, and what of it is on disk. */
export interface RestoredPin {
  readonly pin: ReferencePin
  /** What the place has to be known to have, in order to serve it. */
  readonly members: readonly Child[]
  /** What the place merely lists. */
  readonly listed: readonly Child[]
  readonly found: readonly FoundBlob[]
}

/** Of a layer that a thousand repositories share, enough to be asked. */
const MAX_SOURCES = 10

/** The catalog over one connection. Every write is durable when its promise resolves. */
export class SqliteCatalog implements Catalog {
  readonly #database: Database
  readonly #places: PlaceRows
  readonly #manifests: ManifestRows
  readonly #members: MemberRows
  readonly #tags: TagRows
  readonly #lists: ListRows
  readonly #blobs: BlobRows
  readonly #clock: ClockRow
  readonly #samples: SampleRows
  readonly #runs: RunRows
  /** Read without a promise: whether a digest may be evicted is asked within a transaction. */
  readonly pins: PinRows
  /** Read without a promise, as what is decided of a row and what is done to it must be one step. */
  readonly retention: RetentionRows
  readonly selection: SelectionRows
  readonly remembered: RememberedRows
  readonly images: ImageRows
  /** Answers that need no database: see `recalling`. */
  readonly hot: HotRows
  readonly #failAt: FailAt
  readonly #assertWritable: () => void
  readonly #transact: (work: () => void) => void

  /**
   * Takes over a database from `openDatabase`, and closes it at the end.
   *
   * @param assertWritable asked before what a pull would have written down; it throws while the disk
   *   refuses writes. What must not be forgotten is tried all the same.
   */
  constructor(
    database: Database,
    failAt: FailAt = NEVER_FAILS,
    assertWritable: () => void = () => {},
  ) {
    this.#failAt = failAt
    this.#assertWritable = assertWritable
    this.#database = database
    this.#places = new PlaceRows(database)
    this.#manifests = new ManifestRows(database)
    this.#members = new MemberRows(database)
    this.#tags = new TagRows(database)
    this.#lists = new ListRows(database)
    this.#blobs = new BlobRows(database)
    this.#clock = new ClockRow(database)
    this.#samples = new SampleRows(database)
    this.#runs = new RunRows(database)
    this.pins = new PinRows(database)
    this.retention = new RetentionRows(database)
    this.selection = new SelectionRows(database)
    this.remembered = new RememberedRows(database)
    this.images = new ImageRows(database)
    this.hot = new HotRows(database)
    this.#transact = database.transaction((work: () => void) => work())
  }

  get isOpen(): boolean {
    return this.#database.open
  }

  async putManifest(
    place: Place,
    manifest: ManifestRecord,
    children: readonly Child[],
    tag?: { readonly tag: Tag; readonly checkedAt: number },
  ): Promise<void> {
    const { digest, size } = manifest
    this.#assertWritable()
    this.#failAt('catalog.beforeManifest')
    const repositoryId = this.#places.ensure(place)
    this.#transact(() => {
      this.#manifests.put(manifest, children)
      this.#members.confirm(repositoryId, { digest, size, kind: 'manifest' })
      for (const child of children) this.#members.list(repositoryId, child)
      if (tag === undefined) return
      this.#tags.put(repositoryId, tag.tag, { digest, checkedAt: tag.checkedAt })
    })
    this.#failAt('catalog.afterManifest')
  }

  async putImage(place: Place, image: BroughtImage, usedAt: number): Promise<void> {
    const { blobs, manifests, hashed, tag, publicAt } = image
    const stored = (digest: Digest, size: number) => {
      if (hashed.has(digest)) return this.#blobs.put(digest, size, usedAt)
      this.#blobs.adopt(digest, size, usedAt)
      this.#blobs.touch(digest, usedAt)
    }
    this.#assertWritable()
    this.#failAt('catalog.beforeManifest')
    const id = this.#places.ensure(place)
    this.#transact(() => {
      for (const child of blobs) {
        stored(child.digest, child.size)
        this.#members.confirm(id, child)
      }
      for (const { record, children } of manifests) {
        const { digest, size } = record
        stored(digest, size)
        this.#manifests.put(record, children)
        this.#members.confirm(id, { digest, size, kind: 'manifest' })
        for (const child of children) this.#members.list(id, child)
      }
      const known = this.#places.publicAt(id) ?? Number.NEGATIVE_INFINITY
      if (publicAt !== undefined && publicAt > known) this.#places.setPublicAt(id, publicAt)
      if (tag !== undefined) this.#tags.put(id, tag.tag, tag.record)
    })
    this.#failAt('catalog.afterManifest')
  }

  async getManifest(place: Place, digest: Digest): Promise<ManifestRecord | undefined> {
    return this.#at(place, (id) => this.#manifests.getListed(id, digest))
  }

  async findManifest(digest: Digest): Promise<ManifestRecord | undefined> {
    return this.#manifests.get(digest)
  }

  async getMember(place: Place, digest: Digest, kind: Child['kind']): Promise<Member | undefined> {
    return this.#at(place, (repositoryId) => this.#members.get({ repositoryId, digest, kind }))
  }

  async putMember(place: Place, child: Child): Promise<void> {
    this.#assertWritable()
    this.#members.confirm(this.#places.ensure(place), child)
  }

  async deleteMember(place: Place, digest: Digest, kind: Child['kind']): Promise<void> {
    this.#at(place, (repositoryId) => this.#members.delete({ repositoryId, digest, kind }))
  }

  async listReferrers(place: Place, subject: Digest): Promise<readonly ManifestRecord[]> {
    return this.#at(place, (id) => this.#manifests.listReferrers(id, subject)) ?? []
  }

  async getTag(place: Place, tag: Tag): Promise<TagRecord | undefined> {
    return this.#at(place, (id) => this.#tags.get(id, tag))
  }

  async putTag(place: Place, tag: Tag, record: TagRecord): Promise<void> {
    this.#assertWritable()
    const id = this.#places.ensure(place)
    this.#transact(() => this.#tags.put(id, tag, record))
  }

  async refuseTag(place: Place, tag: Tag, refusedAt: number): Promise<void> {
    this.#at(place, (id) => this.#tags.refuse(id, tag, refusedAt))
  }

  async deleteTag(place: Place, tag: Tag): Promise<void> {
    this.#at(place, (id) => this.#tags.delete(id, tag))
  }

  async listTags(place: Place): Promise<readonly Tag[]> {
    return this.#at(place, (id) => this.#tags.list(id)) ?? []
  }

  /** Oldest first; a deleted tag keeps its history. */
  async listTagHistory(place: Place, tag: Tag): Promise<readonly TagMove[]> {
    return this.#at(place, (id) => this.#tags.listHistory(id, tag)) ?? []
  }

  async getList(place: Place, kind: ListKind, key: string): Promise<ListRecord | undefined> {
    return this.#at(place, (repositoryId) => this.#lists.get({ repositoryId, kind, key }))
  }

  async putList(place: Place, kind: ListKind, key: string, record: ListRecord): Promise<void> {
    this.#assertWritable()
    this.#lists.put({ repositoryId: this.#places.ensure(place), kind, key }, record)
  }

  async deleteLists(place: Place, kind: ListKind): Promise<void> {
    this.#at(place, (id) => this.#lists.deleteAll(id, kind))
  }

  async hasPlace(place: Place): Promise<boolean> {
    return this.#places.find(place) !== undefined
  }

  async getPublicAt(place: Place): Promise<number | undefined> {
    return this.#at(place, (id) => this.#places.publicAt(id))
  }

  async putPublicAt(place: Place, at: number | undefined): Promise<void> {
    this.#places.setPublicAt(this.#places.ensure(place), at)
  }

  async putBlob(digest: Digest, size: number, usedAt: number, from?: Place): Promise<void> {
    this.#failAt('catalog.beforeBlob')
    const id = from === undefined ? undefined : this.#places.ensure(from)
    this.#transact(() => {
      this.#blobs.put(digest, size, usedAt)
      if (id !== undefined) this.#members.confirm(id, { digest, size, kind: 'blob' })
    })
    this.#failAt('catalog.afterBlob')
  }

  async getBlob(digest: Digest): Promise<BlobRecord | undefined> {
    return this.#blobs.get(digest)
  }

  async deleteBlob(digest: Digest): Promise<void> {
    this.#blobs.delete(digest)
  }

  async touch(usedAt: ReadonlyMap<Digest, number>): Promise<void> {
    this.#transact(() => {
      for (const [digest, at] of usedAt) this.#blobs.touch(digest, at)
    })
  }

  /** In one transaction. What a place does not know is not counted. */
  async countPulls(counts: readonly PullCount[]): Promise<void> {
    this.#transact(() => {
      for (const { place, digest, ...pulls } of counts) {
        this.#at(place, (id) => this.#members.pulled(id, digest, pulls))
      }
    })
  }

  async totals(): Promise<CatalogTotals> {
    return this.#blobs.totals()
  }

  /** Rows for files that have none, in one transaction; rows that are there stay as they are. */
  async adopt(found: readonly FoundBlob[], at: number): Promise<void> {
    this.#transact(() => this.#adopt(found, at))
  }

  /** Those of `digests` that have no row. */
  async withoutRow(digests: readonly Digest[]): Promise<readonly Digest[]> {
    return this.#blobs.unknown(digests)
  }

  /** Digests that have a row, in order: at most `limit` that sort after `after`. */
  async pageBlobs(after: string, limit: number): Promise<readonly Digest[]> {
    return this.#blobs.page(after, limit)
  }

  /** The same, with all that is known of each. */
  async pageChecked(after: string, limit: number): Promise<readonly StoredBlob[]> {
    return this.#blobs.pageChecked(after, limit)
  }

  /** At most `limit` whose last check was not after `until`: never checked first, then longest ago. */
  async pageByCheck(after: CheckKey, until: number, limit: number): Promise<readonly StoredBlob[]> {
    return this.#blobs.pageByCheck(after, until, limit)
  }

  /** When bytes were hashed and found to be right, written in one transaction. */
  async putChecks(verifiedAt: ReadonlyMap<Digest, number>): Promise<void> {
    this.#transact(() => {
      for (const [digest, at] of verifiedAt) this.#blobs.checked(digest, at)
    })
  }

  /** Some places that can be asked for it: first those whose registry has given or confirmed it. */
  async listSources(digest: Digest): Promise<readonly MemberPlace[]> {
    return this.#members.placesOf(digest, MAX_SOURCES)
  }

  /** Where Larder's own time line last was; `undefined`: it has none yet. */
  getClock(): ClockRecord | undefined {
    return this.#clock.get()
  }

  /** Never goes back: an earlier time is not written. */
  putClock(record: ClockRecord): void {
    this.#clock.put(record)
  }

  /** In one transaction; those before the minute `from` are forgotten. */
  async putSamples(samples: readonly Sample[], from: number): Promise<void> {
    this.#assertWritable()
    this.#transact(() => {
      for (const sample of samples) this.#samples.add(sample)
      this.#samples.trim(from)
    })
  }

  /** From that minute on, oldest first. */
  async listSamples(from: number): Promise<readonly Sample[]> {
    return this.#samples.from(from)
  }

  /** In place of what was kept under its id; the oldest are forgotten. */
  async putRun(id: string, createdAt: number, body: string): Promise<void> {
    this.#transact(() => this.#runs.put({ id, createdAt, body }))
  }

  /** Their bodies, the oldest first. */
  async listRuns(): Promise<readonly string[]> {
    return this.#runs.list()
  }

  async putPins(pins: readonly Pin[]): Promise<void> {
    this.#transact(() => {
      for (const pin of pins) this.pins.put(toRow(pin))
    })
  }

  async deletePins(pins: readonly Pin[]): Promise<void> {
    this.#transact(() => {
      for (const pin of pins) this.pins.delete(toRow(pin))
    })
  }

  async deletePinRows(ids: readonly number[]): Promise<void> {
    this.#transact(() => {
      for (const id of ids) this.pins.deleteId(id)
    })
  }

  /** Rows for pins and all that they reach, in one transaction. What is known already stays. */
  async restorePins(restored: readonly RestoredPin[], at: number): Promise<void> {
    const placed = restored.map((one) => ({ ...one, id: this.#places.ensure(one.pin) }))
    this.#transact(() => {
      for (const { id, pin, members, listed, found } of placed) {
        this.#adopt(found, at)
        const root = found.find(({ digest }) => digest === pin.digest)?.manifest
        // Its type comes from a registry, that of an adopted one from a guess.
        if (root !== undefined) this.#manifests.put(root.record, root.children)
        for (const child of members) this.#members.confirm(id, child)
        for (const child of listed) this.#members.list(id, child)
        if (pin.kind === 'tag' && this.#tags.get(id, pin.reference as Tag) === undefined) {
          this.#tags.put(id, pin.reference as Tag, pin)
        }
        if (this.#places.publicAt(id) === undefined) this.#places.setPublicAt(id, pin.publicAt)
        this.pins.put(toRow(pin))
      }
    })
  }

  /** A second call does nothing. */
  async close(): Promise<void> {
    this.#database.close()
  }

  #adopt(found: readonly FoundBlob[], at: number): void {
    for (const { digest, size, manifest } of found) {
      this.#blobs.adopt(digest, size, at)
      if (manifest !== undefined) this.#manifests.adopt(manifest.record, manifest.children)
    }
  }

  #at<T>(place: Place, work: (repositoryId: number) => T): T | undefined {
    const id = this.#places.find(place)
    return id === undefined ? undefined : work(id)
  }
}
