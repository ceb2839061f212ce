import type { Digest } from '../oci/digest.ts'

/** Bytes that can be read more than once and in part: a blob in the store, or one on its way there. */
export interface Content {
  /** Of the whole, in bytes. */
  readonly size: number
  /**
   * Yields the bytes of `range` in order. Ends early only by throwing: what came is then not to be
   * passed off as whole. A piece is lent until the next is asked for: its memory may then be used for
   * other bytes. Returning the generator frees what it holds.
   */
  read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined>
  /**
   * Leaves the reading of `range` to another process. `undefined`: it has to be read here; absent: it
   * always has to.
   */
  lend?(range: ByteRange): Lent | undefined
}

/** A stored blob that another process reads. Until it is given back it is in use. */
export interface Lent {
  readonly digest: Digest
  /** Of the whole, in bytes. */
  readonly size: number
  /** Aborts once its bytes are found to be damaged: nobody is to be sent any more of them. */
  readonly condemned: AbortSignal
  /** The file, or the disk, did not give what it should have. */
  failed(error: unknown): Promise<void>
  giveBack(): void
}

/** Both ends count: `{ start: 0, end: 0 }` is the first byte. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}
