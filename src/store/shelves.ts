import type { Digest } from '../oci/digest.ts'
import { faultOf } from './check.ts'
import type { CheckRecorder } from './check-recorder.ts'
import type { ChunkCache } from './chunks.ts'
import { StoredContent } from './content.ts'
import type { Damage } from './damage.ts'
import { codeOf } from './errors.ts'
import type { Leases } from './leases.ts'
import type { BlobStore } from './ports.ts'
import type { Sending, Sendings } from './sending.ts'

export interface BlobShelvesOptions {
  readonly blobs: Pick<BlobStore, 'stat' | 'open'>
  readonly chunks: ChunkCache
  readonly leases: Leases
  readonly sendings: Sendings
  readonly recorder: Pick<CheckRecorder, 'isDue' | 'verified'>
  readonly damage: Pick<Damage, 'report'>
  /** Told of what is no fault of the bytes, such as a lack of descriptors; absent: nobody is. */
  readonly onFailed?: (error: unknown) => void
}

/** Bytes of a blob, both ends included. */
interface Range {
  readonly start: number
  readonly end: number
}

/** What another process reads. Until it is given back it is in use. */
interface LentContent {
  readonly digest: Digest
  readonly size: number
  readonly condemned: AbortSignal
  failed(error: unknown): Promise<void>
  giveBack(): void
}

/** Between the opening and the first read an answer gets its headers. It may also never be read. */
const OPENING_MS = 10_000

/** Stored blobs as content, which is in use from its opening to the end of its reading. */
export class BlobShelves {
  readonly #options: BlobShelvesOptions

  constructor(options: BlobShelvesOptions) {
    this.#options = options
  }

  /** @param verifiedAt when its bytes were last hashed, epoch milliseconds; `undefined`: not known */
  async open(digest: Digest, verifiedAt: number | undefined): Promise<LeasedContent | undefined> {
    const { blobs, leases } = this.#options
    const release = await leases.holdFor(digest, OPENING_MS)
    try {
      const size = await blobs.stat(digest)
      if (size !== undefined) {
        return new LeasedContent({ ...this.#options, digest, size, verifiedAt }, release)
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
    // Others are of an earlier file, which was fetched anew because it was gone or damaged.
    chunks.drop(digest)
    if (size > chunks.maxBytes) return
    for (const [index, chunk] of kept) chunks.put(digest, index, chunk)
  }
}

interface LeasedContentOptions extends BlobShelvesOptions {
  readonly digest: Digest
  readonly size: number
  readonly verifiedAt: number | undefined
}

/**
 * A stored blob that is not evicted while it is read. If its last check is long ago, what is read as
 * a whole is hashed on the way: its last chunk is given out only if the hash is right.
 */
class LeasedContent {
  readonly #options: LeasedContentOptions
  readonly #content: StoredContent
  readonly #endOpening: () => void

  constructor(options: LeasedContentOptions, endOpening: () => void) {
    const { digest, size, blobs, chunks } = options
    this.#options = options
    this.#content = new StoredContent({ digest, size, blobs, cache: chunks })
    this.#endOpening = endOpening
  }

  get size(): number {
    return this.#content.size
  }

  /** `undefined`: it is to be hashed on the way. */
  lend(range: Range): LentContent | undefined {
    const { digest, leases, sendings } = this.#options
    if (this.#isToBeChecked(range)) return undefined
    const release = leases.holdOn(digest)
    this.#endOpening()
    const sending = sendings.enter(digest)
    let isLent = true
    return {
      digest,
      size: this.size,
      condemned: sending.condemned,
      failed: (error) => this.#reportDamage(error, sending),
      giveBack() {
        if (!isLent) return
        isLent = false
        sendings.leave(sending)
        release()
      },
    }
  }

  async *read(range: Range, signal?: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const { digest, leases, sendings } = this.#options
    const release = leases.holdOn(digest)
    this.#endOpening()
    const sending = sendings.enter(digest)
    const stop = {
      throwIfAborted() {
        signal?.throwIfAborted()
        sending.throwIfCondemned()
      },
    }
    try {
      if (this.#isToBeChecked(range)) yield* this.#checked(range, sending, stop)
      else yield* this.#content.read(range, stop)
    } catch (error) {
      await this.#reportDamage(error, sending)
      throw error
    } finally {
      sendings.leave(sending)
      release()
    }
  }

  /** What is read in part cannot be hashed. */
  #isToBeChecked(range: Range): boolean {
    const { digest, verifiedAt, recorder } = this.#options
    const isWhole = range.start === 0 && range.end === this.size - 1
    return isWhole && recorder.isDue(digest, verifiedAt)
  }

  async *#checked(
    range: Range,
    sending: Sending,
    stop: Pick<AbortSignal, 'throwIfAborted'>,
  ): AsyncGenerator<Buffer, void, undefined> {
    const { digest, chunks, recorder } = this.#options
    // What is in memory may be better than what is on disk, and says nothing about it.
    const check = sending.check(() => chunks.drop(digest))
    let position = range.start
    for await (const chunk of this.#content.read(range, stop)) {
      check.take(position, chunk)
      position += chunk.byteLength
      if (position > range.end && check.finish()) recorder.verified(digest)
      yield chunk
    }
    // Of what is empty there is no last chunk; a file that was cut to nothing is not so by right.
    if (this.size === 0 && check.finish()) recorder.verified(digest)
  }

  /** Whoever is told that his reading failed can have it anew at once. */
  async #reportDamage(error: unknown, sending: Sending): Promise<void> {
    const fault = faultOf(error)
    if (fault === undefined && isSystemError(error)) this.#options.onFailed?.(error)
    if (fault === undefined || sending.isCondemned) return
    await this.#options.damage.report(this.#options.digest, fault)
  }
}

/** The kernel's codes, and neither Node's own nor those of an abort. */
function isSystemError(error: unknown): boolean {
  return /^E[A-Z0-9]+$/.test(codeOf(error) ?? '')
}
