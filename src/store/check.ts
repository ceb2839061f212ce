import { CHUNK_BYTES, ChunkMemory } from '../chunk-memory.ts'
import type { Digest } from '../oci/digest.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import { Verifier } from '../oci/verify.ts'
import type { CheckRecorder } from './check-recorder.ts'
import type { Damage } from './damage.ts'
import { codeOf, TruncatedFileError } from './errors.ts'
import type { Leases } from './leases.ts'
import type { BlobStore, Catalog, OpenBlob } from './ports.ts'
import { Slices } from './slices.ts'

/** What is wrong with stored bytes; `io`: the disk cannot read them. */
export type Fault = 'digest' | 'size' | 'missing' | 'io'

/** A content as its row has it. */
export interface CheckedRow {
  readonly digest: Digest
  readonly size: number
  /** Epoch milliseconds; `undefined`: not known. */
  readonly verifiedAt: number | undefined
}

export interface CheckerOptions {
  readonly blobs: Pick<BlobStore, 'open'>
  readonly catalog: Pick<Catalog, 'getBlob'>
  readonly leases: Pick<Leases, 'hold'>
  readonly recorder: Pick<CheckRecorder, 'verified'>
  readonly damage: Pick<Damage, 'report'>
}

export interface CheckRun {
  readonly signal: AbortSignal
  /** Waited for before so many bytes are read. */
  readonly before?: (bytes: number) => Promise<void>
}

/** Bytes hashed in one go: at 100 MB/s, that of a slow core, 2.6 ms. */
const HASH_BYTES = 256 * 1024
/** The disk says that it cannot give these bytes; of any other failure they are innocent. */
const BAD_BYTES = new Set(['EIO', 'EBADMSG', 'EUCLEAN'])

/** Hashes stored contents, one read of a chunk at a time, past the chunk cache. */
export class Checker {
  readonly #options: CheckerOptions
  readonly #memory = new ChunkMemory({ maxFree: 1 })

  constructor(options: CheckerOptions) {
    this.#options = options
  }

  /**
   * Sees to what it finds: right is recorded, wrong is put aside.
   *
   * @returns `gone`: it was removed, or fetched anew, meanwhile
   * @throws the signal's reason, and what keeps it from reading, such as a lack of descriptors
   */
  async check(row: CheckedRow, run: CheckRun): Promise<'ok' | 'gone' | Fault> {
    const { catalog, leases } = this.#options
    const { digest } = row
    const release = await leases.hold(digest)
    try {
      for (let checked = row; ; ) {
        const fault = await this.#findFault(checked, run)
        const now = await catalog.getBlob(digest)
        if (now === undefined) return 'gone'
        if (now.verifiedAt === checked.verifiedAt) return await this.#settle(digest, fault)
        if (fault === undefined) return 'gone'
        // It was fetched anew meanwhile, and is right. Or only an earlier check of it was written down,
        // and it is damaged: another look tells.
        checked = { digest, ...now }
      }
    } finally {
      release()
    }
  }

  async #settle(digest: Digest, fault: Fault | undefined): Promise<'ok' | Fault> {
    const { recorder, damage } = this.#options
    if (fault === undefined) recorder.verified(digest)
    else await damage.report(digest, fault)
    return fault ?? 'ok'
  }

  async #findFault(row: CheckedRow, run: CheckRun): Promise<Fault | undefined> {
    try {
      const blob = await this.#options.blobs.open(row.digest)
      if (blob === undefined) return 'missing'
      try {
        if (blob.size !== row.size) return 'size'
        await this.#hash(blob, row.digest, run)
        return undefined
      } finally {
        await blob.close()
      }
    } catch (error) {
      const fault = faultOf(error)
      if (fault === undefined) throw error
      return fault
    }
  }

  async #hash(blob: OpenBlob, digest: Digest, run: CheckRun): Promise<void> {
    const verifier = new Verifier(digest)
    const slices = new Slices()
    const memory = this.#memory.take()
    try {
      for (let at = 0; at < blob.size; at += CHUNK_BYTES) {
        const length = Math.min(CHUNK_BYTES, blob.size - at)
        await run.before?.(length)
        run.signal.throwIfAborted()
        const bytes = await blob.read(at, length, memory)
        for (let from = 0; from < length; from += HASH_BYTES) {
          await slices.rest()
          verifier.update(bytes.subarray(from, from + HASH_BYTES))
        }
      }
      verifier.finish()
    } finally {
      this.#memory.giveBack(memory)
    }
  }
}

/** @returns what `error` says of the bytes that were read; `undefined`: nothing */
export function faultOf(error: unknown): Fault | undefined {
  if (error instanceof ContentMismatchError) return error.what
  if (error instanceof TruncatedFileError) return 'size'
  return BAD_BYTES.has(codeOf(error) ?? '') ? 'io' : undefined
}
