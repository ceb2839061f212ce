import { CHUNK_BYTES } from '../chunk-memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { ChunkCache } from './chunks.ts'
import type { BlobStore, OpenBlob } from './ports.ts'

export interface StoredContentOptions {
  readonly digest: Digest
  /** What `stat` said. It is announced to the client, so a file of another length is an error. */
  readonly size: number
  readonly blobs: Pick<BlobStore, 'open'>
  readonly cache: Chunks
}

/** What of the cache the reader of a blob needs. */
export type Chunks = Pick<ChunkCache, 'maxBytes' | 'loans' | 'take' | 'peek' | 'get'>

/** Bytes of a blob, both ends included. */
interface Range {
  readonly start: number
  readonly end: number
}

/** Bytes in memory for one reader, until it ends. */
interface Loan {
  readonly bytes: Buffer | Promise<Buffer>
  end(): void
}

/** Asked before each chunk is read and before it is given out: it throws to end the reading. */
export type StopSignal = Pick<AbortSignal, 'throwIfAborted'>

/** A blob in the store. It holds nothing between reads, so one that is never read needs no closing. */
export class StoredContent {
  readonly size: number
  readonly #digest: Digest
  readonly #blobs: Pick<BlobStore, 'open'>
  readonly #cache: Chunks
  readonly #isCacheable: boolean

  constructor({ digest, size, blobs, cache }: StoredContentOptions) {
    this.size = size
    this.#digest = digest
    this.#blobs = blobs
    this.#cache = cache
    // One that is larger would drive out everything else, itself included.
    this.#isCacheable = size <= cache.maxBytes
  }

  /**
   * Yields the bytes of `range` in buffers that are shared and must not be written to, and that are lent
   * until the next is asked for: then others may be read into them. While the
   * consumer is busy with one, the next is read, and no more; where readers hold much memory already,
   * pieces are smaller, and none is read ahead.
   */
  async *read(range: Range, signal?: StopSignal): AsyncGenerator<Buffer, void, undefined> {
    const { start, end } = range
    if (end < start) return
    if (start < 0 || end >= this.size) throw new RangeError(`bytes ${start}-${end} of ${this.size}`)
    signal?.throwIfAborted()
    const first = Math.floor(start / CHUNK_BYTES)
    const last = Math.floor(end / CHUNK_BYTES)
    const held = first === last ? this.#cache.peek(this.#digest, first) : undefined
    if (held !== undefined) {
      const end = this.#cache.loans.lend(held)
      try {
        yield partOf(held, first, range)
      } finally {
        end()
      }
      return
    }
    yield* this.#readOpened(range, signal)
  }

  /** From a file that is open: that can be read to its end, whatever is deleted meanwhile. */
  async *#readOpened(range: Range, signal: StopSignal | undefined): AsyncGenerator<Buffer> {
    const { loans } = this.#cache
    const blob = await this.#open()
    let loan: Loan | undefined
    let ahead: Loan | undefined
    try {
      signal?.throwIfAborted()
      for (let at = range.start; at <= range.end; ) {
        loan = ahead ?? this.#load(blob, { start: at, end: range.end })
        ahead = undefined
        const piece = loan.bytes instanceof Promise ? await loan.bytes : loan.bytes
        signal?.throwIfAborted()
        at += piece.byteLength
        if (at <= range.end && loans.isPlenty) {
          ahead = this.#loadAhead(blob, { start: at, end: range.end })
        }
        yield piece
        loan.end()
      }
    } finally {
      loan?.end()
      ahead?.end()
      await blob.close()
    }
  }

  #loadAhead(blob: OpenBlob, rest: Range): Loan {
    const next = this.#load(blob, rest)
    // It may never be asked for. Who asks gets the failure all the same.
    if (next.bytes instanceof Promise) next.bytes.catch(() => {})
    return next
  }

  /** The first of what is left, never across a chunk. */
  #load(blob: OpenBlob, rest: Range): Loan {
    const { loans } = this.#cache
    const index = Math.floor(rest.start / CHUNK_BYTES)
    const chunkEnd = Math.min((index + 1) * CHUNK_BYTES, rest.end + 1)
    const held = this.#isCacheable ? this.#cache.peek(this.#digest, index) : undefined
    if (loans.isPlenty) {
      if (held !== undefined) return { bytes: partOf(held, index, rest), end: loans.lend(held) }
      if (this.#isCacheable) return this.#share(blob, index, rest)
    }
    const most = loans.isPlenty ? CHUNK_BYTES : loans.pieceBytes
    const length = Math.min(chunkEnd - rest.start, most)
    if (held === undefined) return this.#readFor(blob, rest.start, length)
    const end = loans.reserve(length)
    // A copy, as a view would hold all of the chunk when the cache no longer does.
    const from = rest.start - index * CHUNK_BYTES
    return { bytes: Buffer.from(held.subarray(from, from + length)), end }
  }

  /** For one reader alone. */
  #readFor(blob: OpenBlob, position: number, length: number): Loan {
    const { loans } = this.#cache
    if (length < CHUNK_BYTES) {
      return { bytes: blob.read(position, length), end: loans.reserve(length) }
    }
    const chunk = this.#cache.take()
    // Who no longer wants it does not end the reading into it.
    const filled = loans.lend(chunk)
    return { bytes: blob.read(position, length, chunk).finally(filled), end: loans.lend(chunk) }
  }

  /** Through the cache, so that whoever comes to this chunk meanwhile gets it too. */
  #share(blob: OpenBlob, index: number, rest: Range): Loan {
    const position = index * CHUNK_BYTES
    const length = Math.min(CHUNK_BYTES, this.size - position)
    const load = () => {
      const memory = length === CHUNK_BYTES ? this.#cache.take() : undefined
      return blob.read(position, length, memory)
    }
    const loading = this.#cache.get(this.#digest, index, load)
    let end: (() => void) | undefined
    let isOver = false
    const bytes = loading.then((chunk) => {
      if (!isOver) end = this.#cache.loans.lend(chunk)
      return partOf(chunk, index, rest)
    })
    return {
      bytes,
      end() {
        isOver = true
        end?.()
      },
    }
  }

  async #open(): Promise<OpenBlob> {
    const blob = await this.#blobs.open(this.#digest)
    if (blob === undefined) throw new Error(`${this.#digest} is no longer in the store`)
    if (blob.size === this.size) return blob
    await blob.close()
    throw new Error(`${this.#digest} has ${blob.size} bytes, expected ${this.size}`)
  }
}

/** What of the chunk at `index` is in `range`; the chunk itself where that is all of it. */
function partOf(chunk: Buffer, index: number, range: Range): Buffer {
  const from = Math.max(0, range.start - index * CHUNK_BYTES)
  const to = Math.min(chunk.byteLength, range.end + 1 - index * CHUNK_BYTES)
  return from === 0 && to === chunk.byteLength ? chunk : chunk.subarray(from, to)
}
