import type { PullResult } from '../oci/pull-result.ts'
import { type Instruments, REQUEST_SECONDS } from './instruments.ts'
import { PULL_TYPES, type PullType } from './pulls.ts'

export type AuthFailure = 'password' | 'certificate' | 'caller' | 'limited'
export type ConnectionRejection = 'total' | 'address'

/** What nginx has made the usual code for a client that left before it was answered. */
const CLIENT_GONE = 499

/** The last two are of the operators' listener: its API with all that is no page, and the dashboard. */
const HANDLERS = ['ping', ...PULL_TYPES, 'upload', 'probe', 'other', 'admin', 'ui'] as const
const AUTH_FAILURES: readonly AuthFailure[] = ['password', 'certificate', 'caller', 'limited']
const REJECTIONS: readonly ConnectionRejection[] = ['total', 'address']
/** Those that alerts ask about, and what they are compared with. */
const USUAL_CODES = [200, 404, 500, 502, 503, 504] as const

const FIRST_BYTE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const RESPONSE_BYTES = Array.from({ length: 10 }, (_, power) => 1024 * 5 ** power)

export interface HttpAnswer {
  readonly handler: string
  readonly method: string
  /** `undefined`: the client had gone before it was said. */
  readonly status: number | undefined
  readonly seconds: number
  /** Of the body; absent: not counted. */
  readonly bytes?: number
}

/** What nodes ask for over HTTP, and how they are answered. */
export class HttpMetrics {
  readonly #requests
  readonly #seconds
  readonly #firstByte
  readonly #responseBytes
  readonly #inFlight
  readonly #connections
  readonly #rejected
  readonly #authFailures
  #pullsInFlight = 0

  constructor(instruments: Instruments) {
    this.#requests = instruments.counter(
      'http_requests_total',
      'HTTP answers; code 499: the client had gone before there was one',
      ['handler', 'method', 'code'],
    )
    this.#seconds = instruments.histogram(
      'http_request_duration_seconds',
      'From the request to the end of its answer',
      ['handler', 'method'],
      REQUEST_SECONDS,
    )
    this.#firstByte = instruments.histogram(
      'http_time_to_first_byte_seconds',
      'From the request to its first body byte: what a cache is for',
      ['handler', 'result'],
      FIRST_BYTE_SECONDS,
    )
    this.#responseBytes = instruments.histogram(
      'http_response_size_bytes',
      'Body bytes of an answer to a node',
      ['handler'],
      RESPONSE_BYTES,
    )
    this.#inFlight = instruments.gauge('http_requests_in_flight', 'Requests being answered', [
      'handler',
    ])
    this.#connections = instruments.gauge('connections', 'Open connections of clients')
    this.#rejected = instruments.counter(
      'connections_rejected_total',
      'Connections closed at once: too many in total, or of one address when there is little room',
      ['reason'],
    )
    this.#authFailures = instruments.counter(
      'auth_failures_total',
      'Callers refused: password and certificate at the front door, caller by the registry',
      ['kind'],
    )
    this.#initialize()
  }

  #initialize(): void {
    for (const handler of HANDLERS) this.#inFlight.set({ handler }, 0)
    for (const handler of ['manifest', 'blob']) {
      for (const method of ['GET', 'HEAD']) {
        for (const code of USUAL_CODES) this.#requests.inc({ handler, method, code }, 0)
      }
    }
    for (const reason of REJECTIONS) this.#rejected.inc({ reason }, 0)
    for (const kind of AUTH_FAILURES) this.#authFailures.inc({ kind }, 0)
  }

  /** Whether pulls are being answered. */
  get isBusy(): boolean {
    return this.#pullsInFlight > 0
  }

  started(handler: string): void {
    if (isPull(handler)) this.#pullsInFlight++
    this.#inFlight.inc({ handler })
  }

  finished({ handler, method, status, seconds, bytes }: HttpAnswer): void {
    if (isPull(handler)) this.#pullsInFlight--
    this.#inFlight.dec({ handler })
    this.#requests.inc({ handler, method, code: status ?? CLIENT_GONE })
    this.#seconds.observe({ handler, method }, seconds)
    if (bytes !== undefined) this.#responseBytes.observe({ handler }, bytes)
  }

  firstByte(handler: PullType, result: PullResult, seconds: number): void {
    this.#firstByte.observe({ handler, result }, seconds)
  }

  connections(open: number): void {
    this.#connections.set(open)
  }

  connectionRejected(reason: ConnectionRejection): void {
    this.#rejected.inc({ reason })
  }

  authFailure(kind: AuthFailure): void {
    this.#authFailures.inc({ kind })
  }
}

function isPull(handler: string): boolean {
  return (PULL_TYPES as readonly string[]).includes(handler)
}
