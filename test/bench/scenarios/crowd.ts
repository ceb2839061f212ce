import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { type Image, layerPath } from '../content.ts'
import type { Server } from '../proc.ts'
import { pullManifests } from './prime.ts'
import { LOOP, type LoadScenario } from './scenario.ts'

const READERS = 500

/** One client among many that take nothing. */
export function createCrowdScenario(): LoadScenario {
  return {
    name: 'stalled-500',
    title: `cold blob, one client among ${READERS} stalled readers of it`,
    measures: 'blobs',
    roles: ['larder', 'distribution'],
    cold: true,
    comparisons: [
      { figure: 'rssMiB', atMost: 300 },
      { figure: 'seconds', versus: 'distribution' },
      { figure: 'cpuSeconds', versus: 'distribution' },
      { figure: 'blobGets', atMost: 1 },
      LOOP,
    ],
    push: async ({ pusher, blobBytes }) => [await pusher.pushImage([blobBytes])],
    prime: ({ client }, _role, server, images) => pullManifests(client, server, images),
    load: (_bench, _role, images) => ({ paths: images.map(layerPath), connections: 1 }),
    crowd: stall,
  }
}

async function stall(server: Server, [image]: readonly Image[]): Promise<AsyncDisposable> {
  const sockets = await Promise.all(
    Array.from({ length: READERS }, () => stalled(server.port, image && layerPath(image))),
  )
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Takes the first of the answer and no more. */
async function stalled(port: number, path: string | undefined): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => socket.destroy())
  await once(socket, 'connect')
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`)
  return socket
}
