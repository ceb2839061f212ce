import type { Response } from 'express'

import type { Outcome } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { LineStream } from './line-stream.ts'

export interface EventLinesOptions {
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
  /** The line `started` says more. */
  readonly started: object
  /** Its signal says that whoever asked went away. */
  readonly work: (lines: LineStream, signal: AbortSignal) => Promise<Worked>
}

export interface Worked {
  /** The line `done` says more. */
  readonly done: object
  /** For the audit log: numbers. */
  readonly result: object
}

/**
 * Answers with the events of some work, between `started` and `done` or `failed`, for as long as
 * whoever asked listens.
 *
 * @throws what the work throws, unless it was left
 */
export async function answerInEvents(
  response: Response,
  { monotonic, started, work }: EventLinesOptions,
): Promise<Outcome> {
  const leaving = new AbortController()
  response.once('close', () => leaving.abort())
  const lines = new LineStream(response, { monotonic }, { event: 'started', ...started })
  try {
    const { done, result } = await work(lines, leaving.signal)
    // A client that got its last line closes too; one that went before that heard no result.
    const hasLeft = leaving.signal.aborted
    lines.end({ event: 'done', ...done })
    return { body: undefined, result: { ...result, complete: !hasLeft } }
  } catch (error) {
    if (leaving.signal.aborted) return { body: undefined, result: { complete: false } }
    const shown = error instanceof AdminError ? error : new AdminError('INTERNAL')
    lines.end({ event: 'failed', ...shown.toJSON() })
    throw error
  }
}
