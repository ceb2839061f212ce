/** Reads the events of an answer that grows, to the last of them. */
import { exitErrorOf, failureOf } from './admin-answers.ts'
import { ExitError } from './exit.ts'

const EXIT_FAILURE = 1
const EXIT_INTERRUPTED = 130

/** A line of any of these streams. */
interface Line {
  readonly event: string
}

/**
 * Tells of each event, up to `done`.
 *
 * @param what for a message: what ended too early
 * @returns what `done` says
 * @throws {ExitError} when it failed or was cut; 130 at Ctrl-C, which ends it on the server too
 */
export async function followEvents<Event extends Line, Done>(
  lines: AsyncGenerator<object, void, undefined>,
  what: string,
  onEvent: (event: Event) => void,
): Promise<Done> {
  const interruption = Promise.withResolvers<never>()
  // Nobody may be waiting in the moment it comes.
  interruption.promise.catch(() => undefined)
  const interrupt = () => interruption.reject(new ExitError(EXIT_INTERRUPTED, `${what} was ended`))
  process.once('SIGINT', interrupt)
  try {
    for (;;) {
      const next = await Promise.race([lines.next(), interruption.promise])
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
    process.off('SIGINT', interrupt)
    // It may be waiting for a line, and ends when that has come.
    lines.return().catch(() => undefined)
  }
}

function cut(what: string): ExitError {
  return new ExitError(EXIT_FAILURE, `${what} ended before its end: see the log of the server`)
}
