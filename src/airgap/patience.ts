import { ContentMismatchError, RegistryError } from '../oci/errors.ts'
import { abortable } from './abortable.ts'

export interface PatienceOptions {
  /** How long one registry may put us off without giving anything, in milliseconds. */
  readonly waitMs: number
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** Rejects when the signal says so. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>
  /** In [0, 1). */
  readonly random: () => number
}

interface Standstill {
  /** Since when it has given nothing; `undefined`: it gives. */
  since: number | undefined
  /** Until when it is left alone. */
  restsUntil: number
  /** Something was tried as often as is reasonable, and it has given nothing since. */
  isHopeless: boolean
}

/** After a failure it is asked again after so long: three times in all. */
const RETRY_MS = [2_000, 8_000]
const MIN_REST_MS = 1_000
/** What all were told at the same moment is not asked by all at the same moment. */
const SPREAD = 1 / 4

/**
 * Goes on asking registries that say no for now. One that says when is left alone until then, by
 * everything that is asked of it; one that fails is asked a few times more, and not again by each
 * image that needs it.
 */
export class Patience {
  readonly #options: PatienceOptions
  readonly #registries = new Map<string, Standstill>()

  constructor(options: PatienceOptions) {
    this.#options = options
  }

  /**
   * @param upstream its configured name
   * @throws what `ask` throws, once it is no use to ask again
   */
  async run<T>(upstream: string, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; ) {
      await this.#rest(upstream, signal)
      signal.throwIfAborted()
      try {
        const answer = await abortable(ask(), signal)
        this.came(upstream)
        return answer
      } catch (error) {
        signal.throwIfAborted()
        const isRefusal = isPutOff(error)
        const delayMs = isRefusal
          ? this.#putOff(upstream, error)
          : this.#failed(upstream, error, failures++)
        if (delayMs === undefined) throw error
        if (!isRefusal) await this.#options.sleep(delayMs, signal)
      }
    }
  }

  /** It has given something. */
  came(upstream: string): void {
    const standstill = this.#of(upstream)
    standstill.since = undefined
    standstill.isHopeless = false
  }

  async #rest(upstream: string, signal: AbortSignal): Promise<void> {
    const { elapsed, sleep, random } = this.#options
    const restMs = this.#of(upstream).restsUntil - elapsed()
    if (restMs > 0) await sleep(restMs * (1 + random() * SPREAD), signal)
  }

  /** @returns for how long; `undefined`: for longer than we wait */
  #putOff(upstream: string, error: RegistryError): number | undefined {
    const now = this.#options.elapsed()
    const standstill = this.#of(upstream)
    standstill.since ??= now
    const seconds = Number(error.headers['Retry-After'] ?? 0)
    const delayMs = Math.max(MIN_REST_MS, seconds * 1000)
    if (now + delayMs - standstill.since > this.#options.waitMs) return undefined
    standstill.restsUntil = Math.max(standstill.restsUntil, now + delayMs)
    return delayMs
  }

  #failed(upstream: string, error: unknown, failures: number): number | undefined {
    if (!isFailure(error)) return undefined
    const standstill = this.#of(upstream)
    const delayMs = standstill.isHopeless ? undefined : RETRY_MS[failures]
    if (delayMs === undefined) standstill.isHopeless = true
    return delayMs
  }

  #of(upstream: string): Standstill {
    const known = this.#registries.get(upstream)
    if (known !== undefined) return known
    const standstill = { since: undefined, restsUntil: 0, isHopeless: false }
    this.#registries.set(upstream, standstill)
    return standstill
  }
}

/** Not now: it limits how often it is asked, nodes go first, or descriptors have run out. */
function isPutOff(error: unknown): error is RegistryError {
  if (!(error instanceof RegistryError)) return false
  return error.code === 'TOOMANYREQUESTS' || error.code === 'UNAVAILABLE'
}

/** It could not be reached, or failed of itself. Who sends wrong bytes does so again. */
function isFailure(error: unknown): boolean {
  if (!(error instanceof RegistryError) || error.code !== 'UPSTREAM_FAILED') return false
  const { detail, cause } = error
  const isOffline = typeof detail === 'object' && detail !== null && 'offline' in detail
  return !isOffline && !(cause instanceof ContentMismatchError)
}
