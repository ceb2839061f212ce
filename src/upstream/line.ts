import PQueue from 'p-queue'

import { ignore } from './body.ts'
import { UpstreamError } from './errors.ts'
import { closedError } from './failures.ts'
import type { UpstreamObserver } from './observer.ts'
import { type Errand, Places } from './places.ts'
import { type Turn, type Turns, turnsAt } from './turns.ts'

const MAX_WAITING = 1_000
/** What nobody waits for fills no more of the line than this, so that who does finds room. */
const BACKGROUND_WAITING_SHARE = 1 / 2
const MAX_WAIT_MS = 30_000
/** What a client is told that finds the line too long: places change hands quickly. */
const COME_BACK_MS = 1_000

export interface LineOptions {
  /** The configured name. */
  readonly upstream: string
  /** How many places there are; at least 1. */
  readonly connections: number
  readonly observe: UpstreamObserver
  /** Rejects when the signal says so. */
  readonly sleep: (delayMs: number, signal?: AbortSignal) => Promise<void>
  /** Milliseconds that one waits at most; default 30 s. */
  readonly maxWaitMs?: number | undefined
  /** How many wait at most; default 1000. */
  readonly maxWaiting?: number | undefined
}

/** Gives the place back. More than once does no harm. */
export type Leave = () => void

interface Waiter {
  /** Why it waits no longer. */
  readonly giveUp: (reason: unknown) => void
}

/**
 * The line before an upstream: so many ask at once, and the others wait, for a bounded time and in
 * bounded number. Who waits for content goes before what nobody waits for.
 */
export class Line {
  readonly #options: LineOptions
  readonly #places: Places
  readonly #queue: PQueue<Turns, Turn>
  readonly #waiters = new Set<Waiter>()
  #told = 0
  #isClosed = false

  constructor(options: LineOptions) {
    this.#options = options
    this.#places = new Places(options.connections)
    const concurrency = this.#places.total
    this.#queue = new PQueue({ concurrency, queueClass: turnsAt(this.#places) })
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /**
   * Waits for a place.
   *
   * @throws {UpstreamError} `throttled`, reason `queue_full` or `queue_timeout`; or the reason of
   *   the signal
   */
  async enter(errand: Errand, signal?: AbortSignal): Promise<Leave> {
    signal?.throwIfAborted()
    if (this.#isClosed) throw closedError(this.#options.upstream)
    const left = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<void>()
    const gone = new AbortController()
    let hasPlace = false
    const waiter: Waiter = {
      giveUp: (reason) => {
        // To p-queue, what is ended while it runs has left: who has a place leaves by itself.
        if (hasPlace) return
        this.#waiters.delete(waiter)
        gone.abort(reason)
      },
    }
    const stay = () => {
      hasPlace = true
      this.#waiters.delete(waiter)
      this.#places.take(errand)
      entered.resolve()
      return left.promise
    }
    const stayed = this.#queue.add(stay, { ...errand, signal: gone.signal })
    stayed.catch(ignore)
    if (!hasPlace) {
      await this.#wait(waiter, errand, Promise.race([entered.promise, stayed]), signal)
    }
    let hasLeft = false
    return () => {
      if (!hasLeft) this.#places.free(errand)
      hasLeft = true
      left.resolve()
    }
  }

  /** Sends away who waits, now and later. Who has a place keeps it. */
  close(): void {
    this.#isClosed = true
    for (const { giveUp } of [...this.#waiters]) giveUp(closedError(this.#options.upstream))
  }

  async #wait(
    waiter: Waiter,
    { urgency }: Errand,
    turn: Promise<unknown>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { sleep, maxWaitMs = MAX_WAIT_MS } = this.#options
    if (!this.#hasRoomFor(urgency)) {
      waiter.giveUp(this.#refusal('queue_full', 'too many wait for it already'))
      await turn
      return
    }
    const late = () => {
      if (!this.#waiters.has(waiter)) return
      waiter.giveUp(this.#refusal('queue_timeout', 'others were before this one'))
    }
    const over = new AbortController()
    const abort = () => waiter.giveUp(signal?.reason)
    this.#waiters.add(waiter)
    this.#tell()
    signal?.addEventListener('abort', abort, { once: true })
    sleep(maxWaitMs, over.signal).then(late, ignore)
    try {
      await turn
    } finally {
      over.abort()
      signal?.removeEventListener('abort', abort)
      this.#tell()
    }
  }

  #hasRoomFor(urgency: Errand['urgency']): boolean {
    const { maxWaiting = MAX_WAITING } = this.#options
    const share = urgency === 'background' ? BACKGROUND_WAITING_SHARE : 1
    return this.#waiters.size < maxWaiting * share
  }

  #tell(): void {
    const { upstream, observe } = this.#options
    const count = this.#waiters.size
    if (count === this.#told) return
    this.#told = count
    observe.waiting({ upstream, count })
  }

  #refusal(reason: 'queue_full' | 'queue_timeout', why: string): UpstreamError {
    const { upstream, observe } = this.#options
    observe.error({ upstream, reason })
    const message = `the registry was not asked: ${why}`
    const retryAfterMs = COME_BACK_MS
    return new UpstreamError('throttled', { upstream, reason, message, retryAfterMs })
  }
}
