/** A promise that rejects when `signal` aborts, and a way to stop listening. */
export function abortion(signal: AbortSignal | undefined): {
  readonly promise: Promise<never>
  dispose(): void
} {
  const { promise, reject } = Promise.withResolvers<never>()
  // Often nobody is waiting at the moment of the abort.
  promise.catch(() => undefined)
  const listener = () => reject(signal?.reason)
  if (signal?.aborted) listener()
  signal?.addEventListener('abort', listener, { once: true })
  return { promise, dispose: () => signal?.removeEventListener('abort', listener) }
}
