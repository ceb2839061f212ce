/** Below half of it, a reader gets whole chunks, and one ahead. */
const PLENTY_BYTES = 32 * 1024 * 1024
const FRUGAL_BYTES = 256 * 1024
const LEAST_BYTES = 64 * 1024

/**
 * How much memory readers hold besides the cache. A client that takes nothing keeps what was read
 * for it until it is let go, and five hundred of them at as many places share nothing. So the more is
 * held, the smaller are the pieces that are given out: memory is bounded by {@link PLENTY_BYTES} and
 * 64 KiB for each reader.
 */
export class Loans {
  readonly #plentyBytes: number
  readonly #onIdle: (buffer: Buffer) => void
  /** Readers of a buffer. */
  readonly #readers = new Map<Buffer, number>()
  readonly #cached = new Set<Buffer>()
  #bytes = 0

  /** @param onIdle told of a buffer that is neither cached nor read any more */
  constructor(plentyBytes = PLENTY_BYTES, onIdle: (buffer: Buffer) => void = () => {}) {
    this.#plentyBytes = plentyBytes
    this.#onIdle = onIdle
  }

  /** Held by readers, or being read for them, and not in the cache. */
  get bytes(): number {
    return this.#bytes
  }

  get isPlenty(): boolean {
    return this.#bytes * 2 < this.#plentyBytes
  }

  /** For the next piece, where there is not plenty. */
  get pieceBytes(): number {
    return this.#bytes < this.#plentyBytes ? FRUGAL_BYTES : LEAST_BYTES
  }

  /** Memory of one reader's own. @returns what ends the loan */
  reserve(bytes: number): () => void {
    this.#bytes += bytes
    return once(() => {
      this.#bytes -= bytes
    })
  }

  /** Memory that others may hold too, so it counts once. @returns what ends the loan */
  lend(buffer: Buffer): () => void {
    const others = this.#readers.get(buffer) ?? 0
    this.#readers.set(buffer, others + 1)
    if (others === 0 && !this.#cached.has(buffer)) this.#bytes += buffer.byteLength
    return once(() => this.#giveBack(buffer))
  }

  /** The cache keeps it from now on, whoever reads it. */
  cached(buffer: Buffer): void {
    if (this.#cached.has(buffer)) return
    this.#cached.add(buffer)
    if (this.#readers.has(buffer)) this.#bytes -= buffer.byteLength
  }

  /** The cache keeps it no longer; its readers may. */
  uncached(buffer: Buffer): void {
    if (!this.#cached.delete(buffer)) return
    if (this.#readers.has(buffer)) this.#bytes += buffer.byteLength
    else this.#onIdle(buffer)
  }

  #giveBack(buffer: Buffer): void {
    const others = (this.#readers.get(buffer) ?? 1) - 1
    if (others > 0) {
      this.#readers.set(buffer, others)
      return
    }
    this.#readers.delete(buffer)
    if (this.#cached.has(buffer)) return
    this.#bytes -= buffer.byteLength
    this.#onIdle(buffer)
  }
}

function once(end: () => void): () => void {
  let isOver = false
  return () => {
    if (isOver) return
    isOver = true
    end()
  }
}
