import type { Logger } from '../log.ts'
import { type Admission, Breaker, type CircuitState } from './breaker.ts'
import type { Clock } from './clock.ts'
import { UpstreamError } from './errors.ts'
import type { UpstreamObserver } from './observer.ts'

export interface CircuitsOptions {
  readonly upstream: string
  readonly clock: Clock
  readonly observe: UpstreamObserver
  readonly logger: Logger
}

/** The breakers of an upstream's endpoints. As a whole it is as well as the best of them. */
export class Circuits {
  readonly #options: CircuitsOptions
  readonly #breakers = new Map<string, Breaker>()
  #state: CircuitState = 'closed'

  /** @param keys of the endpoints */
  constructor(keys: readonly string[], options: CircuitsOptions) {
    this.#options = options
    for (const key of keys) {
      const onChange = (state: CircuitState, openMs: number) => this.#changed(key, state, openMs)
      this.#breakers.set(key, new Breaker({ elapsed: () => options.clock.elapsed(), onChange }))
    }
  }

  get state(): CircuitState {
    return this.#state
  }

  /** The right to make one request, or why it must not be made: `unreachable`, `circuit_open`. */
  admit(key: string): Admission | UpstreamError {
    const breaker = this.#of(key)
    return breaker.admit() ?? this.#refusal(breaker.waitMs)
  }

  lets(key: string): boolean {
    return this.#of(key).waitMs === 0
  }

  #of(key: string): Breaker {
    const breaker = this.#breakers.get(key)
    if (breaker === undefined) throw new Error(`no endpoint ${key}`)
    return breaker
  }

  #refusal(retryAfterMs: number): UpstreamError {
    const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
    return new UpstreamError('unreachable', {
      upstream: this.#options.upstream,
      reason: 'circuit_open',
      message: `the registry has failed repeatedly and is not asked for ${seconds} s`,
      retryAfterMs,
    })
  }

  #changed(endpoint: string, state: CircuitState, openMs: number): void {
    const { upstream, observe, logger } = this.#options
    if (state === 'open') {
      logger.warn({ endpoint, state, openMs }, 'an endpoint fails repeatedly: it is not asked')
    } else {
      const what = state === 'closed' ? 'answers again' : 'is asked again, once'
      logger.info({ endpoint, state }, `an endpoint ${what}`)
    }
    const whole = this.#whole()
    if (whole === this.#state) return
    this.#state = whole
    observe.circuit({ upstream, state: whole })
  }

  #whole(): CircuitState {
    const states = [...this.#breakers.values()].map((one) => one.state)
    if (states.includes('closed')) return 'closed'
    return states.includes('half_open') ? 'half_open' : 'open'
  }
}
