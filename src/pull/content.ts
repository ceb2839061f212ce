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
}

/** Both ends count: `{ start: 0, end: 0 }` is the first byte. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}
