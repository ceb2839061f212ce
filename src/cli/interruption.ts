import { ExitError } from './exit.ts'

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

/** Ctrl-C and SIGTERM as a failure like others, so that what was begun is tidied up. A second ends at once. */
export class Interruption implements Disposable {
  readonly #interrupted = Promise.withResolvers<never>()
  readonly #ending = new AbortController()
  readonly #message: string
  readonly #interrupt = (signal: NodeJS.Signals): void => {
    const error = new ExitError(
      signal === 'SIGTERM' ? EXIT_CODES.SIGTERM : EXIT_CODES.SIGINT,
      this.#message,
    )
    this.#error ??= error
    this.#ending.abort(error)
    this.#interrupted.reject(error)
  }
  #error: ExitError | undefined

  /** @param message for whoever has interrupted it */
  constructor(message: string) {
    this.#message = message
    // Nobody may be waiting in the moment it comes.
    this.#interrupted.promise.catch(() => undefined)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, this.#interrupt)
  }

  /** For what would otherwise be waited for, and keep the process. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** @throws {ExitError} 130 or 143 */
  throwIfInterrupted(): void {
    if (this.#error !== undefined) throw this.#error
  }

  /** @throws {ExitError} 130 or 143, without waiting for what was waited for */
  async race<T>(work: Promise<T>): Promise<T> {
    return await Promise.race([work, this.#interrupted.promise])
  }

  [Symbol.dispose](): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#interrupt)
  }
}
