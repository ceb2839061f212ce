import type { Readable } from 'node:stream'

import { UpstreamError } from './errors.ts'
import { contentLengthOf, type Headers } from './headers.ts'

/** Unread bytes of an answer that are worth reading to keep its connection. */
const MAX_DISCARDED_BYTES = 64 * 1024

export interface ReadBodyOptions {
  readonly upstream: string
  readonly maxBytes: number
  /** For the whole body, however steadily it drips. */
  readonly timeoutMs: number
  /** Told of what comes, as it comes, of use or not. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/**
 * Reads a small document whole.
 *
 * @throws {UpstreamError} `invalid` when over `maxBytes`, `unreachable` when cut, `timeout`
 */
export async function readBody(
  response: { readonly headers: Headers; readonly body: Readable },
  options: ReadBodyOptions,
): Promise<Buffer> {
  const { body } = response
  const expected = contentLengthOf(response.headers)
  const chunks: Buffer[] = []
  let size = 0
  if (expected !== undefined && expected > options.maxBytes) {
    discard(body)
    throw tooLarge(options)
  }
  const timer = setTimeout(() => body.destroy(tooSlow(options)), options.timeoutMs)
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length
      options.onBytes?.(chunk.length)
      if (size > options.maxBytes) throw tooLarge(options)
      chunks.push(chunk)
    }
  } finally {
    clearTimeout(timer)
  }
  // A close-delimited or HTTP-proxied body may end early without an error.
  if (expected !== undefined && size < expected) throw cut(options)
  return Buffer.concat(chunks, size)
}

/** Lets go of a body that nobody wants: a short one is read out, so that its connection is kept. */
export function discard(body: Readable): void {
  body.on('error', ignore)
  let size = 0
  const timer = setTimeout(() => body.destroy(), 5_000)
  timer.unref()
  body.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > MAX_DISCARDED_BYTES) body.destroy()
  })
  body.once('close', () => clearTimeout(timer))
}

/** For streams whose end nobody waits for: without a listener an error would end the process. */
export function ignore(): void {}

function tooLarge({ upstream, maxBytes }: ReadBodyOptions): UpstreamError {
  const message = `the registry's answer is larger than ${maxBytes} bytes`
  return new UpstreamError('invalid', { upstream, reason: 'size_mismatch', message })
}

function tooSlow({ upstream }: ReadBodyOptions): UpstreamError {
  const message = "the registry's answer did not arrive in time"
  return new UpstreamError('timeout', { upstream, reason: 'timeout', message })
}

function cut({ upstream }: ReadBodyOptions): UpstreamError {
  const message = 'the registry closed the connection too early'
  return new UpstreamError('unreachable', { upstream, reason: 'reset', message })
}
