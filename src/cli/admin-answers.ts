/** Reads what the admin API answers; its errors become exit codes. */
import type { Problem } from '../config/problems.ts'
import { formatProblem } from '../config/problems.ts'
import { ExitError } from './exit.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2
const EXIT_NOT_FOUND = 6

const EXIT_CODES: Readonly<Record<string, number>> = {
  INVALID: EXIT_USAGE,
  INVALID_CONFIGURATION: EXIT_USAGE,
  NOT_FOUND: EXIT_NOT_FOUND,
}

const ADVICE: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'say --token-file, or -c with the configuration that the server has',
  FORBIDDEN: 'on the server set admin.tokenFile, and reload it',
  TOO_MANY_REQUESTS: 'wait a minute',
}

interface Failure {
  readonly code: string
  readonly message: string
  readonly problems?: readonly Problem[]
}

/**
 * The answer's JSON.
 *
 * @throws {ExitError} with what the server says of a failure
 */
export async function answerOf(response: Response, url: string): Promise<unknown> {
  const answer = await response.json().catch((cause: unknown) => {
    throw new ExitError(EXIT_FAILURE, notLarder(response, url), { cause })
  })
  if (response.ok) return answer
  const failure = failureOf(answer)
  if (failure === undefined) throw new ExitError(EXIT_FAILURE, notLarder(response, url))
  throw exitErrorOf(failure)
}

/**
 * The JSON objects of a body with one on each line, as they come.
 *
 * @throws {ExitError} when the body is cut
 */
export async function* linesOf(
  response: Response,
  url: string,
): AsyncGenerator<object, void, undefined> {
  if (!response.headers.get('content-type')?.startsWith('application/x-ndjson')) {
    throw new ExitError(EXIT_FAILURE, notLarder(response, url))
  }
  let rest = ''
  try {
    for await (const text of textOf(response)) {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line) as object
    }
  } catch (cause) {
    throw new ExitError(EXIT_FAILURE, `the answer of ${url} was cut: see its log`, { cause })
  }
}

/** What the last line of a failed stream says as well. */
export function exitErrorOf({ code, message, problems = [] }: Failure): ExitError {
  // The problems of a configuration have places, and say everything themselves.
  const isConfiguration = code === 'INVALID_CONFIGURATION' && problems.length > 0
  const said = isConfiguration
    ? `the configuration of before stays in use:\n${problems.map(formatProblem).join('\n')}`
    : message
  const advice = ADVICE[code]
  const text = advice === undefined ? said : `${said}\n${advice}`
  return new ExitError(EXIT_CODES[code] ?? EXIT_FAILURE, text)
}

export function failureOf(answer: unknown): Failure | undefined {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return undefined
  const { error } = answer
  const isFailure =
    typeof error === 'object' && error !== null && 'code' in error && 'message' in error
  return isFailure ? (error as Failure) : undefined
}

function notLarder({ status }: Response, url: string): string {
  return `${url} answers ${status}, not as Larder's admin API does: is it server.adminListen?`
}

async function* textOf({ body }: Response): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  for await (const bytes of body ?? []) yield decoder.decode(bytes, { stream: true })
}
