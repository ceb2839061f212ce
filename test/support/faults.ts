import { gzipSync } from 'node:zlib'

import type { Barrier } from './barrier.ts'
import type { RecordedRequest } from './scripted-server.ts'

/** What a server is about to send, and how. Faults change it. */
export interface Delivery {
  status: number
  /** Lower-case names; several values are several header lines. */
  headers: Record<string, string | readonly string[]>
  body: Buffer
  /** `length`: Content-Length; `close`: the end of the connection is the end of the body. */
  framing: 'length' | 'chunked' | 'close'
  /** What Content-Length says; `undefined`: the truth. */
  announcedLength: number | undefined
  /** Waits there before the first byte. */
  readonly holds: Barrier[]
  /** Waits there when `after` bytes of the body have been sent. */
  readonly stalls: { readonly after: number; readonly barrier: Barrier }[]
  /** Where the connection ends too early; -1: before the status line. */
  cut: { readonly after: number; readonly by: 'fin' | 'rst' } | undefined
  /** Bytes a write; 0: all at once. */
  pieceBytes: number
  keepAlive: boolean
  /** Bytes of the body that the kernel has taken so far. */
  sentBytes: number
}

export type Fault = (delivery: Delivery, request: RecordedRequest) => void

export function newDelivery(status: number, headers: Delivery['headers'], body: Buffer): Delivery {
  return {
    status,
    headers,
    body,
    framing: 'length',
    announcedLength: undefined,
    holds: [],
    stalls: [],
    cut: undefined,
    pieceBytes: 0,
    keepAlive: true,
    sentBytes: 0,
  }
}

/** Another answer altogether. */
export function answer(
  status: number,
  headers: Delivery['headers'] = {},
  body: Buffer | string | object = '',
): Fault {
  return (delivery) => {
    delivery.status = status
    delivery.headers = { ...headers }
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
    delivery.body = Buffer.from(isRaw ? body : JSON.stringify(body))
  }
}

/** Sets headers; `undefined` removes one. */
export function headers(
  changes: Readonly<Record<string, string | readonly string[] | undefined>>,
): Fault {
  return (delivery) => {
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) delete delivery.headers[name.toLowerCase()]
      else delivery.headers[name.toLowerCase()] = value
    }
  }
}

/** Nothing is sent until the barrier is released. */
export function hold(barrier: Barrier): Fault {
  return (delivery) => void delivery.holds.push(barrier)
}

/** Sends `after` bytes of the body, then waits at the barrier. */
export function stall(after: number, barrier: Barrier): Fault {
  return (delivery) => void delivery.stalls.push({ after, barrier })
}

/** Ends the connection when `after` bytes of the body have been sent: in order, or with a reset. */
export function cut(after: number, by: 'fin' | 'rst' = 'fin'): Fault {
  return (delivery) => {
    delivery.cut = { after, by }
  }
}

/** Ends the connection without a word. */
export function hangUp(by: 'fin' | 'rst' = 'fin'): Fault {
  return cut(-1, by)
}

/** No Content-Length, but a chunked body. */
export function chunked(): Fault {
  return (delivery) => {
    delivery.framing = 'chunked'
  }
}

/** No Content-Length: the body ends where the connection does. */
export function closeDelimited(): Fault {
  return (delivery) => {
    delivery.framing = 'close'
  }
}

/** Flips the bits of one byte; a negative position counts from the end. */
export function corrupt(position: number): Fault {
  return (delivery) => {
    const body = Buffer.from(delivery.body)
    const index = position < 0 ? body.length + position : position
    body.writeUInt8((body[index] ?? 0) ^ 0xff, index)
    delivery.body = body
  }
}

/** A consistent answer with `bytes` more at its end, or fewer when negative. */
export function resize(bytes: number): Fault {
  return (delivery) => {
    const { body } = delivery
    delivery.body =
      bytes < 0
        ? body.subarray(0, Math.max(0, body.length + bytes))
        : Buffer.concat([body, Buffer.alloc(bytes, 0x21)])
  }
}

/** The body as it is, with a Content-Length that is wrong by `bytes`. */
export function lieAboutLength(bytes: number): Fault {
  return (delivery) => {
    delivery.announcedLength = delivery.body.length + bytes
  }
}

/** What a careless proxy does to a body when asked for nothing of the kind. */
export function gzipped(): Fault {
  return (delivery) => {
    delivery.body = gzipSync(delivery.body)
    delivery.headers['content-encoding'] = 'gzip'
  }
}

/** One write for every `pieceBytes`, each handed to the kernel before the next. */
export function drip(pieceBytes: number): Fault {
  return (delivery) => {
    delivery.pieceBytes = pieceBytes
  }
}

/** `Connection: close`. */
export function closing(): Fault {
  return (delivery) => {
    delivery.keepAlive = false
  }
}

export function redirect(location: string, status = 307): Fault {
  return answer(status, { location })
}

/** Redirects to the very address that was asked for, without end. */
export function redirectLoop(status = 307): Fault {
  return (delivery, request) => answer(status, { location: request.url })(delivery, request)
}

/** A 401 with these challenges, each a header line of its own. */
export function challenge(...challenges: readonly string[]): Fault {
  const errors = [{ code: 'UNAUTHORIZED', message: 'authentication required' }]
  return answer(
    401,
    { 'content-type': 'application/json', 'www-authenticate': challenges },
    { errors },
  )
}
