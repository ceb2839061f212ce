/** Reads the events of an answer that grows, to the last of them. */
import { exitErrorOf, failureOf } from './admin-answers.ts'
import { ExitError } from './exit.ts'
import { Interruption } from './interruption.ts'

const EXIT_FAILURE = 1

/** A line of any of these streams. */
interface Line {
  readonly event: string
}

/** Asks for an answer that grows; `signal` ends it. */
export type Ask = (signal: AbortSignal) => AsyncGenerator<object, void, undefined>

/**
 * Tells of each event, up to `done`.
 *
 * @param what for a message: what ended too early
 * @returns what `done` says
 * @throws {ExitError} when it failed or was cut; at Ctrl-C or SIGTERM, which end it on the server too
 */
export async function followEvents<Event extends Line, Done>(
  ask: Ask,
  what: string,
  onEvent: (event: Event) => void,
): Promise<Done> {
  using interruption = new Interruption(`${what} was ended`)
  const lines = ask(interruption.signal)
  try {
    for (;;) {
      const next = await interruption.race(lines.next())
      if (next.done === true) throw cut(what)
      const line = next.value as Event
      if (line.event === 'failed') {
        const failure = failureOf(line)
        throw failure === undefined ? cut(what) : exitErrorOf(failure)
      }
      if (line.event === 'done') {
        const { event: _event, ...done } = line
        return done as unknown as Done
      }
      onEvent(line)
    }
  } finally {
    // It may be waiting for a line, until the interruption has ended it.
    lines.return().catch(() => undefined)
  }
}

function cut(what: string): ExitError {
  return new ExitError(EXIT_FAILURE, `${what} ended before its end: see the log of the server`)
}
