import type { UpstreamObserver } from './observer.ts'

/** Nobody is told. */
export const NO_OBSERVER: UpstreamObserver = all([])

/** All of them are told. */
export function all(observers: readonly UpstreamObserver[]): UpstreamObserver {
  const tell =
    <K extends keyof UpstreamObserver>(kind: K) =>
    (event: Parameters<UpstreamObserver[K]>[0]) => {
      // The event is of that kind: `kind` is the same for both.
      for (const one of observers) (one[kind] as (told: typeof event) => void).call(one, event)
    }
  return {
    request: tell('request'),
    rateLimit: tell('rateLimit'),
    error: tell('error'),
    retry: tell('retry'),
    circuit: tell('circuit'),
    waiting: tell('waiting'),
    token: tell('token'),
    credentialExpiry: tell('credentialExpiry'),
  }
}
