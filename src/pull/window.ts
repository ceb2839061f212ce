import { CHUNK_BYTES, copyOf } from '../chunk-memory.ts'
import type { Ingest } from '../store/ports.ts'
import { abortion } from './abortion.ts'
import type { ChunkPool } from './chunk-pool.ts'

/** Chunks that stay in memory behind the newest, for readers that keep up. */
const KEPT_CHUNKS = 8
/**
 * Chunks that wait for the disk before the registry must, where downloads have taken much memory; or,
 * without a disk, for the slowest reader.
 */
const MAX_WAITING_CHUNKS = 16
/** Chunks that are written before the first of them may leave memory. */
const WRITTEN_AT_ONCE = 4
/** Chunks read back from the file that readers who fell behind share. */
const SHARED_LOADS = 8

/** How long a download that cannot be stored waits for whoever it was begun for. */
const FIRST_READER_MS = 1_000

/** Nobody would have anything of the rest of this download. */
export class AbandonedError extends Error {
  override readonly name = 'AbandonedError'
}

/** Where one reader of a flight is. */
export interface Follower {
  readonly position: number
  /** What comes next, at most up to `limit`. It is lent until the next call of any method. */
  read(limit: number): Promise<Buffer>
  advance(bytes: number): void
  leave(): void
}

/**
 * The bytes of a flight: the newest in memory, all of them in the file. When the disk refuses, what
 * is not yet written stays in memory until every reader has passed it; memory stays bounded because
 * the download then waits for the slowest reader.
 */
export class Window {
  readonly chunks = new Map<number, Buffer>()
  readonly #ingest: Ingest | undefined
  readonly #onStoreFailed: (error: unknown) => void
  readonly #pool: ChunkPool
  readonly #onWritten: () => void
  readonly #followers = new Set<{ position: number }>()
  readonly #loads = new Map<number, Promise<Buffer>>()
  #received: number
  /** Bytes in the file: what is below may leave memory. */
  #written: number
  #isStored: boolean
  #writing: Promise<void> | undefined
  #room = Promise.withResolvers<void>()
  /** Whoever a download was begun for comes a moment after its first bytes. */
  #wasFollowed = false
  #closeWhenLeft: (() => Promise<void>) | undefined
  /** What is not in memory can be read no more. */
  #isClosed = false
  /** The chunks are for good what they are, and others may keep them. */
  #isGivenAway = false

  constructor(
    ingest: Ingest | undefined,
    onStoreFailed: (error: unknown) => void,
    pool: ChunkPool,
    onWritten: () => void = () => {},
  ) {
    this.#pool = pool
    this.#onWritten = onWritten
    this.#ingest = ingest
    this.#isStored = ingest !== undefined
    this.#received = ingest?.size ?? 0
    this.#written = this.#received
    this.#onStoreFailed = onStoreFailed
  }

  get received(): number {
    return this.#received
  }

  /** Bytes in the file, as long as all are stored. */
  get written(): number {
    return this.#written
  }

  /** False once the disk has refused. */
  get isStored(): boolean {
    return this.#isStored
  }

  /**
   * What others may keep once all is right: a blob that is in memory as a whole. The memory of a
   * larger one is used for the next, for the few chunks that are left save nobody a look at the file,
   * and V8 would have to look through everything it has for the new ones.
   */
  get keepsakes(): ReadonlyMap<number, Buffer> {
    return this.#isGivenAway ? this.chunks : new Map()
  }

  /** Nothing can be read back from the file any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  get isFull(): boolean {
    if (!this.#isStored) return this.chunks.size > MAX_WAITING_CHUNKS
    const waiting = indexOf(this.#received) - indexOf(this.#written)
    return waiting > MAX_WAITING_CHUNKS && !this.#pool.isPlenty
  }

  /** Whether a reader that starts at `position` can be given every byte from there. */
  holds(position: number): boolean {
    // Chunks leave in order, so the first that is not in the file tells of those after it.
    const first = this.#isClosed ? position : Math.max(position, this.#written)
    return first >= this.#received || this.chunks.has(indexOf(first))
  }

  /** What an earlier run left in the file, in order. */
  async *earlierBytes(): AsyncGenerator<Buffer> {
    const size = this.#received
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      const bytes = await this.#readFile(at, Math.min(CHUNK_BYTES, size - at))
      // A chunk that is not whole is going to be filled, so it has to be in memory.
      if (bytes.length < CHUNK_BYTES) bytes.copy(this.#chunkToFill(indexOf(at)))
      yield bytes
    }
  }

  append(bytes: Buffer): void {
    let taken = 0
    while (taken < bytes.length) {
      const index = indexOf(this.#received)
      const at = this.#received - index * CHUNK_BYTES
      const count = bytes.copy(this.#chunkToFill(index), at, taken)
      taken += count
      this.#received += count
      if (at + count === CHUNK_BYTES) this.#write()
    }
  }

  /** Bytes at `position`, at most up to `limit`, never across a chunk: a view, not a copy. */
  async read(position: number, limit: number): Promise<Buffer> {
    const index = indexOf(position)
    const base = index * CHUNK_BYTES
    const chunk = this.chunks.get(index) ?? (await this.#load(index, position))
    return chunk.subarray(position - base, Math.min(limit - base, CHUNK_BYTES))
  }

  follow(position: number): Follower {
    const follower = { position }
    this.#followers.add(follower)
    this.#wasFollowed = true
    let endLoan: (() => void) | undefined
    const giveBack = () => {
      endLoan?.()
      endLoan = undefined
    }
    return {
      get position() {
        return follower.position
      },
      read: (limit) => {
        giveBack()
        const chunk = this.chunks.get(indexOf(follower.position))
        if (chunk !== undefined) endLoan = this.#pool.lend(chunk)
        return this.read(follower.position, limit)
      },
      advance: (bytes) => {
        giveBack()
        follower.position += bytes
        if (!this.#isStored) this.#release()
      },
      leave: () => {
        giveBack()
        this.#followers.delete(follower)
        this.#release()
        if (this.#followers.size === 0) this.#closeWhenLeft?.().catch(this.#onStoreFailed)
      },
    }
  }

  /** Waits until the registry may go on. */
  async drained(signal: AbortSignal): Promise<void> {
    const aborted = abortion(signal)
    const late = Promise.withResolvers<void>()
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      late.resolve()
    }, FIRST_READER_MS)
    // Readers who are all further on have passed what has come since the last look.
    if (this.#followers.size > 0) this.#release()
    try {
      while (this.isFull) {
        const isUnread = !this.#isStored && this.#followers.size === 0
        if (isUnread && (isLate || this.#wasFollowed)) {
          throw new AbandonedError('the disk refuses the bytes and nobody reads them')
        }
        const waits = [this.#room.promise, aborted.promise]
        await Promise.race(isUnread ? [...waits, late.promise] : waits)
      }
    } finally {
      clearTimeout(timer)
      aborted.dispose()
    }
  }

  /** Forgets everything, to start again at 0. */
  async reset(): Promise<void> {
    await this.#settled()
    this.#giveBack()
    this.#loads.clear()
    this.#received = 0
    this.#written = 0
    await this.#attempt(() => this.#ingest?.reset())
  }

  /** Writes what is left and gives the file its final name. Readers may go on reading. */
  async commit(): Promise<void> {
    await this.#settled()
    await this.#attempt(async () => {
      await this.#appendUpTo(this.#received)
      // A file that has refused once lacks bytes, whatever its name says.
      if (this.#isStored) await this.#ingest?.commit()
    })
    if (this.#received <= KEPT_CHUNKS * CHUNK_BYTES) this.#giveAway()
    const close = () => {
      this.#isClosed = true
      this.#giveBack()
      return this.#attempt(() => this.#ingest?.[this.#isStored ? 'close' : 'discard']())
    }
    if (this.#followers.size === 0) return close()
    this.#closeWhenLeft = close
  }

  /** The flight has failed, so no reader comes back: the part is kept to be resumed, or removed. */
  async abandon(isPartGood: boolean): Promise<void> {
    await this.#settled()
    const isKept = isPartGood && this.#isStored && this.#received > 0
    if (isKept) await this.#attempt(() => this.#appendUpTo(this.#received))
    this.#giveBack()
    await this.#attempt(() => this.#ingest?.[isKept ? 'close' : 'discard']())
  }

  /** Whole chunks as they are; of the last, in which there may be little, a copy. */
  #giveAway(): void {
    this.#isGivenAway = true
    for (const [index, chunk] of this.chunks) {
      const used = this.#received - index * CHUNK_BYTES
      if (used >= CHUNK_BYTES) {
        this.#pool.giveAway()
        continue
      }
      this.chunks.set(index, copyOf(chunk.subarray(0, used)))
      this.#pool.giveBack(chunk)
    }
  }

  #giveBack(): void {
    if (this.#isGivenAway) return
    for (const chunk of this.chunks.values()) this.#pool.giveBack(chunk)
    this.chunks.clear()
  }

  #chunkToFill(index: number): Buffer {
    const existing = this.chunks.get(index)
    if (existing !== undefined) return existing
    const chunk = this.#pool.take()
    this.chunks.set(index, chunk)
    return chunk
  }

  #write(): void {
    if (!this.#isStored || this.#writing !== undefined) return
    this.#writing = this.#writeWholeChunks().finally(() => {
      this.#writing = undefined
      this.#release()
      // What came after its last look and before this line has started no writing of its own.
      if (this.#hasWholeChunks()) this.#write()
    })
  }

  /** Whole chunks wait for the disk. */
  #hasWholeChunks(): boolean {
    return this.#isStored && indexOf(this.#received) > indexOf(this.#written)
  }

  async #settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  async #writeWholeChunks(): Promise<void> {
    while (this.#hasWholeChunks()) {
      const whole = indexOf(this.#received)
      const next = Math.min(whole, indexOf(this.#written) + WRITTEN_AT_ONCE)
      await this.#attempt(() => this.#appendUpTo(next * CHUNK_BYTES))
      this.#release()
    }
  }

  async #appendUpTo(end: number): Promise<void> {
    if (!this.#isStored) return
    const buffers: Buffer[] = []
    for (let at = this.#written; at < end; ) {
      const bytes = await this.read(at, end)
      buffers.push(bytes)
      at += bytes.length
    }
    if (buffers.length === 0) return
    await this.#ingest?.append(buffers)
    this.#written = end
    this.#onWritten()
  }

  /** What is safe on disk, or has been passed by every reader, may leave memory. */
  #release(): void {
    const isSafe = this.#isStored || !this.#wasFollowed
    const passed = isSafe ? this.#written : Math.max(this.#written, this.#slowest())
    const oldestKept = indexOf(this.#received) - KEPT_CHUNKS
    for (const [index, chunk] of this.chunks) {
      if (index >= oldestKept || (index + 1) * CHUNK_BYTES > passed) continue
      this.chunks.delete(index)
      if (!this.#isGivenAway) this.#pool.giveBack(chunk)
    }
    const { resolve } = this.#room
    this.#room = Promise.withResolvers()
    resolve()
  }

  #slowest(): number {
    return Math.min(this.#received, ...[...this.#followers].map(({ position }) => position))
  }

  /** Readers that fell behind mostly stand at the same places, so they share what is read back. */
  async #load(index: number, position: number): Promise<Buffer> {
    if (position >= this.#written) throw new AbandonedError('these bytes were not kept')
    const shared = this.#loads.get(index)
    if (shared !== undefined) return shared
    const base = index * CHUNK_BYTES
    const load = this.#readFile(base, Math.min(CHUNK_BYTES, this.#written - base))
    this.#loads.set(index, load)
    load.catch(() => this.#loads.delete(index))
    for (const oldest of this.#loads.keys()) {
      if (this.#loads.size <= SHARED_LOADS) break
      this.#loads.delete(oldest)
    }
    return load
  }

  async #readFile(position: number, length: number): Promise<Buffer> {
    if (this.#ingest === undefined) throw new AbandonedError('these bytes were not kept')
    return this.#ingest.read(position, length)
  }

  /** A disk that refuses costs the copy, never the pull. */
  async #attempt(step: () => Promise<void> | undefined): Promise<void> {
    try {
      await step()
    } catch (error) {
      this.#isStored = false
      this.#onStoreFailed(error)
      this.#onWritten()
    }
  }
}

function indexOf(position: number): number {
  return Math.floor(position / CHUNK_BYTES)
}
