/**
 * What `pull` asks of the store. Two ports, so that a later pair over S3 and PostgreSQL fits without
 * touching `pull`: every method is one whole transaction and answers with a promise.
 */
import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { Repository, Tag } from '../oci/reference.ts'

/** Content-addressed bytes. What has its final name here was hashed to that name. */
export interface BlobStore {
  /** Bytes, or `undefined` when it is not here. */
  stat(digest: Digest): Promise<number | undefined>
  /** `undefined` when it is not here. What is open stays readable even if it is deleted. */
  open(digest: Digest): Promise<OpenBlob | undefined>
  /** A small content whole, such as a manifest; `undefined` when not here or over `maxBytes`. */
  read(digest: Digest, maxBytes: number): Promise<Buffer | undefined>
  /** Stores small content that the caller has verified; durable when it resolves. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>
  /** Begins, or goes on with, the download of `digest`. One at a time a digest: the caller sees to it. */
  ingest(digest: Digest): Promise<Ingest>
  /**
   * Begins to store content apart from every download, however many others store the same, and also
   * where nobody can say yet what it is.
   *
   * @param size bytes that it will have
   */
  stage(size: number): Promise<Staged>
  delete(digest: Digest): Promise<void>
  /**
   * Moves damaged bytes out of the way, where an operator can look at them. Never rejects: where the
   * disk refuses that, they are not here all the same until they are stored anew.
   */
  quarantine(digest: Digest): Promise<void>
  /** Of every content under its final name, each once, in batches, in no order. */
  digests(): AsyncIterable<readonly Digest[]>
}

export interface OpenBlob {
  readonly size: number
  /**
   * Exactly `length` bytes at `position`, in a buffer the caller owns; throws when they are not there.
   *
   * @param into the buffer to read them into, of at least `length` bytes; default: a new one
   */
  read(position: number, length: number, into?: Buffer): Promise<Buffer>
  close(): Promise<void>
}

/** A file that is being filled: `ingest/<hex>.part`. Writes append. */
export interface Ingest {
  readonly digest: Digest
  /** Bytes written so far, those of an earlier run included: they must be hashed again. */
  readonly size: number
  /** Its whole size, as soon as that is known: room is made meanwhile, and `append` waits for it. */
  expect(size: number): void
  /** Appends all of `buffers`, in order. One call at a time. */
  append(buffers: readonly Uint8Array[]): Promise<void>
  /** Exactly `length` bytes at `position`, of those written. */
  read(position: number, length: number): Promise<Buffer>
  /** Empties it, to start again at 0. */
  reset(): Promise<void>
  /** fsync, rename to the final name, fsync of the directory. The caller has verified the bytes. Closes nothing: `read` goes on. */
  commit(): Promise<void>
  /** Closes; the part stays, to be resumed. After a commit: only closes. */
  close(): Promise<void>
  /** Closes and deletes the part. */
  discard(): Promise<void>
}

/** Content that is being stored, in a file that goes at the next start unless it is committed. */
export interface Staged {
  /** Bytes written so far. */
  readonly size: number
  /** Appends all of `buffers`, in order. One call at a time. */
  append(buffers: readonly Uint8Array[]): Promise<void>
  /** Durable under its final name when it resolves. The caller has verified the bytes. Closes. */
  commit(digest: Digest): Promise<void>
  /** Closes and deletes; after a commit that has ended, does nothing. */
  discard(): Promise<void>
}

/** All that is known of an image somebody has brought, and vouches for. */
export interface BroughtImage {
  /** Whole and verified, in the store, and the place's own. */
  readonly blobs: readonly Child[]
  /** The same, with what they say. */
  readonly manifests: readonly {
    readonly record: ManifestRecord
    readonly children: readonly Child[]
  }[]
  /** Of both, whose bytes were hashed just now. */
  readonly hashed: ReadonlySet<Digest>
  readonly tag: { readonly tag: Tag; readonly record: TagRecord } | undefined
  /** When anyone was last let pull it, epoch milliseconds; `undefined`: that is not known. */
  readonly publicAt: number | undefined
}

/** Where a manifest, tag or blob was seen. */
export interface Place {
  /** The configured name of the upstream. */
  readonly upstream: string
  readonly repository: Repository
}

export interface ManifestRecord {
  readonly digest: Digest
  readonly mediaType: string
  readonly size: number
  readonly subject: Digest | undefined
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}

export interface TagRecord {
  readonly digest: Digest
  /** Epoch milliseconds of the last time the registry said so. */
  readonly checkedAt: number
  /** When it has answered since that the tag is not there, or not for us; epoch milliseconds. */
  readonly refusedAt?: number | undefined
}

/** What is known of stored bytes. */
export interface BlobRecord {
  readonly size: number
  /** When they were last hashed, epoch milliseconds; `undefined`: not known. */
  readonly verifiedAt: number | undefined
}

/** What a place is known to have. */
export interface Member {
  /** Bytes; -1: not known. */
  readonly size: number
  /**
   * Whether its bytes may be served there: the registry has given or confirmed it, or it is what
   * anyone can have. What a manifest merely lists may be somebody else's, known by its digest.
   */
  readonly isProven: boolean
}

/** A remembered answer to a list request: all tags of a repository, or all referrers of a digest. */
export interface ListRecord {
  readonly body: string
  readonly checkedAt: number
}

export interface CatalogTotals {
  readonly blobs: number
  readonly blobBytes: number
  readonly manifests: number
  readonly tags: number
}

/** The index of what the store holds and of what it learned. The files are the truth, this is not. */
export interface Catalog {
  /** The manifest, that `place` has it and lists its children, and, if given, its tag: at once. */
  putManifest(
    place: Place,
    manifest: ManifestRecord,
    children: readonly Child[],
    tag?: { readonly tag: Tag; readonly checkedAt: number },
  ): Promise<void>
  /** As if its registry had given all of it at `place`: all at once, or nothing. */
  putImage(place: Place, image: BroughtImage, usedAt: number): Promise<void>
  /** Only if the registry has given or confirmed it at `place`: a digest is not a right to it. */
  getManifest(place: Place, digest: Digest): Promise<ManifestRecord | undefined>
  /** The record by digest alone, whoever has it: for serving a child that `place` lists. */
  findManifest(digest: Digest): Promise<ManifestRecord | undefined>
  /** `undefined`: `place` is not known to have `digest` as that kind. */
  getMember(place: Place, digest: Digest, kind: Child['kind']): Promise<Member | undefined>
  /** The registry has confirmed that `place` has it. */
  putMember(place: Place, child: Child): Promise<void>
  deleteMember(place: Place, digest: Digest, kind: Child['kind']): Promise<void>
  /** Manifests of `place`, given or confirmed by its registry, whose subject is `subject`. */
  listReferrers(place: Place, subject: Digest): Promise<readonly ManifestRecord[]>

  getTag(place: Place, tag: Tag): Promise<TagRecord | undefined>
  /** What it says now; it is refused no longer. */
  putTag(place: Place, tag: Tag, record: TagRecord): Promise<void>
  /** The registry has said that the tag is not there, or not for us. What is not here stays so. */
  refuseTag(place: Place, tag: Tag, refusedAt: number): Promise<void>
  deleteTag(place: Place, tag: Tag): Promise<void>
  /** Names in byte order. */
  listTags(place: Place): Promise<readonly Tag[]>

  getList(place: Place, kind: 'tags' | 'referrers', key: string): Promise<ListRecord | undefined>
  putList(place: Place, kind: 'tags' | 'referrers', key: string, record: ListRecord): Promise<void>
  deleteLists(place: Place, kind: 'tags' | 'referrers'): Promise<void>

  /** Whether anything was ever learned of it. */
  hasPlace(place: Place): Promise<boolean>
  /** When the registry last let an anonymous caller pull from `place`, epoch milliseconds. */
  getPublicAt(place: Place): Promise<number | undefined>
  putPublicAt(place: Place, at: number | undefined): Promise<void>

  /** @param from the place whose registry gave it, which from then on is known to have it */
  putBlob(digest: Digest, size: number, usedAt: number, from?: Place): Promise<void>
  getBlob(digest: Digest): Promise<BlobRecord | undefined>
  deleteBlob(digest: Digest): Promise<void>
  /** Last uses gathered in memory, written in one transaction. */
  touch(usedAt: ReadonlyMap<Digest, number>): Promise<void>
  totals(): Promise<CatalogTotals>
  close(): Promise<void>
}
