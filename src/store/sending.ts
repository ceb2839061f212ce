import type { Digest } from '../oci/digest.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import { Verifier } from '../oci/verify.ts'

/** All who are sent one stored content at present. */
export class Sending {
  readonly digest: Digest
  /** How many they are. */
  readers = 0
  #check: SharedCheck | undefined
  readonly #condemned = new AbortController()

  constructor(digest: Digest) {
    this.digest = digest
  }

  /** Its bytes are known to be damaged: nobody is sent any more of them. */
  get isCondemned(): boolean {
    return this.#condemned.signal.aborted
  }

  /** For those who do not ask before each chunk. */
  get condemned(): AbortSignal {
    return this.#condemned.signal
  }

  condemn(): void {
    this.#condemned.abort()
  }

  /** @throws {ContentMismatchError} once it is condemned */
  throwIfCondemned(): void {
    if (!this.isCondemned) return
    throw new ContentMismatchError('digest', this.digest, 'other bytes on disk')
  }

  /** @param onBegin called for the first who asks, before anything is hashed */
  check(onBegin: () => void): SharedCheck {
    if (this.#check === undefined) {
      onBegin()
      this.#check = new SharedCheck(this.digest)
    }
    return this.#check
  }
}

/**
 * One hash for any number of readers who each read all bytes from the first on: it is fed by whoever
 * is ahead, so that it waits for nobody, and all know the verdict when they come to their last piece.
 */
export class SharedCheck {
  readonly #verifier: Verifier
  #next = 0
  #verdict: ContentMismatchError | 'right' | undefined

  constructor(digest: Digest) {
    this.#verifier = new Verifier(digest)
  }

  /** @param position of the first of `bytes`; what was taken before is skipped */
  take(position: number, bytes: Uint8Array): void {
    const end = position + bytes.byteLength
    if (position > this.#next || end <= this.#next) return
    this.#verifier.update(bytes.subarray(this.#next - position))
    this.#next = end
  }

  /**
   * After the last chunk was taken.
   *
   * @returns whether nobody has known it before
   * @throws {ContentMismatchError}
   */
  finish(): boolean {
    if (this.#verdict instanceof ContentMismatchError) throw this.#verdict
    if (this.#verdict !== undefined) return false
    try {
      this.#verifier.finish()
    } catch (error) {
      if (error instanceof ContentMismatchError) this.#verdict = error
      throw error
    }
    this.#verdict = 'right'
    return true
  }
}

/** The stored contents that are being sent. */
export class Sendings {
  readonly #byDigest = new Map<Digest, Sending>()

  enter(digest: Digest): Sending {
    let sending = this.#byDigest.get(digest)
    if (sending === undefined) {
      sending = new Sending(digest)
      this.#byDigest.set(digest, sending)
    }
    sending.readers++
    return sending
  }

  leave(sending: Sending): void {
    sending.readers--
    if (sending.readers === 0) this.#forget(sending)
  }

  /** Who is being sent it is cut off before the next chunk; who comes from now on is not. */
  condemn(digest: Digest): void {
    const sending = this.#byDigest.get(digest)
    if (sending === undefined) return
    sending.condemn()
    this.#forget(sending)
  }

  #forget(sending: Sending): void {
    if (this.#byDigest.get(sending.digest) === sending) this.#byDigest.delete(sending.digest)
  }
}
