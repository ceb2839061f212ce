import type { Response } from 'express'

/** What has been sent of an answer. */
export interface Sent {
  readonly bytes: number
  /** False: whoever asked went away. */
  readonly complete: boolean
}

/**
 * Answers with bytes, no faster than they are taken: the next piece is asked for when the connection
 * has taken the one before, whose memory is then whoever's gave it. The head is sent with the first of them, so
 * that what fails before is an answer of its own; what fails later cuts the connection, and no
 * reader takes it for the end.
 *
 * @param open begins to read; its signal says that whoever asked went away
 * @throws whatever reading throws
 */
export async function sendBytes(
  response: Response,
  mediaType: string,
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
): Promise<Sent> {
  const leaving = new AbortController()
  response.once('close', () => leaving.abort())
  const { signal } = leaving
  response.setHeader('Content-Type', mediaType)
  let bytes = 0
  try {
    for await (const piece of open(signal)) {
      if (signal.aborted) break
      bytes += piece.length
      await written(response, piece, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  if (signal.aborted) return { bytes, complete: false }
  response.end()
  return { bytes, complete: true }
}

/** Resolves, too, when the connection is lost: nobody needs the bytes any more. */
async function written(response: Response, piece: Uint8Array, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = () => resolve()
  signal.addEventListener('abort', done)
  response.write(piece, done)
  await promise
  signal.removeEventListener('abort', done)
}
