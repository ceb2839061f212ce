import type { Response } from 'express'

import { NDJSON_TYPE } from './media-types.ts'

/** Progress is for eyes: no more of it than this, and no less while nothing else is said. */
const PROGRESS_MS = 250
const HEARTBEAT_MS = 10_000

export interface LineStreamOptions {
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/**
 * An answer that grows: one JSON object a line (NDJSON). Not server-sent events, because those are
 * for GET alone in a browser, and lines can be read by everything from `jq` to a shell.
 *
 * Whoever reads too slowly misses progress, and nothing else; what is silent for long is repeated,
 * so that no proxy and no client takes it for dead.
 */
export class LineStream {
  readonly #response: Response
  readonly #monotonic: () => number
  readonly #heartbeat: NodeJS.Timeout
  #latest: object
  #shownAt = Number.NEGATIVE_INFINITY

  constructor(response: Response, { monotonic }: LineStreamOptions, first: object) {
    this.#response = response
    this.#monotonic = monotonic
    this.#latest = first
    response.status(200).setHeader('Content-Type', NDJSON_TYPE)
    this.write(first)
    this.#heartbeat = setInterval(() => this.#repeat(), HEARTBEAT_MS).unref()
    response.once('close', () => clearInterval(this.#heartbeat))
  }

  write(line: object): void {
    if (this.#response.writable) this.#response.write(`${JSON.stringify(line)}\n`)
  }

  progress(line: object): void {
    this.#latest = line
    const now = this.#monotonic()
    if (now - this.#shownAt < PROGRESS_MS || this.#response.writableNeedDrain) return
    this.#shownAt = now
    this.write(line)
  }

  /** The line without which a reader knows that the answer was cut. */
  end(line: object): void {
    this.write(line)
    this.#response.end()
  }

  #repeat(): void {
    if (!this.#response.writableNeedDrain) this.write(this.#latest)
  }
}
