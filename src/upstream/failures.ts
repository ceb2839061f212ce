import { UpstreamError, type UpstreamErrorKind } from './errors.ts'

type Failure = readonly [kind: UpstreamErrorKind, reason: string, message: string]

const DNS: Failure = ['unreachable', 'dns', "the registry's name does not resolve"]
const CONNECT: Failure = ['unreachable', 'connect', 'the registry does not accept connections']
const CONNECT_TIMEOUT: Failure = ['timeout', 'connect', 'the registry could not be reached in time']
const TLS: Failure = ['unreachable', 'tls', 'no trusted TLS connection to the registry']
const RESET: Failure = ['unreachable', 'reset', 'the registry closed the connection too early']
const TIMEOUT: Failure = ['timeout', 'timeout', 'the registry did not answer in time']
const PROXY: Failure = ['unreachable', 'connect', 'the forward proxy did not let the request pass']
const PROTOCOL: Failure = ['invalid', 'protocol', 'the registry does not speak valid HTTP']
const CLOSED: Failure = ['unreachable', 'connect', 'the client of this registry is shut down']
const DESCRIPTORS: Failure = [
  'unreachable',
  'descriptors',
  'the cache has no file descriptors left to ask the registry',
]

/** By `code` of Node's and undici's errors. */
const FAILURES: ReadonlyMap<string, Failure> = new Map<string, Failure>([
  ['ENOTFOUND', DNS],
  ['ENODATA', DNS],
  ['ECONNREFUSED', CONNECT],
  ['EHOSTUNREACH', CONNECT],
  ['ENETUNREACH', CONNECT],
  ['EADDRNOTAVAIL', CONNECT],
  ['EACCES', CONNECT],
  ['EPERM', CONNECT],
  ['ETIMEDOUT', CONNECT_TIMEOUT],
  ['UND_ERR_CONNECT_TIMEOUT', CONNECT_TIMEOUT],
  ['UND_ERR_HEADERS_TIMEOUT', TIMEOUT],
  ['UND_ERR_BODY_TIMEOUT', TIMEOUT],
  ['ECONNRESET', RESET],
  ['EPIPE', RESET],
  ['UND_ERR_SOCKET', RESET],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', RESET],
  ['UND_ERR_HEADERS_OVERFLOW', PROTOCOL],
  ['UND_ERR_RES_EXCEEDED_MAX_SIZE', PROTOCOL],
  ['UND_ERR_PRX_TLS', PROXY],
  ['UND_ERR_PRX_CONN', PROXY],
  ['UND_ERR_ABORTED', PROXY],
  ['UND_ERR_DESTROYED', CLOSED],
  ['UND_ERR_CLOSED', CLOSED],
  ['EMFILE', DESCRIPTORS],
  ['ENFILE', DESCRIPTORS],
])

const TLS_CODE =
  /^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|EPROTO$)/

/** It never left this machine: of the registry it says nothing. */
export function isOurs({ reason }: UpstreamError): boolean {
  return reason === 'descriptors'
}

/** For requests that come too late. */
export function closedError(upstream: string): UpstreamError {
  const [kind, reason, message] = CLOSED
  return new UpstreamError(kind, { upstream, reason, message })
}

/** What the transport threw, named. Its own text never reaches the message: it holds addresses. */
export function toUpstreamError(upstream: string, error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error
  // A parser's error has no code, and carries the bytes that it could not read: they may be anything.
  const isParser = error instanceof Error && error.name === 'HTTPParserError'
  const [kind, reason, message] = isParser ? PROTOCOL : failureOf(codeOf(error))
  const cause = isParser ? new Error(error.message) : error
  return new UpstreamError(kind, { upstream, reason, message, cause })
}

function failureOf(code: string): Failure {
  const known = FAILURES.get(code)
  if (known !== undefined) return known
  if (code.startsWith('EAI_')) return DNS
  return TLS_CODE.test(code) ? TLS : RESET
}

/** An AggregateError, from trying several addresses, may carry the code only inside. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string') return code
  return error instanceof AggregateError ? codeOf(error.errors[0]) : ''
}
