import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'

/** A port that neither takes nor refuses a connection, as behind a firewall that drops packets. */
export interface Blackhole extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly origin: string
}

/** It listens, and then stands for ever: whoever comes when its queue is full is not answered. */
const LISTEN_AND_STAND = `
  const { createServer } = require('node:net')
  const { parentPort } = require('node:worker_threads')
  const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })
`
/** Linux queues one more than it is told to. */
const QUEUE = 2

export async function startBlackhole(): Promise<Blackhole> {
  const worker = new Worker(LISTEN_AND_STAND, { eval: true })
  const [port] = (await once(worker, 'message')) as [number]
  const fillers: Socket[] = []
  for (let i = 0; i < QUEUE; i++) {
    const filler = connect(port, '127.0.0.1')
    fillers.push(filler)
    filler.on('error', () => undefined)
    await once(filler, 'connect')
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy()
      await worker.terminate()
    },
  }
}
