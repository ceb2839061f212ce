import type { RequestListener } from 'node:http'
import { type Duplex, duplexPair } from 'node:stream'

import { createServer, request } from '../http.ts'
import type { Transport } from './admin-transport.ts'

/** As the admin listener has it: a query may name many images. */
const MAX_HEADER_BYTES = 64 * 1024
/** What may be under way between the two ends. */
const BUFFER_BYTES = 1024 * 1024
const LONG_MS = 2 ** 30

export interface LocalOptions {
  /** For messages. */
  readonly name: string
  /** What answers. */
  readonly handler: RequestListener
  readonly close: () => Promise<void>
}

/** HTTP without a port: nobody else can reach what answers. */
export function localTransport({ name, handler, close }: LocalOptions): Transport {
  const settings = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 0, requestTimeout: 0 }
  const server = createServer(settings, handler)
  // Two ends in one process are nothing that it would stay alive for.
  const alive = setInterval(() => {}, LONG_MS)
  return {
    name,
    canHang: false,
    begin(options) {
      const [ours, theirs] = duplexPair({ highWaterMark: BUFFER_BYTES })
      copyWrites(ours)
      copyWrites(theirs)
      // As of a socket: when one end is gone, the other one is told.
      ours.once('close', () => theirs.destroy())
      theirs.once('close', () => ours.destroy())
      server.emit('connection', theirs)
      return request({ ...options, host: 'localhost', createConnection: () => ours })
    },
    async close() {
      clearInterval(alive)
      await close()
    },
  }
}

/** As of a socket: what was written is the writer's again, who may use it for the next bytes. */
function copyWrites(end: Duplex): void {
  const write = end._write.bind(end)
  end._write = (chunk: Buffer, encoding, callback) => write(Buffer.from(chunk), encoding, callback)
}
