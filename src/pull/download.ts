import { setTimeout as sleepFor } from 'node:timers/promises'

import { ContentMismatchError } from '../oci/errors.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/errors.ts'
import type { RemoteBlob } from '../upstream/ports.ts'
import { Pace } from './pace.ts'
import { Persistence } from './persistence.ts'

const TOO_SLOW = 'too_slow'

const WORTH_RESUMING: ReadonlySet<UpstreamErrorKind> = new Set([
  'failed',
  'timeout',
  'unreachable',
  'throttled',
])

export interface DownloadOptions {
  /** For errors: the configured name. */
  readonly upstream: string
  /** Asks the registry for the bytes from `offset` on, until `signal` says to stop. */
  readonly open: (offset: number, signal: AbortSignal) => Promise<RemoteBlob>
  /** What a verified manifest says of the size, used only where the registry says nothing. */
  readonly sizeHint: number | undefined
  readonly events: DownloadEvents
  /** How long a broken download waits for a registry that says when it may be asked again. */
  readonly patienceMs?: number | undefined
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
  /** Rejects when the signal says so. */
  readonly sleep?: (delayMs: number, signal: AbortSignal) => Promise<void>
  /** In [0, 1). */
  readonly random?: () => number
}

export interface DownloadEvents {
  fetched(bytes: number): void
  resumed(): void
  /** A body that had begun ended too early, or came too slowly; the reason is a metric's label. */
  broken(reason: string): void
}

/** Whoever takes what comes. */
export interface Recipient {
  /** Bytes that are here: the next answer is asked for from there on. */
  readonly received: number
  /** No more is wanted until `drained`. */
  readonly isFull: boolean
  drained(signal: AbortSignal): Promise<void>
  /** The size is known, and bytes are to come. */
  opened(): void
  /** @returns a promise where they cannot be done with at once: until it settles, they stay as they are */
  take(bytes: Buffer): Promise<void> | undefined
  /** What it fails with is no reason to ask the registry again. */
  isOwn(error: unknown): boolean
}

/** The bytes of one blob from its registry, which is asked for the rest when it breaks off. */
export class Download {
  readonly #options: DownloadOptions
  readonly #recipient: Recipient
  #size: number | undefined
  #remote: RemoteBlob | undefined

  constructor(options: DownloadOptions, recipient: Recipient) {
    this.#options = options
    this.#recipient = recipient
  }

  /** Of the whole, once somebody has said it. */
  get size(): number | undefined {
    return this.#size
  }

  /**
   * Settles when all bytes have been taken.
   *
   * @throws {ContentMismatchError} `size`: they are more, or others, than the registry had said
   * @throws {UpstreamError} it does not give them
   */
  async run(signal: AbortSignal): Promise<void> {
    const { sizeHint, patienceMs, random = Math.random, sleep = systemSleep } = this.#options
    const recipient = this.#recipient
    const persistence = new Persistence({ elapsed: this.#elapsed, random, patienceMs })
    // Killed between the last byte and the final name: there is nothing left to ask for.
    if (recipient.received > 0 && recipient.received === sizeHint) this.#size = sizeHint
    let wasAnswered = false
    for (let attempt = 0; !this.#isWhole(); attempt++) {
      const before = recipient.received
      let remote: RemoteBlob | undefined
      try {
        remote = await this.#open(attempt, signal)
        wasAnswered = true
        await this.#receive(remote, signal)
        return
      } catch (error) {
        signal.throwIfAborted()
        // Whoever asks for the first time has tried as often as is reasonable.
        if (!wasAnswered || !this.#isWorthResuming(error)) throw error
        if (remote !== undefined) this.#broke(remote, error)
        const wasOfUse = recipient.received > before && !isTooSlow(error)
        const delayMs = persistence.delayAfter(error, wasOfUse)
        if (delayMs === undefined) throw error
        await sleep(delayMs, signal)
      }
    }
  }

  /** Whoever answered last has sent wrong bytes: others are asked before it, where there are any. */
  setBack(): void {
    this.#remote?.setBack?.()
  }

  /** What was said of the size is not to be believed any more. */
  forgetSize(): void {
    this.#size = undefined
  }

  wrongSize(actual: string): ContentMismatchError {
    return new ContentMismatchError('size', String(this.#size), actual)
  }

  #broke(remote: RemoteBlob, error: unknown): void {
    remote.setBack?.()
    this.#options.events.broken(error instanceof UpstreamError ? error.reason : 'reset')
  }

  async #open(attempt: number, signal: AbortSignal): Promise<RemoteBlob> {
    const offset = this.#recipient.received
    signal.throwIfAborted()
    const remote = await this.#options.open(offset, signal).catch((error: unknown) => {
      throw offset > 0 && isNoWayOn(error) ? this.wrongSize(`at least ${offset}`) : error
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
      throw this.wrongSize(String(remote.size))
    }
    if (this.#size !== undefined && this.#size > 0) this.#recipient.opened()
    return remote
  }

  /** Reads one answer to its end. What it repeats of what is already here is skipped. */
  async #receive(remote: RemoteBlob, signal: AbortSignal): Promise<void> {
    const recipient = this.#recipient
    let skip = recipient.received - remote.offset
    const { body, release, heldMs = () => 0 } = remote
    const pace = new Pace({ elapsed: this.#elapsed, heldMs })
    const stop = () => body.destroy(new Error('stopped'))
    signal.addEventListener('abort', stop, { once: true })
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
        if (recipient.isFull) await recipient.drained(signal)
        pace.wait()
      }
    } finally {
      signal.removeEventListener('abort', stop)
      body.destroy()
    }
    if (this.#size !== undefined && recipient.received < this.#size) {
      const { upstream } = this.#options
      const message = 'the registry ended the body early'
      throw new UpstreamError('unreachable', { upstream, reason: 'reset', message })
    }
  }

  #take(bytes: Buffer): Promise<void> | undefined {
    const total = this.#recipient.received + bytes.length
    if (this.#size !== undefined && total > this.#size) {
      throw this.wrongSize(`at least ${total}`)
    }
    return this.#recipient.take(bytes)
  }

  #isWhole(): boolean {
    return this.#size !== undefined && this.#recipient.received >= this.#size
  }

  /** A body that breaks says so with a system or HTTP error; only what the registry said is final. */
  #isWorthResuming(error: unknown): boolean {
    if (error instanceof UpstreamError) return WORTH_RESUMING.has(error.kind)
    return !(error instanceof ContentMismatchError || this.#recipient.isOwn(error))
  }

  #tooSlow(): UpstreamError {
    const { upstream } = this.#options
    const message = 'the registry sends too slowly'
    return new UpstreamError('timeout', { upstream, reason: TOO_SLOW, message })
  }

  readonly #elapsed = (): number => this.#options.elapsed?.() ?? performance.now()
}

function isTooSlow(error: unknown): boolean {
  return error instanceof UpstreamError && error.reason === TOO_SLOW
}

async function systemSleep(delayMs: number, signal: AbortSignal): Promise<void> {
  await sleepFor(delayMs, undefined, { signal })
}

/**
 * The part is as long as the blob or longer, or the registry botches ranges. To keep the part would
 * be to ask for the same again for ever.
 */
function isNoWayOn(error: unknown): boolean {
  return error instanceof UpstreamError && (error.status === 416 || error.kind === 'invalid')
}
