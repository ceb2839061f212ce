import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'

import { open } from '../support/http-client.ts'

/** A connection that has asked and does not read what it is sent. */
export interface StalledReader {
  readonly socket: Socket
  /** Settles when the other side has ended the connection. */
  readonly ended: Promise<void>
  leave(): void
}

/**
 * Asks for `path`, from byte `from` on, and reads nothing after the first piece of the answer, so
 * that what the kernel cannot take waits in the server.
 */
export async function stallOn(port: number, path: string, from = 0): Promise<StalledReader> {
  const socket = connect({ port, host: '127.0.0.1' })
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: larder\r\nRange: bytes=${from}-\r\n\r\n`)
  await Promise.race([once(socket, 'readable'), ended])
  return { socket, ended, leave: () => socket.destroy() }
}

export interface Pulled {
  readonly status: number
  readonly bytes: number
  readonly sha256: string
  readonly complete: boolean
  /** From the request to the first byte of the body. */
  readonly firstByteMs: number
  readonly ms: number
}

/** Pulls and hashes; what it is sent is not kept. */
export async function pull(origin: string, path: string): Promise<Pulled> {
  const startedAt = performance.now()
  const response = await open(origin, path)
  const { promise, resolve } = Promise.withResolvers<void>()
  const hash = createHash('sha256')
  let firstByteMs: number | undefined
  let bytes = 0
  response.on('data', (piece: Buffer) => {
    firstByteMs ??= performance.now() - startedAt
    bytes += piece.length
    hash.update(piece)
  })
  response.on('error', () => undefined)
  response.once('close', resolve)
  await promise
  return {
    status: response.statusCode ?? 0,
    bytes,
    sha256: hash.digest('hex'),
    complete: isComplete(response),
    firstByteMs: firstByteMs ?? performance.now() - startedAt,
    ms: performance.now() - startedAt,
  }
}

function isComplete(response: IncomingMessage): boolean {
  return response.complete && response.readableEnded
}
