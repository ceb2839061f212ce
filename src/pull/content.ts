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

/** A blob that another process reads from its file. Until it is given back it is in use. */
export interface Lent {
  readonly digest: Digest
  /** Of the whole, in bytes. */
  readonly size: number
  /** Its file is still being filled; absent: it is whole. */
  readonly trail?: Trail
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

/** How far the file of a download may be read. */
export interface Trail {
  /** Of this download: what was read of an earlier one is not to be taken for it. */
  readonly id: string
  /**
   * Whether its bytes come into the file within `patienceMs` of being here at all.
   *
   * @throws {RegistryError} when there will be none
   */
  begins(patienceMs: number, signal: AbortSignal): Promise<boolean>
  /**
   * How far, once that is further than `known`; `undefined`: from here on not from the file.
   *
   * @throws {RegistryError} when there will be no more
   */
  reach(known: number, signal: AbortSignal): Promise<number | undefined>
  /** Its reader will not come back to what is before `position`. */
  passed(position: number): void
}
