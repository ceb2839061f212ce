/** Where nobody watches, a line now and then is enough to see that something is going on. */
const LINE_MS = 10_000

export interface ProgressOptions {
  readonly stderr: { write(text: string): unknown }
  readonly isWatched: boolean
  readonly monotonic: () => number
  /** How large the terminal is now; default 80 × 24. */
  readonly size?: (() => { readonly columns: number; readonly rows: number }) | undefined
}

/** How far a command has come: lines that change on a terminal, few lines elsewhere. */
export class Progress {
  readonly #options: ProgressOptions
  #saidAt: number
  /** Lines on the terminal that are ours; the cursor is in the last. */
  #shown = 0

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#saidAt = options.monotonic()
  }

  show(text: string): void {
    this.showAll([], text)
  }

  /**
   * @param rows what is under way; more than the terminal has are left out
   * @param last how it stands as a whole: all that is said where nobody watches
   */
  showAll(rows: readonly string[], last: string): void {
    const { stderr, isWatched, monotonic, size } = this.#options
    if (isWatched) {
      const { columns, rows: height } = size?.() ?? { columns: 80, rows: 24 }
      const lines = [...fitting(rows, Math.max(0, height - 2)), last]
      const text = lines.map((line) => `\u001b[2K${line.slice(0, Math.max(1, columns - 1))}`)
      const rest = this.#shown > lines.length ? '\u001b[J' : ''
      stderr.write(`${this.#top()}${text.join('\n')}${rest}`)
      this.#shown = lines.length
    } else if (monotonic() - this.#saidAt >= LINE_MS) {
      this.#saidAt = monotonic()
      stderr.write(`${last}\n`)
    }
  }

  /** Before anything else is written. */
  clear(): void {
    const rest = this.#shown > 1 ? '\u001b[J' : '\u001b[2K'
    if (this.#shown > 0) this.#options.stderr.write(`${this.#top()}${rest}`)
    this.#shown = 0
  }

  #top(): string {
    return this.#shown > 1 ? `\r\u001b[${this.#shown - 1}A` : '\r'
  }
}

/** What does not fit is counted in the place of the last. */
function fitting(rows: readonly string[], most: number): readonly string[] {
  if (rows.length <= most) return rows
  if (most === 0) return []
  const shown = rows.slice(0, most - 1)
  return [...shown, `… and ${rows.length - shown.length} more`]
}
