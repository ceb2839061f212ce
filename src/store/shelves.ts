import type { Digest } from '../oci/digest.ts'
import type { ChunkCache } from './chunks.ts'
import { StoredContent } from './content.ts'
import type { Leases } from './leases.ts'
import type { BlobStore } from './ports.ts'

export interface BlobShelvesOptions {
  readonly blobs: Pick<BlobStore, 'stat' | 'open'>
  readonly chunks: ChunkCache
  readonly leases: Leases
}

/** Bytes of a blob, both ends included. */
interface Range {
  readonly start: number
  readonly end: number
}

/** Between the opening and the first read an answer gets its headers. It may also never be read. */
const OPENING_MS = 10_000

/** Stored blobs as content, which is in use from its opening to the end of its reading. */
export class BlobShelves {
  readonly #options: BlobShelvesOptions

  constructor(options: BlobShelvesOptions) {
    this.#options = options
  }

  async open(digest: Digest): Promise<LeasedContent | undefined> {
    const { blobs, chunks, leases } = this.#options
    const release = leases.holdFor(digest, OPENING_MS)
    try {
      const size = await blobs.stat(digest)
      if (size !== undefined) {
        const content = new StoredContent({ digest, size, blobs, cache: chunks })
        return new LeasedContent(content, () => leases.hold(digest), release)
      }
    } catch (error) {
      release()
      throw error
    }
    release()
    return undefined
  }

  /** Verified chunks that are still in memory. */
  remember(digest: Digest, size: number, kept: ReadonlyMap<number, Buffer>): void {
    const { chunks } = this.#options
    if (size > chunks.maxBytes) return
    for (const [index, chunk] of kept) {
      chunks.put(digest, index, chunk.subarray(0, size - index * chunk.length))
    }
  }
}

/** A stored blob that is not evicted while it is read. */
class LeasedContent {
  readonly #content: StoredContent
  readonly #hold: () => () => void
  readonly #endOpening: () => void

  constructor(content: StoredContent, hold: () => () => void, endOpening: () => void) {
    this.#content = content
    this.#hold = hold
    this.#endOpening = endOpening
  }

  get size(): number {
    return this.#content.size
  }

  async *read(range: Range, signal?: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const release = this.#hold()
    this.#endOpening()
    try {
      yield* this.#content.read(range, signal)
    } finally {
      release()
    }
  }
}
