import type { IncomingMessage } from 'node:http'

import { type Peer, peerOf } from '../access/peer.ts'
import type { Courier } from './courier.ts'

/** Where a request comes from, and its answer goes. */
export interface Origin {
  readonly peer: Peer
  /** Absent: what is to be sent, this process has to send. */
  readonly courier: Courier | undefined
}

/** Where the requests come from that are being answered. */
export class Origins {
  readonly #relayed = new WeakMap<IncomingMessage, Origin>()

  /** It has come by way of another process, to whose connection it does not belong. */
  relayed(request: IncomingMessage, origin: Origin): void {
    this.#relayed.set(request, origin)
  }

  of(request: IncomingMessage): Origin {
    return this.#relayed.get(request) ?? { peer: peerOf(request), courier: undefined }
  }
}
