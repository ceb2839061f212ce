import { randomBytes } from 'node:crypto'

import { type Digest, parseDigest } from '../oci/digest.ts'
import type { Admission } from './admission.ts'
import type { Leases } from './leases.ts'
import type { BlobStore, Ingest, OpenBlob, Staged } from './ports.ts'
import type { Quota } from './quota.ts'
import type { Removal } from './removal.ts'

export interface CappedBlobsOptions {
  readonly blobs: BlobStore
  readonly quota: Quota
  readonly admission: Admission
  readonly removal: Pick<Removal, 'forgive'>
  readonly leases: Leases
  /** Before anything is written or room is made for it; throws where the disk refuses writes. */
  readonly assertWritable?: (() => void) | undefined
}

/** A blob store that keeps to its cap: what is written to it has its room first. */
export class CappedBlobs implements BlobStore {
  readonly #options: CappedBlobsOptions
  readonly #blobs: BlobStore

  constructor(options: CappedBlobsOptions) {
    this.#options = options
    this.#blobs = options.blobs
  }

  stat(digest: Digest): Promise<number | undefined> {
    return this.#blobs.stat(digest)
  }

  open(digest: Digest): Promise<OpenBlob | undefined> {
    return this.#blobs.open(digest)
  }

  read(digest: Digest, maxBytes: number): Promise<Buffer | undefined> {
    return this.#blobs.read(digest, maxBytes)
  }

  /** @throws {NoRoomError | StoreRestingError} */
  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const { admission, quota, removal, leases } = this.#options
    this.#options.assertWritable?.()
    const release = await leases.hold(digest)
    try {
      removal.forgive(digest)
      const before = await this.#blobs.stat(digest)
      if (before === undefined) await admission.reserve(digest, bytes.byteLength)
      await this.#blobs.put(digest, bytes)
      if (before === undefined) quota.wrote(digest, bytes.byteLength)
      quota.landed(digest, bytes.byteLength)
    } catch (error) {
      quota.release(digest)
      throw error
    } finally {
      release()
    }
  }

  async ingest(digest: Digest): Promise<Ingest> {
    const { leases, quota } = this.#options
    this.#options.assertWritable?.()
    const release = await leases.hold(digest)
    try {
      const ingest = await this.#blobs.ingest(digest)
      quota.keep(digest, ingest.size)
      return new CappedIngest(ingest, this.#options, release)
    } catch (error) {
      release()
      throw error
    }
  }

  /** @throws {NoRoomError | StoreRestingError} before anything is written */
  async stage(size: number): Promise<Staged> {
    const { admission, quota } = this.#options
    this.#options.assertWritable?.()
    const claim = claimOfItsOwn()
    try {
      await admission.reserve(claim, size)
      return new CappedStaged(await this.#blobs.stage(size), claim, this.#options)
    } catch (error) {
      quota.release(claim)
      throw error
    }
  }

  async delete(digest: Digest): Promise<void> {
    await this.#blobs.delete(digest)
  }

  async quarantine(digest: Digest): Promise<void> {
    await this.#blobs.quarantine(digest)
  }

  digests(): AsyncIterable<readonly Digest[]> {
    return this.#blobs.digests()
  }
}

/** Room is claimed by name, and who stages has none yet, or one that a download claims already. */
function claimOfItsOwn(): Digest {
  return parseDigest(`sha256:${randomBytes(32).toString('hex')}`)
}

/** Its room was made for it before. */
class CappedStaged implements Staged {
  readonly #staged: Staged
  readonly #claim: Digest
  readonly #options: CappedBlobsOptions

  constructor(staged: Staged, claim: Digest, options: CappedBlobsOptions) {
    this.#staged = staged
    this.#claim = claim
    this.#options = options
  }

  get size(): number {
    return this.#staged.size
  }

  /** @throws {StoreRestingError} */
  async append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#options.assertWritable?.()
    try {
      await this.#staged.append(buffers)
    } finally {
      this.#options.quota.wrote(this.#claim, this.#staged.size)
    }
  }

  async commit(digest: Digest): Promise<void> {
    const { leases, removal, quota } = this.#options
    const release = await leases.hold(digest)
    try {
      removal.forgive(digest)
      await this.#staged.commit(digest)
      quota.named(this.#claim, digest, this.#staged.size)
    } finally {
      quota.release(this.#claim)
      release()
    }
  }

  async discard(): Promise<void> {
    try {
      await this.#staged.discard()
    } finally {
      this.#options.quota.release(this.#claim)
    }
  }
}

/** A part that asks for room as it grows. While it is open its digest is in use. */
class CappedIngest implements Ingest {
  readonly digest: Digest
  readonly #ingest: Ingest
  readonly #options: CappedBlobsOptions
  readonly #release: () => void
  /** Of what was asked for so far. */
  #room: Promise<void> = Promise.resolve()
  #isCommitted = false

  constructor(ingest: Ingest, options: CappedBlobsOptions, release: () => void) {
    this.digest = ingest.digest
    this.#ingest = ingest
    this.#options = options
    this.#release = release
  }

  get size(): number {
    return this.#ingest.size
  }

  expect(size: number): void {
    const { admission } = this.#options
    this.#room = this.#room.then(() => admission.reserve(this.digest, size))
    // Whoever writes is told.
    this.#room.catch(() => {})
  }

  /** @throws {NoRoomError | StoreRestingError} */
  async append(buffers: readonly Uint8Array[]): Promise<void> {
    const { admission, quota } = this.#options
    await this.#room
    this.#options.assertWritable?.()
    const end = buffers.reduce((sum, { byteLength }) => sum + byteLength, this.#ingest.size)
    if (end > quota.claimOf(this.digest)) await admission.grow(this.digest, end)
    try {
      await this.#ingest.append(buffers)
    } finally {
      quota.wrote(this.digest, this.#ingest.size)
    }
  }

  read(position: number, length: number): Promise<Buffer> {
    return this.#ingest.read(position, length)
  }

  async reset(): Promise<void> {
    await this.#ingest.reset()
    this.#options.quota.wrote(this.digest, 0)
  }

  async commit(): Promise<void> {
    await this.#asked()
    this.#options.removal.forgive(this.digest)
    await this.#ingest.commit()
    this.#isCommitted = true
    this.#options.quota.landed(this.digest, this.#ingest.size)
  }

  async close(): Promise<void> {
    await this.#asked()
    try {
      await this.#ingest.close()
    } finally {
      if (!this.#isCommitted) this.#options.quota.keep(this.digest, this.#ingest.size)
      this.#release()
    }
  }

  async discard(): Promise<void> {
    await this.#asked()
    try {
      await this.#ingest.discard()
    } finally {
      if (!this.#isCommitted) this.#options.quota.release(this.digest)
      this.#release()
    }
  }

  /** Room that is granted after the end would never be given back. */
  async #asked(): Promise<void> {
    await this.#room.catch(() => {})
  }
}
