import { randomUUID } from 'node:crypto'
import { setTimeout as sleepFor } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import { ContentMismatchError, RegistryError } from '../oci/errors.ts'
import type { Ingest } from '../store/ports.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/errors.ts'
import type { RemoteBlob } from '../upstream/ports.ts'
import { CHUNK_BYTES, type ChunkPool } from './chunk-pool.ts'
import type { ByteRange, Content, Lent } from './content.ts'
import { toRegistryError } from './failures.ts'
import { HashThreadError } from './hash-thread.ts'
import { DirectHashing, type Hashing } from './hashing.ts'
import { Pace } from './pace.ts'
import { Persistence } from './persistence.ts'
import { Progress } from './progress.ts'
import { FileTrail, type TrailSource } from './trail.ts'
import { AbandonedError, Window } from './window.ts'

/** Readers are woken for less than a chunk only this often: each wake costs a write per reader. */
const TRICKLE_MS = 10
/** The first bytes go out at once: time to first byte is what a waiting node sees. */
const FIRST_PUBLISH_BYTES = 64 * 1024

const TOO_SLOW = 'too_slow'

const WORTH_RESUMING: ReadonlySet<UpstreamErrorKind> = new Set([
  'failed',
  'timeout',
  'unreachable',
  'throttled',
])

export interface FlightOptions {
  readonly digest: Digest
  /** For errors: the configured name. */
  readonly upstream: string
  /** Asks the registry for the bytes from `offset` on, until `signal` says to stop. */
  readonly open: (offset: number, signal: AbortSignal) => Promise<RemoteBlob>
  /** `undefined`: nothing can be stored, the bytes only pass through. */
  readonly ingest: Ingest | undefined
  /** Its memory. */
  readonly pool: ChunkPool
  /** Begins the hash of so many bytes, if it is known; default: on this thread. */
  readonly hash?: (digest: Digest, size: number | undefined) => Hashing
  /** What a verified manifest says of the size, used only where the registry says nothing. */
  readonly sizeHint: number | undefined
  readonly events: FlightEvents
  /** How long a broken download waits for a registry that says when it may be asked again. */
  readonly patienceMs?: number | undefined
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
  /** Rejects when the signal says so. */
  readonly sleep?: (delayMs: number, signal: AbortSignal) => Promise<void>
  /** In [0, 1). */
  readonly random?: () => number
}

export interface FlightEvents {
  fetched(bytes: number): void
  resumed(): void
  /** The registry sent what it should not have, and is asked once more, from the start. */
  mismatched(error: ContentMismatchError): void
  /** A body that had begun ended too early, or came too slowly; the reason is a metric's label. */
  broken(reason: string): void
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
  readonly #id = randomUUID()
  readonly #abort = new AbortController()
  readonly #opening = Promise.withResolvers<void>()
  #hashing: Hashing | undefined
  #size: number | undefined
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
  #remote: RemoteBlob | undefined
  #failure: Error | undefined

  constructor(options: FlightOptions) {
    this.#options = options
    this.digest = options.digest
    const { ingest, events, pool } = options
    const onWritten = () => this.#fileProgress.wake()
    this.#window = new Window(ingest, (error) => events.storeFailed(error), pool, onWritten)
    this.opened = this.#opening.promise
    this.landed = this.#fly()
    // Both are also told to every reader; a flight without readers must not end the process.
    this.opened.catch(() => undefined)
    this.landed.catch(() => undefined)
  }

  /** Of the whole; known once `opened` has resolved. */
  get size(): number {
    if (this.#size === undefined) throw new Error('the size of this flight is not known yet')
    return this.#size
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
    if (this.#size === undefined) return 0
    const held = Math.floor(Math.max(0, this.#size - 1) / CHUNK_BYTES) * CHUNK_BYTES
    return Math.min(this.#published, held)
  }

  async #fly(): Promise<void> {
    try {
      await this.#hashEarlierPart()
      for (;;) {
        try {
          await this.#download()
          await this.#land()
          return
        } catch (error) {
          // What was wrong in a part from an earlier run may have become so on our own disk.
          const isTheirs = error instanceof ContentMismatchError && !this.#hasEarlierPart
          if (isTheirs) this.#remote?.setBack?.()
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
    // Killed between the last byte and the final name: there is nothing left to ask for.
    const { sizeHint } = this.#options
    if (this.#window.received > 0 && this.#window.received === sizeHint) this.#size = sizeHint
  }

  async #download(): Promise<void> {
    const { patienceMs, random = Math.random, sleep = systemSleep } = this.#options
    const persistence = new Persistence({ elapsed: this.#elapsed, random, patienceMs })
    let wasAnswered = false
    for (let attempt = 0; !this.#isWhole(); attempt++) {
      const before = this.#window.received
      let remote: RemoteBlob | undefined
      try {
        remote = await this.#open(attempt)
        wasAnswered = true
        await this.#receive(remote)
        return
      } catch (error) {
        this.#abort.signal.throwIfAborted()
        // Whoever asks for the first time has tried as often as is reasonable.
        if (!wasAnswered || !isWorthResuming(error)) throw error
        if (remote !== undefined) this.#broke(remote, error)
        const wasOfUse = this.#window.received > before && !isTooSlow(error)
        const delayMs = persistence.delayAfter(error, wasOfUse)
        if (delayMs === undefined) throw error
        await sleep(delayMs, this.#abort.signal)
      }
    }
  }

  #broke(remote: RemoteBlob, error: unknown): void {
    remote.setBack?.()
    this.#options.events.broken(error instanceof UpstreamError ? error.reason : 'reset')
  }

  async #open(attempt: number): Promise<RemoteBlob> {
    const offset = this.#window.received
    const { signal } = this.#abort
    signal.throwIfAborted()
    const remote = await this.#options.open(offset, signal).catch((error: unknown) => {
      throw offset > 0 && isNoWayOn(error) ? this.#wrongSize(`at least ${offset}`) : error
    })
    this.#remote = remote
    remote.body.once('error', () => undefined)
    if (signal.aborted) {
      remote.body.destroy()
      throw signal.reason
    }
    if (attempt > 0) this.#options.events.resumed()
    this.#size ??= remote.size ?? this.#options.sizeHint
    if (remote.offset > offset || (remote.size !== undefined && remote.size !== this.#size)) {
      remote.body.destroy()
      throw this.#wrongSize(String(remote.size))
    }
    if (this.#size !== undefined && this.#size > 0) this.#announce()
    return remote
  }

  #announce(): void {
    this.#isAnnounced = true
    this.#opening.resolve()
  }

  /** Reads one answer to its end. What it repeats of what is already here is skipped. */
  async #receive(remote: RemoteBlob): Promise<void> {
    let skip = this.#window.received - remote.offset
    const { body, release, heldMs = () => 0 } = remote
    const pace = new Pace({ elapsed: this.#elapsed, heldMs })
    const stop = () => body.destroy(new Error('stopped'))
    this.#abort.signal.addEventListener('abort', stop, { once: true })
    try {
      for await (const piece of body as AsyncIterable<Buffer>) {
        const isFastEnough = pace.took(piece.length)
        // A registry that ignores ranges sends again what is here: it was fetched all the same.
        this.#options.events.fetched(piece.length)
        const fresh = skip > 0 ? piece.subarray(skip) : piece
        skip = Math.max(0, skip - piece.length)
        if (fresh.length > 0) await this.#take(fresh)
        release?.(piece)
        if (!isFastEnough) throw this.#tooSlow()
        if (this.#window.isFull) await this.#window.drained(this.#abort.signal)
        pace.wait()
      }
    } finally {
      this.#abort.signal.removeEventListener('abort', stop)
      body.destroy()
    }
    if (this.#size !== undefined && this.#window.received < this.#size) {
      const { upstream } = this.#options
      const message = 'the registry ended the body early'
      throw new UpstreamError('unreachable', { upstream, reason: 'reset', message })
    }
  }

  /** @returns a promise where the hash falls behind: until it settles, `bytes` must stay as they are */
  #take(bytes: Buffer): Promise<void> | undefined {
    const total = this.#window.received + bytes.length
    if (this.#size !== undefined && total > this.#size) {
      throw this.#wrongSize(`at least ${total}`)
    }
    this.#window.append(bytes)
    this.#publish(total)
    return this.#hash(bytes)
  }

  #hash(bytes: Buffer): Promise<void> | undefined {
    this.#hashing ??= this.#beginHash()
    return this.#hashing.update(bytes)
  }

  #beginHash(): Hashing {
    const { hash = (digest) => new DirectHashing(digest), sizeHint } = this.#options
    return hash(this.digest, this.#size ?? sizeHint)
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
    this.#size ??= this.#window.received
    if (this.#size !== this.#window.received) {
      throw this.#wrongSize(String(this.#window.received))
    }
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
    if (!this.#isAnnounced) this.#size = undefined
    this.#published = 0
    await this.#window.reset()
  }

  #isWhole(): boolean {
    return this.#size !== undefined && this.#window.received >= this.#size
  }

  readonly #elapsed = (): number => this.#options.elapsed?.() ?? performance.now()

  #tooSlow(): UpstreamError {
    const message = 'the registry sends too slowly'
    return new UpstreamError('timeout', {
      upstream: this.#options.upstream,
      reason: TOO_SLOW,
      message,
    })
  }

  #wrongSize(actual: string): ContentMismatchError {
    return new ContentMismatchError('size', String(this.#size), actual)
  }
}

function isTooSlow(error: unknown): boolean {
  return error instanceof UpstreamError && error.reason === TOO_SLOW
}

async function systemSleep(delayMs: number, signal: AbortSignal): Promise<void> {
  await sleepFor(delayMs, undefined, { signal })
}

/** A body that breaks says so with a system or HTTP error; only what the registry said is final. */
function isWorthResuming(error: unknown): boolean {
  if (error instanceof UpstreamError) return WORTH_RESUMING.has(error.kind)
  return !(
    error instanceof ContentMismatchError ||
    error instanceof AbandonedError ||
    error instanceof HashThreadError
  )
}

/**
 * The part is as long as the blob or longer, or the registry botches ranges. To keep the part would
 * be to ask for the same again for ever.
 */
function isNoWayOn(error: unknown): boolean {
  return error instanceof UpstreamError && (error.status === 416 || error.kind === 'invalid')
}
