import type { Digest } from '../oci/digest.ts'
import { CHUNK_BYTES, type ChunkCache } from './chunks.ts'
import type { BlobStore, OpenBlob } from './ports.ts'

export interface StoredContentOptions {
  readonly digest: Digest
  /** What `stat` said. It is announced to the client, so a file of another length is an error. */
  readonly size: number
  readonly blobs: Pick<BlobStore, 'open'>
  readonly cache: ChunkCache
}

/** Bytes of a blob, both ends included. */
interface Range {
  readonly start: number
  readonly end: number
}

/** Asked before each chunk is read and before it is given out: it throws to end the reading. */
export type StopSignal = Pick<AbortSignal, 'throwIfAborted'>

/** A blob in the store. It holds nothing between reads, so one that is never read needs no closing. */
export class StoredContent {
  readonly size: number
  readonly #digest: Digest
  readonly #blobs: Pick<BlobStore, 'open'>
  readonly #cache: ChunkCache
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
   * Yields the bytes of `range` in buffers that are shared and must not be written to. While the
   * consumer is busy with one, the next is read, and no more.
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
      yield partOf(held, first, range)
      return
    }
    // Opened even if much of it is in memory: what is open can be read to its end, whatever is
    // deleted or dropped from memory meanwhile.
    const blob = await this.#open()
    try {
      signal?.throwIfAborted()
      let next = this.#load(blob, first, range)
      for (let index = first; index <= last; index++) {
        const chunk = next instanceof Promise ? await next : next
        signal?.throwIfAborted()
        if (index < last) next = this.#loadAhead(blob, index + 1, range)
        yield this.#isCacheable ? partOf(chunk, index, range) : chunk
      }
    } finally {
      await blob.close()
    }
  }

  #loadAhead(blob: OpenBlob, index: number, range: Range): Buffer | Promise<Buffer> {
    const next = this.#load(blob, index, range)
    // It may never be asked for. Who asks gets the failure all the same.
    if (next instanceof Promise) next.catch(() => {})
    return next
  }

  #load(blob: OpenBlob, index: number, range: Range): Buffer | Promise<Buffer> {
    const position = index * CHUNK_BYTES
    if (!this.#isCacheable) {
      const from = Math.max(position, range.start)
      return blob.read(from, Math.min(position + CHUNK_BYTES, range.end + 1) - from)
    }
    const held = this.#cache.peek(this.#digest, index)
    if (held !== undefined) return held
    const length = Math.min(CHUNK_BYTES, this.size - position)
    return this.#cache.get(this.#digest, index, () => blob.read(position, length))
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
