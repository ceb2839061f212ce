import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Origins } from '../api/origins.ts'
import { createServer } from '../http.ts'
import { ParcelCourier } from './parcel-courier.ts'
import { PARCEL, takeFacts } from './relayed.ts'

/** Below it a request costs less when it is answered in one go. */
const LEAST_PARCEL_BYTES = 64 * 1024
/** In which a registry that is worth the trouble sends a chunk: what is slower costs little to pass on. */
const PATIENCE_MS = 200
/** What a client may send, and what a worker adds to it. */
const MAX_HEADER_BYTES = 128 * 1024

export interface DeskOptions {
  /** Answers requests, those that come from workers as all others. */
  readonly handler: RequestListener
  /** Told where they really come from. */
  readonly origins: Pick<Origins, 'relayed'>
  /** What is smaller is sent from here; in bytes, default 64 KiB. */
  readonly leastParcelBytes?: number | undefined
  /** How long a client waits for the file of a download; in milliseconds, default 200. */
  readonly patienceMs?: number | undefined
}

/** Where workers pass on what clients ask for. */
export class Desk {
  /** Where it is. A name that no file system has needs no folder, and leaves nothing behind. */
  readonly path =
    process.platform === 'linux'
      ? `\0larder-${randomUUID()}`
      : join(tmpdir(), `larder-${randomUUID()}.sock`)
  /** What workers show. Whoever else comes is turned away. */
  readonly secret = randomBytes(32).toString('base64url')
  readonly #options: DeskOptions
  readonly #server

  constructor(options: DeskOptions) {
    this.#options = options
    const settings = {
      maxHeaderSize: MAX_HEADER_BYTES,
      // Clients are waited for by the workers, who close what they no longer need.
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
      requireHostHeader: false,
    }
    this.#server = createServer(settings, (request, response) => this.#receive(request, response))
    this.#server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
      this.#receive(request, response),
    )
  }

  async open(): Promise<void> {
    this.#server.listen({ path: this.path, backlog: 2048 })
    await once(this.#server, 'listening')
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const peer = takeFacts(this.secret, request)
    if (peer === undefined) {
      request.socket.destroy()
      return
    }
    const mayCarry = request.headers[PARCEL] !== undefined
    delete request.headers[PARCEL]
    const courier = mayCarry ? this.#courierOf(request, response) : undefined
    this.#options.origins.relayed(request, { peer, courier })
    // A write that is passed on has a dozen listeners of its own: no leak to warn of.
    response.setMaxListeners(24)
    this.#options.handler(request, response)
  }

  #courierOf(request: IncomingMessage, response: ServerResponse): ParcelCourier {
    const { leastParcelBytes: leastBytes = LEAST_PARCEL_BYTES, patienceMs = PATIENCE_MS } =
      this.#options
    return new ParcelCourier(request, response, { leastBytes, patienceMs })
  }
}
