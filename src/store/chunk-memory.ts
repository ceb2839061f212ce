/** Kept for the next chunk that is read. As one comes another goes, so that few are enough. */
const MAX_FREE = 8

/**
 * The memory of chunks that are read, used again once nobody has them: what is new costs a page fault
 * for each 4 KiB, and a collection of all that V8 has for each 32 MiB of it. What did not come from here
 * is let be: others may still have it.
 */
export class ChunkMemory {
  readonly #chunkBytes: number
  readonly #onFreed: ((chunk: Buffer) => void) | undefined
  readonly #own = new WeakSet<Buffer>()
  readonly #free: Buffer[] = []

  /** @param onFreed told of each chunk that may be overwritten from now on, before it is */
  constructor(chunkBytes: number, onFreed?: (chunk: Buffer) => void) {
    this.#chunkBytes = chunkBytes
    this.#onFreed = onFreed
  }

  take(): Buffer {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const chunk = Buffer.allocUnsafeSlow(this.#chunkBytes)
    this.#own.add(chunk)
    return chunk
  }

  /** Nobody has it any more. */
  giveBack(chunk: Buffer): void {
    if (!this.#own.has(chunk)) return
    this.#onFreed?.(chunk)
    if (this.#free.length < MAX_FREE) this.#free.push(chunk)
  }
}
