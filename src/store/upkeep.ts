import type { Admission } from './admission.ts'
import type { Eviction } from './eviction.ts'
import type { Leftovers } from './leftovers.ts'
import type { StorageLimits } from './quota.ts'
import { Turns } from './turns.ts'

export interface UpkeepOptions {
  readonly eviction: Pick<Eviction, 'expire' | 'lookAgain'>
  readonly admission: Pick<Admission, 'relieve'>
  readonly leftovers: Leftovers
  readonly settings: () => Pick<StorageLimits, 'unusedForMs'>
  /** Until it settles it is not known what belongs together. */
  readonly ready: Promise<unknown>
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly onError: (error: unknown) => void
  /** Told when all was done, or all but what `onError` was told of; in milliseconds. */
  readonly onRun?: (isWhole: boolean, ms: number) => void
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** How long after the start, in milliseconds; default a minute. */
  readonly firstMs?: number
  /** How often from then on, in milliseconds; default ten minutes. */
  readonly everyMs?: number
}

const MINUTE_MS = 60_000

/** What is done from time to time, whether or not anything is pulled. */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #turns = new Turns()
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: UpkeepOptions) {
    this.#options = options
  }

  start(): void {
    this.#schedule(this.#options.firstMs ?? MINUTE_MS)
  }

  /** Resolves once what is under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#turns.take(async () => {})
  }

  /** Never rejects: `onError` is told, and what is left is done. */
  run(): Promise<void> {
    return this.#turns.take(() => this.#run())
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return
    const again = async () => {
      await this.run()
      this.#schedule(this.#options.everyMs ?? 10 * MINUTE_MS)
    }
    this.#timer = setTimeout(() => void again(), delayMs)
    this.#timer.unref()
  }

  async #run(): Promise<void> {
    const { eviction, admission, leftovers, settings, ready, now, onError } = this.#options
    const { onRun, elapsed } = this.#options
    await ready.catch(() => undefined)
    const startedAt = elapsed()
    let isWhole = true
    eviction.lookAgain()
    const { unusedForMs } = settings()
    const steps = [
      async () => {
        if (unusedForMs !== undefined) await eviction.expire(now() - unusedForMs)
      },
      () => admission.relieve(),
      async () => {
        for (const part of await leftovers.staleParts()) await leftovers.removePart(part)
      },
      async () => {
        const surplus = await leftovers.surplusQuarantine()
        for (const one of surplus) await leftovers.removeQuarantined(one)
      },
      () => leftovers.shortenHistories(),
      () => leftovers.forgetLists(),
    ]
    for (const step of steps) {
      if (this.#isStopped) return
      await step().catch((error: unknown) => {
        isWhole = false
        onError(error)
      })
    }
    onRun?.(isWhole, elapsed() - startedAt)
  }
}
