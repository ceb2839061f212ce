import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { connect, type Socket } from 'node:net'

import { Listener, type ListenerOptions } from '../../src/listener.ts'

export interface RunningListener extends AsyncDisposable {
  readonly port: number
}

/** A listener alone, with limits so short that a test need not wait for them. */
export async function startListener(
  handler: RequestListener,
  options: Partial<ListenerOptions> = {},
): Promise<RunningListener> {
  const listener = new Listener({
    address: { host: '127.0.0.1', port: 0 },
    tls: undefined,
    handler,
    onTlsError: () => undefined,
    ...options,
  })
  await listener.listen()
  return {
    port: Number(new URL(listener.url).port),
    [Symbol.asyncDispose]: () => listener.close(0),
  }
}

export interface Connection {
  readonly socket: Socket
  /** What came until the other side has ended the connection. */
  readonly ended: Promise<string>
}

export async function connectTo(port: number): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1' })
  let received = ''
  socket.setEncoding('latin1')
  socket.on('error', () => undefined)
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(received)))
  await once(socket, 'connect')
  socket.on('data', (text: string) => {
    received += text
  })
  return { socket, ended }
}

/** Sends `text` again and again, a little at a time, until the connection has ended. */
export function drip({ socket, ended }: Connection, text: string): Promise<string> {
  const timer = setInterval(() => socket.write(text), 20)
  return ended.finally(() => clearInterval(timer))
}
