/**
 * The program of a worker: it speaks with clients, and sends stored blobs by itself. Whatever is to
 * be decided it asks of the process that has started it, with which it ends.
 */
import type { Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { Listener } from '../listener.ts'
import { ChunkCache } from '../store/chunks.ts'
import { Carrier } from '../workers/carrier.ts'
import type { FromWorker, Setup, ToWorker } from '../workers/messages.ts'
import { Relay } from '../workers/relay.ts'
import { Vault } from '../workers/vault.ts'

const USAGE_MS = 1_000

// Who stops a service may signal all of its processes: this one is told by the other.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
// Without the other there is no answer to anything, and nobody to ask whether a body is right.
process.once('disconnect', () => process.exit(0))
process.title = 'larder worker'
process.once('message', (first: ToWorker) => {
  if (first.kind !== 'setup') throw new Error(`${first.kind} came before the setup`)
  const { listener, relay } = createWorker(first.setup)
  process.on('message', (message: ToWorker, socket: Socket | undefined) => {
    void follow(message, socket, listener)
  })
  process.once('exit', () => relay.close())
  listener.open()
  tellUsage()
  tell({ kind: 'ready' })
})

function createWorker(setup: Setup): { readonly listener: Listener; readonly relay: Relay } {
  const { socketPath, secret, path, chunkCacheBytes, material, connections } = setup
  const chunks = new ChunkCache<string>({ maxBytes: chunkCacheBytes })
  const carrier = new Carrier(new Vault({ path, chunks }))
  const relay = new Relay({ socketPath, secret, carrier })
  const listener = new Listener({
    address: undefined,
    tls: undefined,
    material,
    handler: relay.handle,
    connections,
    onConnections: {
      counted: (open) => tell({ kind: 'connections', open }),
      rejected: (reason) => tell({ kind: 'rejected', reason }),
      full: (isFull, state) => tell({ kind: 'full', isFull, ...state }),
    },
    onTlsError: () => undefined,
  })
  return { listener, relay }
}

async function follow(
  message: ToWorker,
  socket: Socket | undefined,
  listener: Listener,
): Promise<void> {
  switch (message.kind) {
    case 'connection':
      // It may have ended on its way here.
      if (socket !== undefined) listener.take(socket)
      return tell({ kind: 'taken' })
    case 'certificates':
      return listener.secure(message.material)
    case 'drain':
      await listener.close(message.ms)
      return process.disconnect?.()
    case 'hurry':
      return listener.destroy()
    case 'setup':
      throw new Error('a second setup')
    default:
      return message satisfies never
  }
}

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message)
}

function tellUsage(): void {
  const delay = monitorEventLoopDelay()
  delay.enable()
  setInterval(() => tell({ kind: 'usage', usage: usageOf(delay) }), USAGE_MS).unref()
}

function usageOf(delay: ReturnType<typeof monitorEventLoopDelay>) {
  const { user, system } = process.cpuUsage()
  const delaySeconds = delay.max / 1e9
  delay.reset()
  return { cpuSeconds: (user + system) / 1e6, memoryBytes: process.memoryUsage.rss(), delaySeconds }
}
