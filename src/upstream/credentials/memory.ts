import { LRUCache } from 'lru-cache'

import type { Clock } from '../clock.ts'

/** How long a failure stands, and how young an answer is not asked for again though it was refused. */
const REST_MS = 30_000
/** Programs at once; more would only slow each other. */
const MAX_RUNNING = 4
const MAX_KEPT = 10_000

export interface Answer<T> {
  readonly value: T
  /** What it is good for: those who have this key among theirs. */
  readonly key: string
  /** How long it may be kept; 0: not at all. */
  readonly lifeMs: number
}

export interface Question<T> {
  /** Any answer to one of these will do. */
  readonly keys: readonly string[]
  /** Under which to ask: those with the same one wait for each other. */
  readonly flightKey: () => string
  readonly ask: () => Promise<Answer<T>>
}

interface Kept<T> {
  readonly value: T
  readonly since: number
  readonly until: number
}

/**
 * What programs answered. Each question is asked once however many wait for it, the answer is kept
 * for as long as it says, and a failure stands for a while: a pull every second is no reason to start
 * a broken program every second.
 */
export class Memory<T> {
  readonly #clock: Clock
  readonly #kept = new LRUCache<string, Kept<T>>({ max: MAX_KEPT })
  readonly #failed = new LRUCache<string, { readonly error: unknown; readonly until: number }>({
    max: MAX_KEPT,
  })
  readonly #flights = new Map<string, Promise<Answer<T>>>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @throws what `ask` throws, also for a while after it did */
  async get(question: Question<T>): Promise<T> {
    for (;;) {
      const kept = this.#find(question.keys)
      if (kept !== undefined) return kept.value
      const flightKey = question.flightKey()
      const failed = this.#failed.get(flightKey)
      if (failed !== undefined && failed.until > this.#clock.elapsed()) throw failed.error
      const flight = this.#flights.get(flightKey)
      if (flight === undefined) return (await this.#start(flightKey, question)).value
      const answer = await flight
      if (question.keys.includes(answer.key)) return answer.value
    }
  }

  /** Forgets what `isMeant`, unless it is so young that asking again would bring the same. */
  forget(isMeant: (value: T) => boolean): void {
    const now = this.#clock.elapsed()
    for (const [key, { value, since }] of this.#kept) {
      if (isMeant(value) && now - since >= REST_MS) this.#kept.delete(key)
    }
  }

  #find(keys: readonly string[]): Kept<T> | undefined {
    for (const key of keys) {
      const kept = this.#kept.get(key)
      if (kept === undefined) continue
      if (kept.until > this.#clock.elapsed()) return kept
      this.#kept.delete(key)
    }
    return undefined
  }

  #start(flightKey: string, question: Question<T>): Promise<Answer<T>> {
    const flight = this.#ask(flightKey, question).finally(() => this.#flights.delete(flightKey))
    this.#flights.set(flightKey, flight)
    return flight
  }

  async #ask(flightKey: string, { ask }: Question<T>): Promise<Answer<T>> {
    await this.#turn()
    try {
      const answer = await ask()
      const { value, key, lifeMs } = answer
      const since = this.#clock.elapsed()
      if (lifeMs > 0) this.#kept.set(key, { value, since, until: since + lifeMs })
      return answer
    } catch (error) {
      this.#failed.set(flightKey, { error, until: this.#clock.elapsed() + REST_MS })
      throw error
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }

  async #turn(): Promise<void> {
    if (this.#running >= MAX_RUNNING) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.push(resolve)
      await promise
    }
    this.#running++
  }
}
