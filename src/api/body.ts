import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'

/** Nobody is left to be told of anything. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'
}

/** A client that takes nothing for this long is let go, so that it holds nothing for longer. */
const STALLED_MS = 60_000
/**
 * A client as fast as memory never makes us wait, and would keep everybody else waiting: after this
 * many bytes in one go the others have a turn.
 */
const TURN_BYTES = 2 * 1024 * 1024

/**
 * Writes `pieces` as the client takes them. What fails on the way destroys the connection: a cut is
 * the only way left to say that a body is not whole.
 *
 * @returns whether all of them were written
 */
export async function writeBody(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array>,
  onWritten: (bytes: number) => void,
): Promise<boolean> {
  try {
    let turn = 0
    for await (const piece of pieces) {
      if (response.destroyed) return false
      const isRoomLeft = response.write(piece)
      onWritten(piece.byteLength)
      if (!isRoomLeft && !(await drained(response))) return false
      turn += piece.byteLength
      if (turn < TURN_BYTES) continue
      turn = 0
      await setImmediate()
    }
    return true
  } catch (error) {
    response.destroy()
    throw error
  }
}

/** False when the client has gone. */
async function drained(response: ServerResponse): Promise<boolean> {
  const { socket } = response
  if (socket === null || response.destroyed) return false
  const left = new AbortController()
  const onClose = () => left.abort()
  const onTimeout = () => response.destroy()
  response.once('close', onClose)
  socket.setTimeout(STALLED_MS)
  socket.once('timeout', onTimeout)
  try {
    await once(response, 'drain', { signal: left.signal })
    return true
  } catch {
    return false
  } finally {
    response.off('close', onClose)
    socket.off('timeout', onTimeout)
    socket.setTimeout(0)
  }
}
