/**
 * The signals of a server, from the moment it is made: as PID 1 a process has no default action for
 * them, and one that comes during the start must not be lost.
 */
export class Signals {
  readonly #stopping = Promise.withResolvers<NodeJS.Signals>()
  readonly #hurried = Promise.withResolvers<NodeJS.Signals>()
  #count = 0

  constructor(onHangup: () => void) {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => this.#receive(name))
    process.on('SIGHUP', onHangup)
  }

  /** The first SIGTERM or SIGINT. */
  get stopping(): Promise<NodeJS.Signals> {
    return this.#stopping.promise
  }

  /** The second. */
  get hurried(): Promise<NodeJS.Signals> {
    return this.#hurried.promise
  }

  #receive(name: NodeJS.Signals): void {
    this.#count++
    const { resolve } = this.#count === 1 ? this.#stopping : this.#hurried
    resolve(name)
  }
}
