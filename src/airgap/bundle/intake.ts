import { createHash } from 'node:crypto'

import PQueue from 'p-queue'

import { algorithmOf, type Digest, digestOf, encodedOf, isDigest } from '../../oci/digest.ts'
import { MAX_MANIFEST_BYTES } from '../../oci/manifest.ts'
import type { Damage } from '../../store/damage.ts'
import type { FailAt } from '../../store/failpoints.ts'
import type { Leases } from '../../store/leases.ts'
import type { BlobStore, Staged } from '../../store/ports.ts'
import { Holds } from '../holds.ts'
import { ArchiveError } from './errors.ts'
import type { TarEntry } from './tar-entries.ts'

export interface IntakeOptions {
  readonly blobs: Pick<BlobStore, 'stage' | 'stat' | 'read'>
  readonly damage: Pick<Damage, 'report'>
  readonly leases: Pick<Leases, 'hold'>
  /** Whether nothing is to be stored, and only looked at. */
  readonly isDry: boolean
  /** Told of bytes that were read. */
  readonly onBytes: (bytes: number) => void
  readonly failAt?: FailAt | undefined
}

/** How a content that nobody described is compressed. */
export type Compression = 'none' | 'gzip' | 'zstd'

export interface TakenContent {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly compression: Compression
}

/** As the store takes downloads: less would cost more promises than bytes. */
const WRITE_BYTES = 1024 * 1024
/** Contents that are made durable while others are read already. */
const COMMITS_AT_A_TIME = 4
const MAX_BLOB_BYTES = 64 * 1024 ** 3
/** What a dry run remembers of manifests, which it has nowhere to put. */
const MAX_DRY_BYTES = 64 * 1024 * 1024

/** Contents on their way from an archive into the store. Only what hashes to its name is kept. */
export class Intake {
  readonly #options: IntakeOptions
  /** What came or was here, by its size. */
  readonly #sizes = new Map<Digest, number>()
  readonly #added = new Map<Digest, number>()
  readonly #holds: Holds
  readonly #commits = new PQueue({ concurrency: COMMITS_AT_A_TIME })
  readonly #remembered = new Map<Digest, Buffer>()
  readonly #pieces = new Pieces()
  #rememberedBytes = 0
  #failure: { readonly error: unknown } | undefined

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#holds = new Holds(options.leases)
  }

  /** What was not here before, with its bytes. */
  get added(): ReadonlyMap<Digest, number> {
    return this.#added
  }

  /** Contents that have come. */
  get count(): number {
    return this.#sizes.size
  }

  /**
   * Takes what says by its name what it is. What is here is not read: no byte of it is taken.
   *
   * @throws {ArchiveError} it is something else
   */
  async take({ size, content }: TarEntry, digest: Digest): Promise<void> {
    requireSize(size)
    if (await this.#isHere(digest, size)) {
      for await (const bytes of content) this.#options.onBytes(bytes.length)
      return
    }
    const { digest: actual } = await this.#read(size, content, digest)
    if (actual === digest) return
    const name = `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`
    throw new ArchiveError(`the archive is damaged: the content of ${name} is ${actual}`)
  }

  /** Takes what nobody has named, and says what it is. @throws {ArchiveError} */
  async identify({ size, content }: TarEntry): Promise<TakenContent> {
    requireSize(size)
    return await this.#read(size, content, undefined)
  }

  /** Takes what was made of an archive. */
  async put(bytes: Buffer): Promise<Digest> {
    const digest = digestOf(bytes)
    if (await this.#isHere(digest, bytes.length)) return digest
    await this.#read(bytes.length, [bytes], digest)
    return digest
  }

  /** Bytes of what came, or was here before; `undefined`: it is not here. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    const known = this.#sizes.get(digest)
    if (known !== undefined) return known
    await this.#holds.hold(digest)
    const size = await this.#options.blobs.stat(digest)
    if (size !== undefined) this.#sizes.set(digest, size)
    return size
  }

  /** A manifest, verified; `undefined`: it is not here, or too large to be one. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    await this.#holds.hold(digest)
    const bytes =
      this.#remembered.get(digest) ?? (await this.#options.blobs.read(digest, MAX_MANIFEST_BYTES))
    const isRight = bytes !== undefined && digestOf(bytes, algorithmOf(digest)) === digest
    if (isRight) this.#sizes.set(digest, bytes.length)
    return isRight ? bytes : undefined
  }

  /** Resolves once all that came is durable. @throws what storing any of it failed with */
  async settle(): Promise<void> {
    await this.#commits.onIdle()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** From now on what came may be removed. Never rejects. */
  async end(): Promise<void> {
    await this.#commits.onIdle()
    await this.#holds.release()
  }

  async #isHere(digest: Digest, size: number): Promise<boolean> {
    if (this.#sizes.has(digest)) return true
    await this.#holds.hold(digest)
    const { blobs, damage, isDry } = this.#options
    const here = await blobs.stat(digest)
    if (here === undefined) return false
    const isRight = here === size && (await this.#isSound(digest, size))
    if (isRight) this.#sizes.set(digest, size)
    else if (!isDry) await damage.report(digest, here === size ? 'digest' : 'size')
    return isRight
  }

  /** What may be a manifest is read in any case; whether a layer is still right is for others to see. */
  async #isSound(digest: Digest, size: number): Promise<boolean> {
    if (size > MAX_MANIFEST_BYTES) return true
    const bytes = await this.#options.blobs.read(digest, MAX_MANIFEST_BYTES)
    return bytes !== undefined && digestOf(bytes, algorithmOf(digest)) === digest
  }

  async #read(
    size: number,
    content: AsyncIterable<Buffer> | Iterable<Buffer>,
    expected: Digest | undefined,
  ): Promise<TakenContent> {
    if (this.#failure !== undefined) throw this.#failure.error
    await this.#commits.onSizeLessThan(1)
    const writer = new Writer(
      this.#options.isDry ? undefined : await this.#options.blobs.stage(size),
      this.#pieces,
    )
    let isQueued = false
    try {
      const taken = await this.#copy(size, content, expected, writer)
      const { digest } = taken
      const isWanted = expected === undefined || expected === digest
      const isNew = isWanted && !(await this.#isHere(digest, size))
      if (isNew) {
        this.#options.failAt?.('import.staged')
        this.#sizes.set(digest, size)
        this.#remember(digest, writer)
        this.#commit(digest, size, writer)
        isQueued = true
      }
      return taken
    } finally {
      if (!isQueued) await writer.discard()
    }
  }

  async #copy(
    size: number,
    content: AsyncIterable<Buffer> | Iterable<Buffer>,
    expected: Digest | undefined,
    writer: Writer,
  ): Promise<TakenContent> {
    const algorithm = expected === undefined ? 'sha256' : algorithmOf(expected)
    const hash = createHash(algorithm)
    for await (const bytes of content) {
      hash.update(bytes)
      this.#options.onBytes(bytes.length)
      await writer.write(bytes)
    }
    await writer.flush()
    const digest = `${algorithm}:${hash.digest('hex')}`
    if (!isDigest(digest)) throw new Error(`${digest} is no digest`)
    return { digest, size, compression: compressionOf(writer.head) }
  }

  #commit(digest: Digest, size: number, writer: Writer): void {
    const commit = async () => {
      try {
        await writer.commit(digest)
        if (!this.#options.isDry) this.#added.set(digest, size)
        this.#options.failAt?.('import.committed')
      } catch (error) {
        this.#failure ??= { error }
      }
    }
    void this.#commits.add(commit)
  }

  #remember(digest: Digest, { head, whole }: Writer): void {
    if (!this.#options.isDry || whole === undefined || head[0] !== OPENING_BRACE) return
    this.#rememberedBytes += whole.length
    if (this.#rememberedBytes > MAX_DRY_BYTES) {
      throw new ArchiveError('the archive has more manifests than a dry run can look at')
    }
    this.#remembered.set(digest, whole)
  }
}

const OPENING_BRACE = 0x7b
const HEAD_BYTES = 4
const NO_BYTES = Buffer.alloc(0)

/**
 * Writes in large pieces, one of which is under way while the next is filled. They are used again:
 * what comes in small pieces would otherwise stay for the next collection of garbage.
 */
class Writer {
  readonly #staged: Staged | undefined
  readonly #pieces: Pieces
  #piece: Buffer | undefined
  #filled = 0
  #writing: Promise<void> = Promise.resolve()
  #head = NO_BYTES
  /** Of a dry run: all of it, as long as it may be a manifest. */
  #small: Buffer[] | undefined
  #size = 0

  /** @param staged `undefined`: nothing is written */
  constructor(staged: Staged | undefined, pieces: Pieces) {
    this.#staged = staged
    this.#pieces = pieces
    this.#small = staged === undefined ? [] : undefined
  }

  /** Its first bytes. */
  get head(): Buffer {
    return this.#head
  }

  /** All of it, of what is not written and small. */
  get whole(): Buffer | undefined {
    return this.#small === undefined ? undefined : Buffer.concat(this.#small)
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#head.length < HEAD_BYTES) {
      this.#head = Buffer.concat([this.#head, bytes.subarray(0, HEAD_BYTES)])
    }
    this.#size += bytes.length
    if (this.#size > MAX_MANIFEST_BYTES) this.#small = undefined
    this.#small?.push(bytes)
    if (this.#staged === undefined) return
    for (let at = 0; at < bytes.length; ) {
      this.#piece ??= this.#pieces.take()
      const copied = bytes.copy(this.#piece, this.#filled, at)
      this.#filled += copied
      at += copied
      if (this.#filled === this.#piece.length) await this.#begin(this.#staged)
    }
  }

  async flush(): Promise<void> {
    if (this.#staged !== undefined) await this.#begin(this.#staged)
    await this.#writing
  }

  async commit(digest: Digest): Promise<void> {
    await this.#staged?.commit(digest)
  }

  async discard(): Promise<void> {
    await this.#writing.catch(() => undefined)
    await this.#staged?.discard()
  }

  async #begin(staged: Staged): Promise<void> {
    const piece = this.#piece
    if (piece === undefined) return
    const filled = piece.subarray(0, this.#filled)
    this.#piece = undefined
    this.#filled = 0
    await this.#writing
    this.#writing = staged.append([filled]).finally(() => this.#pieces.give(piece))
    // Whoever waits for it is told.
    this.#writing.catch(() => undefined)
  }
}

/** Buffers that are used again. */
class Pieces {
  readonly #free: Buffer[] = []

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES)
  }

  give(piece: Buffer): void {
    this.#free.push(piece)
  }
}

function compressionOf(head: Buffer): Compression {
  const magic = head.toString('hex', 0, HEAD_BYTES)
  if (magic.startsWith('1f8b')) return 'gzip'
  return magic === '28b52ffd' ? 'zstd' : 'none'
}

function requireSize(size: number): void {
  if (size <= MAX_BLOB_BYTES) return
  throw new ArchiveError(`the archive has a content of ${size} bytes: no layer is so large`)
}
