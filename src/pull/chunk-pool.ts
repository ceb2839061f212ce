import { ChunkMemory } from '../chunk-memory.ts'

/** Free chunks that are kept while downloads are under way, and for a while after: what they may have. */
const MAX_FREE = 40
/** And when there has been none for so long. */
const MAX_IDLE = 4
const IDLE_MS = 10_000
/** What all downloads together may have in memory before each has to wait for the disk. */
const PLENTY = 32

export interface ChunkPoolOptions {
  /** Chunks that downloads may have before they are to make do with little; default 32. */
  readonly plenty?: number
  /** Told of each chunk that may be overwritten from now on, before it is. */
  readonly onFreed?: (chunk: Buffer) => void
}

/**
 * The memory of downloads under way, used again and again. A chunk may be overwritten once its download
 * is done with it and nobody reads it any more, so whoever reads it has to say so.
 */
export class ChunkPool {
  readonly #options: ChunkPoolOptions
  readonly #memory: ChunkMemory
  readonly #readers = new Map<Buffer, number>()
  /** Their downloads are done with them, their readers are not. */
  readonly #returned = new Set<Buffer>()
  #taken = 0
  #idle: NodeJS.Timeout | undefined

  constructor(options: ChunkPoolOptions = {}) {
    this.#options = options
    this.#memory = new ChunkMemory({ maxFree: MAX_FREE, onFreed: options.onFreed })
  }

  get isPlenty(): boolean {
    return this.#taken < (this.#options.plenty ?? PLENTY)
  }

  take(): Buffer {
    this.#taken++
    clearTimeout(this.#idle)
    return this.#memory.take()
  }

  /** It is being read. @returns ends that; to be called once */
  lend(chunk: Buffer): () => void {
    this.#readers.set(chunk, (this.#readers.get(chunk) ?? 0) + 1)
    return () => this.#endReading(chunk)
  }

  /** Of a chunk that was taken, and that nobody will be lent any more. */
  giveBack(chunk: Buffer): void {
    this.#taken--
    if (this.#readers.has(chunk)) this.#returned.add(chunk)
    else this.#memory.giveBack(chunk)
  }

  /** One that was taken is somebody else's from now on: it is not to be given back. */
  giveAway(): void {
    this.#taken--
  }

  /** No download is under way: in a while, little is kept. The next one may come at once. */
  rest(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => this.#memory.trim(MAX_IDLE), IDLE_MS).unref()
  }

  #endReading(chunk: Buffer): void {
    const others = (this.#readers.get(chunk) ?? 1) - 1
    if (others > 0) {
      this.#readers.set(chunk, others)
      return
    }
    this.#readers.delete(chunk)
    if (this.#returned.delete(chunk)) this.#memory.giveBack(chunk)
  }
}
