/** `half_open`: one request is let through, to find out. */
export type CircuitState = 'closed' | 'open' | 'half_open'

/** Failures in a row that open it, when they come within {@link ROW_MS}. */
const MAX_FAILURES = 5
const ROW_MS = 60_000
const FIRST_OPEN_MS = 10_000
const MAX_OPEN_MS = 60_000
/** While one request finds out, the others are told to come back after this. */
const TRIAL_MS = 1_000

export interface BreakerOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
  /** @param openMs for how long it stays open; 0 unless `state` is `open` */
  readonly onChange: (state: CircuitState, openMs: number) => void
}

/** The right to make one request. Exactly one of its methods is to be called, when it has ended. */
export interface Admission {
  /** It was answered, if only with a refusal. */
  answered(): void
  failed(): void
  /** Its caller has lost interest: nothing is known. */
  abandoned(): void
}

/**
 * Keeps requests from an endpoint that fails each time, so that a dead registry costs a miss
 * milliseconds and not timeouts, and one that is about to recover is not overrun.
 */
export class Breaker {
  readonly #options: BreakerOptions
  #state: CircuitState = 'closed'
  /** When the failures of this row came; at most {@link MAX_FAILURES}. */
  #row: number[] = []
  #openMs = FIRST_OPEN_MS
  #opensUntil = 0
  #trial: object | undefined

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get state(): CircuitState {
    return this.#state
  }

  /** Milliseconds until a request may be let through; 0: now. */
  get waitMs(): number {
    if (this.#trial !== undefined) return TRIAL_MS
    if (this.#state !== 'open') return 0
    return Math.max(0, this.#opensUntil - this.#options.elapsed())
  }

  /** `undefined`: the request must not be made. */
  admit(): Admission | undefined {
    if (this.waitMs > 0) return undefined
    if (this.#state === 'closed') return this.#admission({})
    this.#trial = {}
    if (this.#state === 'open') this.#change('half_open')
    return this.#admission(this.#trial)
  }

  #admission(ticket: object): Admission {
    return {
      answered: () => this.#answered(),
      failed: () => this.#failed(ticket),
      abandoned: () => {
        if (this.#trial === ticket) this.#trial = undefined
      },
    }
  }

  /** Any answer tells that it is back, also one to a request that was made before it opened. */
  #answered(): void {
    this.#row = []
    this.#trial = undefined
    this.#openMs = FIRST_OPEN_MS
    if (this.#state !== 'closed') this.#change('closed')
  }

  #failed(ticket: object): void {
    if (this.#trial === ticket) {
      this.#trial = undefined
      this.#openMs = Math.min(this.#openMs * 2, MAX_OPEN_MS)
      this.#open()
      return
    }
    // What was under way when it opened fails late, and tells nothing new.
    if (this.#state !== 'closed') return
    const now = this.#options.elapsed()
    this.#row = [...this.#row.slice(1 - MAX_FAILURES), now]
    const [first = now] = this.#row
    if (this.#row.length === MAX_FAILURES && now - first <= ROW_MS) this.#open()
  }

  #open(): void {
    this.#row = []
    this.#opensUntil = this.#options.elapsed() + this.#openMs
    this.#change('open')
  }

  #change(state: CircuitState): void {
    this.#state = state
    this.#options.onChange(state, state === 'open' ? this.#openMs : 0)
  }
}
