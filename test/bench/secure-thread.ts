/** A thread of the load client over TLS: says that it is ready, waits, pulls, says what it saw. */
import { once } from 'node:events'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'

import type { Load } from './load.ts'
import { SecureConnection } from './secure-connection.ts'

/** A thread's part: its own connections, numbered among those of all. */
export interface Part {
  readonly load: Load
  readonly numbers: readonly number[]
}

/** What a thread saw. */
export interface Seen {
  readonly firstBytesMs: readonly number[]
  readonly totalsMs: readonly number[]
  readonly bytes: number
}

async function pull({ load, numbers }: Part, port: MessagePort): Promise<void> {
  const connections = await Promise.all(numbers.map(() => SecureConnection.open(load.port)))
  const go = once(port, 'message')
  port.postMessage('ready')
  await go
  const firstBytesMs: number[] = []
  const totalsMs: number[] = []
  let bytes = 0
  const { paths, requests = 1, headers = [] } = load
  await Promise.all(
    connections.map(async (connection, index) => {
      for (let i = 0; i < requests; i++) {
        const startedAt = performance.now()
        const path = paths[((numbers[index] ?? 0) + i) % paths.length] ?? '/'
        const received = await connection.get(path, headers)
        totalsMs.push(performance.now() - startedAt)
        firstBytesMs.push(received.firstByteMs)
        bytes += received.bytes
      }
    }),
  )
  for (const connection of connections) connection[Symbol.dispose]()
  const seen: Seen = { firstBytesMs, totalsMs, bytes }
  port.postMessage(seen)
}

if (parentPort === null) throw new Error('secure-client.ts starts this as a thread')
await pull(workerData as Part, parentPort)
