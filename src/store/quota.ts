import { statfs } from 'node:fs/promises'

import type { Digest } from '../oci/digest.ts'
import type { Part } from './blobs.ts'
import type { RetentionRows } from './catalog/retention.ts'

/** An amount of the file system's space. */
export type Space = { readonly bytes: number } | { readonly percent: number }

export interface StorageLimits {
  readonly maxSize: Space
  readonly minFree: Space
  /** `undefined`: content is not removed for being unused. */
  readonly unusedForMs: number | undefined
}

/** The file system, in bytes. */
export interface Disk {
  readonly size: number
  readonly free: number
  /** Absent: it makes them as they are needed. */
  readonly inodes?: { readonly total: number; readonly free: number }
}

export interface QuotaOptions {
  /** The data directory. */
  readonly path: string
  readonly rows: Pick<RetentionRows, 'usedBytes' | 'blob'>
  /** Asked each time, so that a changed configuration counts at once. */
  readonly settings: () => StorageLimits
  readonly measure?: (path: string) => Promise<Disk>
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
}

/** Space that content takes which has no row yet. */
interface Claim {
  /** What it may take. */
  bytes: number
  /** What of it is on the disk. */
  written: number
}

/** How old a look at the file system may be. */
const MEASURE_MS = 1000
/** What a few downloads and the database need at once; less where there are few altogether. */
const FREE_INODES = 16
const FREE_INODES_SHARE = 0.05
/** Of the cap: how far a removal goes once it has begun, so that the next is not due at once. */
const LOW_WATER = 0.9

/** How much is stored, and how much may be. In memory but for the sum of the rows. */
export class Quota {
  readonly #options: QuotaOptions
  readonly #measure: (path: string) => Promise<Disk>
  readonly #elapsed: () => number
  readonly #claims = new Map<Digest, Claim>()
  /** Whole files that are about to get their row. */
  readonly #landed = new Map<Digest, number>()
  #claimed = 0
  #written = 0
  #disk: Disk | undefined
  #measuredAt = Number.NEGATIVE_INFINITY
  #measuring: Promise<void> = Promise.resolve()
  /** Rows whose files are gone, which the database refused to delete. */
  #owedBytes = 0
  /** Files that are being deleted, whose rows count no more. */
  #goingBytes = 0

  constructor(options: QuotaOptions) {
    this.#options = options
    this.#measure = options.measure ?? measureDisk
    this.#elapsed = options.elapsed ?? (() => performance.now())
  }

  /** What an earlier run left. */
  seed(parts: readonly Part[]): void {
    for (const { digest, size } of parts) if (!this.#claims.has(digest)) this.keep(digest, size)
  }

  /** Stored, landing, and what downloads have been promised. */
  get usedBytes(): number {
    for (const digest of this.#landed.keys()) {
      if (this.#options.rows.blob(digest) !== undefined) this.#landed.delete(digest)
    }
    let landed = 0
    for (const size of this.#landed.values()) landed += size
    const stored = this.#options.rows.usedBytes() - this.#owedBytes + this.#goingBytes
    return stored + landed + this.#claimed
  }

  /** Of downloads that are not finished. */
  get partialBytes(): number {
    return this.#written
  }

  get maxBytes(): number {
    return this.#bytesOf(this.#options.settings().maxSize)
  }

  /** What fits when everything else is removed: the cap may be larger than the disk. */
  get mostBytes(): number {
    const { maxBytes } = this
    if (this.#disk === undefined) return maxBytes
    return Math.min(maxBytes, this.#disk.size - this.minFreeBytes)
  }

  get minFreeBytes(): number {
    return this.#bytesOf(this.#options.settings().minFree)
  }

  /**
   * Looks at the file system unless that was done a moment ago. To be awaited before `lacking`.
   *
   * @param isForced looks in any case
   */
  async refresh(isForced = false): Promise<void> {
    const now = this.#elapsed()
    if (isForced || now - this.#measuredAt >= MEASURE_MS) {
      this.#measuredAt = now
      this.#measuring = this.#look()
    }
    await this.#measuring
  }

  /** @returns bytes that must go before `extra` more fit, as of the last look; 0: they fit */
  lacking(extra: number): number {
    const overFull = this.usedBytes + extra - this.maxBytes
    if (this.#disk === undefined) return Math.max(0, overFull)
    return Math.max(Math.min(1, this.missingInodes), overFull, extra - this.spareBytes)
  }

  /** What of the file system nobody needs, as of the last look; `minFree` does. */
  get spareBytes(): number {
    if (this.#disk === undefined) return Number.MAX_SAFE_INTEGER
    return this.#disk.free - this.minFreeBytes - (this.#claimed - this.#written)
  }

  /** How many inodes must go until new files can be made, as of the last look; 0: none. */
  get missingInodes(): number {
    const inodes = this.#disk?.inodes
    if (inodes === undefined) return 0
    const kept = Math.min(FREE_INODES, Math.ceil(inodes.total * FREE_INODES_SHARE))
    return Math.max(0, kept - inodes.free)
  }

  /** @returns bytes that must go until both limits are kept with a tenth to spare */
  aboveLowWater(): number {
    if (this.#disk === undefined) return this.aboveCap()
    const unwritten = this.#claimed - this.#written
    const tooClose = Math.ceil(this.minFreeBytes / LOW_WATER) + unwritten - this.#disk.free
    return Math.max(this.aboveCap(), tooClose)
  }

  /** @returns bytes above the low water mark of the cap alone */
  aboveCap(): number {
    return Math.max(0, this.usedBytes - Math.floor(this.maxBytes * LOW_WATER))
  }

  /** What a content without a row has been promised. */
  claimOf(digest: Digest): number {
    return this.#claims.get(digest)?.bytes ?? 0
  }

  /** From now on `digest` may take `bytes` in all. */
  claim(digest: Digest, bytes: number): void {
    const claim = this.#claims.get(digest) ?? { bytes: 0, written: 0 }
    this.#set(digest, { bytes: Math.max(bytes, claim.bytes), written: claim.written })
  }

  /** `bytes` of it are on the disk. */
  wrote(digest: Digest, bytes: number): void {
    const claim = this.#claims.get(digest) ?? { bytes: 0, written: 0 }
    this.#note(claim.written - bytes)
    this.#set(digest, { bytes: Math.max(claim.bytes, bytes), written: bytes })
  }

  /** A part of so many bytes stays, and grows no more for now. */
  keep(digest: Digest, bytes: number): void {
    this.#set(digest, { bytes, written: bytes })
  }

  /** It has its final name, and soon its row. */
  landed(digest: Digest, size: number): void {
    this.#drop(digest)
    this.#landed.set(digest, size)
  }

  /**
   * What was written under a claim of its own turned out to be this, and has its final name. A download
   * of it may be under way all the same: that takes its room until it is done, too.
   */
  named(claim: Digest, digest: Digest, size: number): void {
    this.#drop(claim)
    this.#landed.set(digest, size)
  }

  /** Its part is gone, or was never made. The content may be here by another way. */
  release(digest: Digest): void {
    const claim = this.#claims.get(digest)
    if (claim !== undefined) this.#note(claim.written)
    this.#drop(digest)
  }

  /**
   * A file of so many bytes is about to be deleted, and takes its room until it is.
   *
   * @returns to be called then
   */
  going(bytes: number): () => void {
    this.#goingBytes += bytes
    return () => {
      this.#goingBytes -= bytes
    }
  }

  /** The file of so many bytes under its final name was deleted. */
  gone(digest: Digest, bytes: number): void {
    this.#landed.delete(digest)
    this.#note(bytes)
  }

  /** Other files of so many bytes were deleted. */
  freed(bytes: number): void {
    this.#note(bytes)
  }

  /** Rows of so many bytes are to be deleted whose files are gone already; 0: none. */
  owe(bytes: number): void {
    this.#owedBytes = bytes
  }

  /** A file system that does not say how large it is bounds nothing; the cap in bytes still holds. */
  async #look(): Promise<void> {
    this.#disk = await this.#measure(this.#options.path).catch(() => this.#disk)
  }

  #set(digest: Digest, claim: Claim): void {
    this.#drop(digest)
    if (claim.bytes === 0) return
    this.#claims.set(digest, claim)
    this.#claimed += claim.bytes
    this.#written += claim.written
  }

  #drop(digest: Digest): void {
    const claim = this.#claims.get(digest)
    if (claim === undefined) return
    this.#claims.delete(digest)
    this.#claimed -= claim.bytes
    this.#written -= claim.written
  }

  /** Keeps the last look true until the next. */
  #note(freed: number): void {
    if (this.#disk === undefined) return
    const { size, free, inodes } = this.#disk
    const freedInodes = freed > 0 ? 1 : 0
    this.#disk = {
      size,
      free: free + freed,
      ...(inodes && { inodes: { total: inodes.total, free: inodes.free + freedInodes } }),
    }
  }

  #bytesOf(space: Space): number {
    if ('bytes' in space) return space.bytes
    const size = this.#disk?.size
    return size === undefined ? Number.MAX_SAFE_INTEGER : Math.floor((size * space.percent) / 100)
  }
}

export async function measureDisk(path: string): Promise<Disk> {
  const { bsize, blocks, bavail, files, ffree } = await statfs(path)
  const inodes = files > 0 ? { inodes: { total: files, free: ffree } } : {}
  return { size: bsize * blocks, free: bsize * bavail, ...inodes }
}
