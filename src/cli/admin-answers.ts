/** Reads what the admin API answers; its errors become exit codes. */
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

import type { Problem } from '../config/problems.ts'
import { formatProblem } from '../config/problems.ts'
import { ExitError } from './exit.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2
const EXIT_INTEGRITY = 4
const EXIT_NOT_FOUND = 6
const EXIT_NO_ROOM = 7

const EXIT_CODES: Readonly<Record<string, number>> = {
  INVALID: EXIT_USAGE,
  INVALID_CONFIGURATION: EXIT_USAGE,
  ARCHIVE_REFUSED: EXIT_INTEGRITY,
  NOT_FOUND: EXIT_NOT_FOUND,
  NO_ROOM: EXIT_NO_ROOM,
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
export async function answerOf(message: IncomingMessage, name: string): Promise<unknown> {
  const answer = parse(await text(message))
  const failure = failureOf(answer)
  if (failure !== undefined && !isOk(message)) throw exitErrorOf(failure)
  if (answer === undefined || !isOk(message)) throw notLarder(message, name)
  return answer
}

/** @throws {ExitError} unless what is answered is what was asked for */
export async function requireType(
  message: IncomingMessage,
  mediaType: string,
  name: string,
): Promise<void> {
  if (!isOk(message)) await answerOf(message, name)
  if (!message.headers['content-type']?.startsWith(mediaType)) throw notLarder(message, name)
}

/** Server-sent events whose data is JSON on one line, as they come. Comments are passed over. */
export async function* eventsOf(
  message: IncomingMessage,
): AsyncGenerator<{ readonly event: string; readonly data: object }, void, undefined> {
  let event = ''
  for await (const line of textLinesOf(message)) {
    const [, field, value = ''] = /^(event|data): ?(.*)$/.exec(line) ?? []
    if (field === 'event') event = value
    if (field === 'data') yield { event, data: JSON.parse(value) as object }
  }
}

/** The JSON objects of a body with one on each line, as they come. */
export async function* linesOf(message: IncomingMessage): AsyncGenerator<object, void, undefined> {
  for await (const line of textLinesOf(message)) yield JSON.parse(line) as object
}

async function* textLinesOf(message: IncomingMessage): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of message as AsyncIterable<Buffer>) {
    const lines = `${rest}${decoder.decode(bytes, { stream: true })}`.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
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

function isOk({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300
}

/** `undefined` of what is no JSON; no answer of the API is without any. */
function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function notLarder({ statusCode }: IncomingMessage, name: string): ExitError {
  const said = `${name} answers ${statusCode}, not as Larder's admin API does`
  return new ExitError(EXIT_FAILURE, `${said}: is it server.adminListen?`)
}
