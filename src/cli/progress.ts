/** Where nobody watches, a line now and then is enough to see that something is going on. */
const LINE_MS = 10_000

export interface ProgressOptions {
  readonly stderr: { write(text: string): unknown }
  readonly isWatched: boolean
  readonly monotonic: () => number
}

/** How far a command has come: one line that changes on a terminal, few lines elsewhere. */
export class Progress {
  readonly #options: ProgressOptions
  #saidAt: number
  #isShown = false

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#saidAt = options.monotonic()
  }

  show(text: string): void {
    const { stderr, isWatched, monotonic } = this.#options
    if (isWatched) {
      stderr.write(`\r\u001b[2K${text}`)
      this.#isShown = true
    } else if (monotonic() - this.#saidAt >= LINE_MS) {
      this.#saidAt = monotonic()
      stderr.write(`${text}\n`)
    }
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#isShown) this.#options.stderr.write('\r\u001b[2K')
    this.#isShown = false
  }
}
