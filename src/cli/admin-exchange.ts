import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'

import type { Transport } from './admin-transport.ts'
import { ExitError } from './exit.ts'

const EXIT_FAILURE = 1

export interface Sending {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | number>>
  /** Pieces are sent as they are taken; each may be lent until the one after the next is asked for. */
  readonly body: string | AsyncIterable<Uint8Array> | undefined
  /** How long the other side may do nothing when it is its turn, in milliseconds. */
  readonly patienceMs: number
  /** Ends it, whoever waits for what. */
  readonly signal?: AbortSignal | undefined
}

/** One request, and its answer that is read while the request may still be sent. */
export class Exchange {
  readonly #transport: Transport
  readonly #outgoing: ClientRequest
  /** What reading the body that is sent failed with. */
  #sourceFailure: { readonly error: unknown } | undefined
  readonly #head: Promise<readonly unknown[]>
  #answer: IncomingMessage | undefined

  constructor(transport: Transport, sending: Sending) {
    const { method, path, headers, body, patienceMs, signal } = sending
    this.#transport = transport
    const timeout = transport.canHang ? { timeout: patienceMs } : {}
    this.#outgoing = transport.begin({ method, path, headers, ...timeout })
    this.#outgoing.on('timeout', () => this.#quiet(patienceMs, body))
    this.#head = once(this.#outgoing, 'response')
    // What breaks before anybody looks, or once the answer has begun, is seen by whoever reads that.
    this.#head.catch(() => undefined)
    this.#outgoing.on('error', () => undefined)
    signal?.addEventListener('abort', () => this.end(), { once: true })
    if (typeof body !== 'object') this.#outgoing.end(body)
    else void this.#send(body)
  }

  /**
   * The head of the answer has come; its body is for the caller to read.
   *
   * @throws {ExitError} nobody answers
   * @throws what the body that is sent failed with
   */
  async answer(): Promise<IncomingMessage> {
    try {
      const [answer] = (await this.#head) as [IncomingMessage]
      // It may be cut before anybody reads it.
      answer.on('error', () => undefined)
      this.#answer = answer
      return answer
    } catch (error) {
      throw this.#sourceFailure?.error ?? unreachable(error, this.#transport.name)
    }
  }

  /** What a cut answer means. */
  failure(cause: unknown): unknown {
    if (cause instanceof ExitError) return cause
    const message = `the answer of ${this.#transport.name} was cut: see its log`
    return this.#sourceFailure?.error ?? new ExitError(EXIT_FAILURE, message, { cause })
  }

  /** Nothing more is sent or read. */
  end(): void {
    this.#outgoing.destroy()
  }

  /** Nothing has gone to and fro for a while: who was to act? */
  #quiet(patienceMs: number, body: Sending['body']): void {
    const isBeingSent = typeof body === 'object' && !this.#outgoing.writableEnded
    const isOurTurn =
      (this.#answer?.readableLength ?? 0) > 0 ||
      (isBeingSent && this.#outgoing.writableLength === 0)
    if (isOurTurn) this.#outgoing.setTimeout(patienceMs)
    else this.#outgoing.destroy(new HungError())
  }

  /** While a piece is on its way the next one is asked for. Never rejects. */
  async #send(body: AsyncIterable<Uint8Array>): Promise<void> {
    const outgoing = this.#outgoing
    let sent: Promise<void> = Promise.resolve()
    try {
      for await (const piece of body) {
        await sent
        if (outgoing.destroyed) return
        sent = written(outgoing, piece)
      }
      await sent
      outgoing.end()
    } catch (error) {
      this.#sourceFailure = { error }
      // With what came before, the other side hears that there was somebody.
      await sent
      outgoing.destroy(error instanceof Error ? error : undefined)
    }
  }
}

/** Settles once the system has the bytes, or nobody takes them any more. */
async function written(outgoing: ClientRequest, piece: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  outgoing.once('close', resolve).write(piece, () => resolve())
  await promise
  outgoing.off('close', resolve)
}

class HungError extends Error {
  override readonly name = 'HungError'
}

function unreachable(error: unknown, name: string): ExitError {
  if (error instanceof HungError) {
    const message = `${name} took the request and gave no answer in time: see its log`
    return new ExitError(EXIT_FAILURE, message, { cause: error })
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  const why = code === undefined || code === 'ECONNREFUSED' ? '' : ` (${code})`
  const message = `no Larder answers at ${name}${why}: is it running? start it, or say --server`
  return new ExitError(EXIT_FAILURE, message, { cause: error })
}
