/** The unit in which bytes are read, kept, written and sent: so large that the promises of one cost nothing. */
export const CHUNK_BYTES = 1024 * 1024

export interface ChunkMemoryOptions {
  /** Chunks that are kept for the next that is asked for. */
  readonly maxFree: number
  /** Told of each chunk that may be overwritten from now on, before it is. */
  readonly onFreed?: ((chunk: Buffer) => void) | undefined
}

/**
 * The memory of chunks, used again once nobody has them: what is new costs a page fault for each 4 KiB,
 * and every few MiB of it V8 looks through everything it has. What did not come from here is let be:
 * others may still have it.
 */
export class ChunkMemory {
  readonly #options: ChunkMemoryOptions
  readonly #own = new WeakSet<Buffer>()
  readonly #free: Buffer[] = []

  constructor(options: ChunkMemoryOptions) {
    this.#options = options
  }

  take(): Buffer {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    this.#own.add(chunk)
    return chunk
  }

  /** Nobody has it any more. */
  giveBack(chunk: Buffer): void {
    const { maxFree, onFreed } = this.#options
    if (!this.#own.has(chunk)) return
    onFreed?.(chunk)
    if (this.#free.length < maxFree) this.#free.push(chunk)
  }

  /** Keeps at most so many. */
  trim(free: number): void {
    this.#free.splice(free)
  }
}

/** Memory of its own, no larger than it is: what is kept of a chunk would keep all of it. */
export function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength)
  bytes.copy(copy)
  return copy
}
