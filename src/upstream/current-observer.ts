import type { UpstreamObserver } from './observer.ts'

type Event<K extends keyof UpstreamObserver> = Parameters<UpstreamObserver[K]>[0]

/**
 * Passes on what a client tells. What it does counts always; how its upstream is, only until another
 * client takes its place, which begins with a clean sheet.
 */
export class CurrentObserver implements UpstreamObserver {
  readonly #observe: UpstreamObserver
  readonly #upstream: string
  #isCurrent = true

  constructor(upstream: string, observe: UpstreamObserver) {
    this.#upstream = upstream
    this.#observe = observe
  }

  /** Another client speaks for the upstream from now on, or there is none. */
  resign(): void {
    if (!this.#isCurrent) return
    const upstream = this.#upstream
    this.circuit({ upstream, state: 'closed' })
    this.waiting({ upstream, count: 0 })
    this.credentialExpiry({ upstream, at: undefined })
    this.#isCurrent = false
  }

  request(event: Event<'request'>): void {
    this.#observe.request(event)
  }

  error(event: Event<'error'>): void {
    this.#observe.error(event)
  }

  retry(event: Event<'retry'>): void {
    this.#observe.retry(event)
  }

  token(event: Event<'token'>): void {
    this.#observe.token(event)
  }

  rateLimit(event: Event<'rateLimit'>): void {
    if (this.#isCurrent) this.#observe.rateLimit(event)
  }

  circuit(event: Event<'circuit'>): void {
    if (this.#isCurrent) this.#observe.circuit(event)
  }

  waiting(event: Event<'waiting'>): void {
    if (this.#isCurrent) this.#observe.waiting(event)
  }

  credentialExpiry(event: Event<'credentialExpiry'>): void {
    if (this.#isCurrent) this.#observe.credentialExpiry(event)
  }
}
