import { randomUUID } from 'node:crypto'

import { CHUNK_BYTES } from '../chunk-memory.ts'
import type { Digest } from '../oci/digest.ts'
import { ContentMismatchError, RegistryError } from '../oci/errors.ts'
import type { Ingest } from '../store/ports.ts'
import type { ChunkPool } from './chunk-pool.ts'
import type { ByteRange, Content, Lent } from './content.ts'
import { Download, type DownloadEvents, type DownloadOptions, type Recipient } from './download.ts'
import { toRegistryError } from './failures.ts'
import { HashThreadError } from './hash-thread.ts'
import { DirectHashing, type Hashing } from './hashing.ts'
import { Progress } from './progress.ts'
import { FileTrail, type TrailSource } from './trail.ts'
import { AbandonedError, Window } from './window.ts'

/** Readers are woken for less than a chunk only this often: each wake costs a write per reader. */
const TRICKLE_MS = 10
/** The first bytes go out at once: time to first byte is what a waiting node sees. */
const FIRST_PUBLISH_BYTES = 64 * 1024

export interface FlightOptions extends DownloadOptions {
  readonly digest: Digest
  /** `undefined`: nothing can be stored, the bytes only pass through. */
  readonly ingest: Ingest | undefined
  /** Its memory. */
  readonly pool: ChunkPool
  /** Begins the hash of so many bytes, if it is known; default: on this thread. */
  readonly hash?: (digest: Digest, size: number | undefined) => Hashing
  readonly events: FlightEvents
}

export interface FlightEvents extends DownloadEvents {
  /** The registry sent what it should not have, and is asked once more, from the start. */
  mismatched(error: ContentMismatchError): void
  /** The disk refused. The flight goes on without it. */
  storeFailed(error: unknown): void
}

/**
 * One download, many readers. The body is hashed and written once; readers follow it as it arrives,
 * from memory while they keep up and from the file when they fall behind. It belongs to no reader
 * and outlives them all.
 *
 * The last chunk is held back until the whole has the right hash. So whoever has received every
 * byte has received right bytes, and whoever was sent wrong ones can tell, for they are too few.
 */
export class Flight implements Content {
  readonly digest: Digest
  /**
   * Resolves when the size is known, which a registry that does not say it delays until the end, as
   * does an empty blob, which has no last byte to hold back. Rejects with why there are no bytes.
   */
  readonly opened: Promise<void>
  /** Resolves when the bytes are verified and, if they could be, stored. */
  readonly landed: Promise<void>
  readonly #options: FlightOptions
  readonly #window: Window
  readonly #download: Download
  readonly #id = randomUUID()
  readonly #abort = new AbortController()
  readonly #opening = Promise.withResolvers<void>()
  #hashing: Hashing | undefined
  #published = 0
  readonly #progress = new Progress()
  /** For those who read the file by themselves. */
  readonly #fileProgress = new Progress()
  #trickle: NodeJS.Timeout | undefined
  #isAnnounced = false
  #isVerified = false
  #wasRead = false
  #hasStartedAgain = false
  #hasEarlierPart = false
  #failure: Error | undefined

  constructor(options: FlightOptions) {
    this.#options = options
    this.digest = options.digest
    const { ingest, events, pool } = options
    const onWritten = () => this.#fileProgress.wake()
    this.#window = new Window(ingest, (error) => events.storeFailed(error), pool, onWritten)
    this.#download = new Download(options, this.#recipient())
    this.opened = this.#opening.promise
    this.landed = this.#fly()
    // Both are also told to every reader; a flight without readers must not end the process.
    this.opened.catch(() => undefined)
    this.landed.catch(() => undefined)
  }

  /** Of the whole; known once `opened` has resolved. */
  get size(): number {
    const size = this.#isVerified ? this.#window.received : this.#download.size
    if (size === undefined) throw new Error('the size of this flight is not known yet')
    return size
  }

  /** False once bytes are gone that a new reader would need: nothing is stored, and they passed. */
  get isJoinable(): boolean {
    return this.#failure === undefined && this.#window.holds(0)
  }

  /** All bytes are here and right, though perhaps not yet under their final name. */
  get isVerified(): boolean {
    return this.#isVerified
  }

  /** The file has its final name, or could not get it, and is no longer held open here. */
  get hasLanded(): boolean {
    return this.#window.isClosed
  }

  get isStored(): boolean {
    return this.#window.isStored
  }

  /** The chunks in memory. */
  get chunks(): ReadonlyMap<number, Buffer> {
    return this.#window.chunks
  }

  /** Once landed: right bytes that need not be read again. */
  get keepsakes(): ReadonlyMap<number, Buffer> {
    return this.#window.keepsakes
  }

  /** Ends the download; what has arrived stays on disk, to be resumed. */
  stop(): void {
    this.#abort.abort(new RegistryError('UNAVAILABLE', { message: 'the cache is stopping' }))
  }

  async *read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const reader = this.#window.follow(range.start)
    try {
      while (reader.position <= range.end) {
        this.#throwFailure()
        signal?.throwIfAborted()
        const limit = Math.min(this.#readable(), range.end + 1)
        if (reader.position >= limit) {
          await this.#progress.wait(signal)
          continue
        }
        // From here on, not from when they have come: a new start meanwhile would mix two attempts.
        this.#wasRead = true
        const bytes = await reader.read(limit)
        yield bytes
        reader.advance(bytes.length)
      }
    } finally {
      reader.leave()
    }
  }

  /** Leaves the reading to somebody else, from the file as it is filled. */
  lend({ start }: ByteRange): Lent | undefined {
    if (!this.#window.isStored || this.#window.isClosed || this.#failure !== undefined) {
      return undefined
    }
    const trail = new FileTrail(this.#trailSource(), this.#window.follow(start))
    return {
      digest: this.digest,
      size: this.size,
      trail,
      // What is wrong with it is seen at its end, and its last chunk waits for that.
      condemned: new AbortController().signal,
      failed: async () => {},
      giveBack: () => trail.leave(),
    }
  }

  #trailSource(): TrailSource {
    const flight = this
    const window = this.#window
    return {
      id: this.#id,
      size: this.size,
      get isVerified() {
        return flight.isVerified
      },
      get isStored() {
        return window.isStored
      },
      get written() {
        return window.written
      },
      get readable() {
        return flight.#readable()
      },
      progress: this.#fileProgress,
      throwFailure: () => this.#throwFailure(),
      told: () => {
        this.#wasRead = true
      },
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw toRegistryError(this.#failure, 'blob')
  }

  /** How far readers may read: all that was published, but the last chunk only when verified. */
  #readable(): number {
    if (this.#isVerified) return this.#window.received
    const { size } = this.#download
    if (size === undefined) return 0
    const held = Math.floor(Math.max(0, size - 1) / CHUNK_BYTES) * CHUNK_BYTES
    return Math.min(this.#published, held)
  }

  async #fly(): Promise<void> {
    try {
      await this.#hashEarlierPart()
      for (;;) {
        try {
          await this.#download.run(this.#abort.signal)
          await this.#land()
          return
        } catch (error) {
          // What was wrong in a part from an earlier run may have become so on our own disk.
          const isTheirs = error instanceof ContentMismatchError && !this.#hasEarlierPart
          if (isTheirs) this.#download.setBack()
          if (!this.#mayStartAgain(error)) throw error
          if (isTheirs) this.#options.events.mismatched(error)
          await this.#startAgain()
        }
      }
    } catch (error) {
      this.#failure = error as Error
      await this.#window.abandon(!(error instanceof ContentMismatchError))
      // Only now: who is told at once asks again at once, and must not come upon this flight.
      this.#opening.reject(error)
      throw error
    } finally {
      clearTimeout(this.#trickle)
      this.#hashing?.leave()
      this.#wake()
    }
  }

  /** A part from an earlier run continues; its bytes are hashed again, for they are not trusted. */
  async #hashEarlierPart(): Promise<void> {
    this.#hasEarlierPart = this.#window.received > 0
    try {
      for await (const bytes of this.#window.earlierBytes()) {
        if (this.#abort.signal.aborted) return
        await this.#hash(bytes)
      }
    } catch (error) {
      this.#options.events.storeFailed(error)
      await this.#startAgain()
    }
  }

  #announce(): void {
    this.#isAnnounced = true
    this.#opening.resolve()
  }

  #recipient(): Recipient {
    const window = this.#window
    return {
      get received() {
        return window.received
      },
      get isFull() {
        return window.isFull
      },
      drained: (signal) => window.drained(signal),
      opened: () => this.#announce(),
      take: (bytes) => this.#take(bytes),
      isOwn: (error) => error instanceof AbandonedError || error instanceof HashThreadError,
    }
  }

  /** @returns a promise where the hash falls behind: until it settles, `bytes` must stay as they are */
  #take(bytes: Buffer): Promise<void> | undefined {
    this.#window.append(bytes)
    this.#publish(this.#window.received)
    return this.#hash(bytes)
  }

  #hash(bytes: Buffer): Promise<void> | undefined {
    this.#hashing ??= this.#beginHash()
    return this.#hashing.update(bytes)
  }

  #beginHash(): Hashing {
    const { hash = (digest) => new DirectHashing(digest), sizeHint } = this.#options
    return hash(this.digest, this.#download.size ?? sizeHint)
  }

  #publish(total: number): void {
    const isChunk = Math.floor(total / CHUNK_BYTES) > Math.floor(this.#published / CHUNK_BYTES)
    const isFirst = this.#published === 0 && total >= FIRST_PUBLISH_BYTES
    if (isChunk || isFirst) this.#wake()
    else this.#trickle ??= setTimeout(() => this.#wake(), TRICKLE_MS)
  }

  #wake(): void {
    clearTimeout(this.#trickle)
    this.#trickle = undefined
    this.#published = this.#window.received
    this.#progress.wake()
    this.#fileProgress.wake()
  }

  async #land(): Promise<void> {
    this.#hashing ??= this.#beginHash()
    await this.#hashing.finish()
    const { received } = this.#window
    const { size = received } = this.#download
    if (size !== received) throw this.#download.wrongSize(String(received))
    // Readers need not wait for the disk: right bytes are right whether or not they are kept.
    this.#isVerified = true
    this.#announce()
    this.#wake()
    await this.#window.commit()
  }

  /** Wrong bytes may come from a bad part or a bad mirror. Nobody has seen any: try once more. */
  #mayStartAgain(error: unknown): error is ContentMismatchError {
    return error instanceof ContentMismatchError && !this.#wasRead && !this.#hasStartedAgain
  }

  async #startAgain(): Promise<void> {
    this.#hasStartedAgain = true
    this.#hasEarlierPart = false
    // A wake that is due would publish the old bytes while the disk is waited for.
    clearTimeout(this.#trickle)
    this.#trickle = undefined
    this.#hashing?.leave()
    this.#hashing = undefined
    // Whoever was told a size has been promised that many bytes.
    if (!this.#isAnnounced) this.#download.forgetSize()
    this.#published = 0
    await this.#window.reset()
  }
}
