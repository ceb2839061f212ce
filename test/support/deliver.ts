import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'

import type { Delivery } from './faults.ts'

/** Sends a delivery with all its faults. Rejects when the other side leaves before the end. */
export async function deliver(delivery: Delivery, response: ServerResponse): Promise<void> {
  for (const barrier of delivery.holds) await barrier.wait()
  const { socket, req } = response
  if (socket === null || socket.destroyed) return
  const { cut } = delivery
  if (cut !== undefined && cut.after < 0) return end(socket, cut.by)
  writeHead(delivery, response)
  if (req.method === 'HEAD' || hasNoBody(delivery.status)) {
    response.end()
    return
  }
  await writeBody(delivery, response)
  if (cut !== undefined) return end(socket, cut.by)
  // Announced but never sent: an end() would leave the connection open, and the client waiting.
  if ((delivery.announcedLength ?? 0) > delivery.body.length) return end(socket, 'fin')
  // Sent but never announced: the connection is out of step.
  if (delivery.announcedLength !== undefined) response.once('finish', () => socket.end())
  response.end()
}

function writeHead(delivery: Delivery, response: ServerResponse): void {
  for (const [name, value] of Object.entries(delivery.headers)) response.setHeader(name, value)
  if (!delivery.keepAlive) response.setHeader('Connection', 'close')
  if (delivery.framing === 'length') {
    const own = delivery.headers['content-length']
    const length = delivery.announcedLength ?? delivery.body.length
    if (own === undefined && !hasNoBody(delivery.status)) {
      response.setHeader('Content-Length', length)
    }
  } else {
    response.removeHeader('Content-Length')
    // Without both of them Node ends the body with the connection.
    if (delivery.framing === 'close') response.removeHeader('Transfer-Encoding')
  }
  response.writeHead(delivery.status)
  response.flushHeaders()
}

async function writeBody(delivery: Delivery, response: ServerResponse): Promise<void> {
  const { body, cut, stalls } = delivery
  const end = Math.min(cut?.after ?? body.length, body.length)
  let position = 0
  for (const { after, barrier } of stalls.toSorted((a, b) => a.after - b.after)) {
    await writePieces(delivery, response, body.subarray(position, Math.min(after, end)))
    position = Math.max(position, Math.min(after, end))
    await barrier.wait()
  }
  await writePieces(delivery, response, body.subarray(position, end))
}

async function writePieces(
  delivery: Delivery,
  response: ServerResponse,
  bytes: Buffer,
): Promise<void> {
  const { pieceBytes } = delivery
  const step = pieceBytes === 0 ? Math.max(1, bytes.length) : pieceBytes
  for (let i = 0; i < bytes.length; i += step) {
    const piece = bytes.subarray(i, i + step)
    await write(response, piece)
    delivery.sentBytes += piece.length
    if (pieceBytes !== 0) await setImmediate()
  }
}

/** Settles when the kernel has the bytes. */
function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Error('the client has left'))
    response.once('close', onClose)
    response.write(bytes, (error) => {
      response.off('close', onClose)
      if (error) reject(error)
      else resolve()
    })
  })
}

function end(socket: Socket, by: 'fin' | 'rst'): void {
  if (by === 'rst') socket.resetAndDestroy()
  // Only what is queued goes out: nothing ends the body.
  else socket.end(() => socket.destroy())
}

function hasNoBody(status: number): boolean {
  return status < 200 || status === 204 || status === 304
}
