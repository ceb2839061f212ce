import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

import { peerOf } from '../access/peer.ts'
import { Agent, request } from '../http.ts'
import type { Carrier } from './carrier.ts'
import { Errand } from './errand.ts'
import { without } from './raw-headers.ts'
import { PARCEL, RELAYED, writeFacts } from './relayed.ts'

/** Connections to the process that decides which are kept for later; each costs both a descriptor. */
const KEPT_CONNECTIONS = 64
/** For so long, in milliseconds. */
const KEPT_MS = 5_000

/** What may be a stored blob; an upload's state is the registry's to say. */
const BLOB = /\/blobs\/sha\d+(?::|%3a)[a-f\d]+(?:\?|$)/i

/** Of the client's connection alone (RFC 9110 §7.6.1), or ours. The framing of a body stays. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  RELAYED,
  PARCEL,
])

export interface RelayOptions {
  readonly socketPath: string
  readonly secret: string
  readonly carrier: Carrier
}

/** Passes requests on to the process that decides, and its answers back, as they are. */
export class Relay {
  readonly #options: RelayOptions
  readonly #agent = new Agent({
    keepAlive: true,
    maxFreeSockets: KEPT_CONNECTIONS,
    timeout: KEPT_MS,
  })
  /** What is said of a connection, each time the same. */
  readonly #facts = new WeakMap<Socket, string>()

  constructor(options: RelayOptions) {
    this.#options = options
  }

  readonly handle = (incoming: IncomingMessage, response: ServerResponse): void => {
    const hasBody = hasBodyOf(incoming)
    // Whoever asks for a blob may be given a note instead, and then reports in the request's body.
    const mayCarry = incoming.method === 'GET' && !hasBody && BLOB.test(incoming.url ?? '')
    try {
      const outgoing = this.#ask(incoming, hasBody, mayCarry)
      const errand = new Errand({ incoming, outgoing, response, carrier: this.#options.carrier })
      errand.go(mayCarry ? 'note' : hasBody ? 'body' : 'nothing')
    } catch {
      // Node takes from clients what it does not send itself.
      response.writeHead(400, { Connection: 'close', 'Content-Length': 0 }).end()
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #ask(incoming: IncomingMessage, hasBody: boolean, mayCarry: boolean) {
    const { method = 'GET', url = '/' } = incoming
    const headers = without(ownHeadersOf(incoming, hasBody), incoming.rawHeaders)
    headers.push(RELAYED, this.#factsOf(incoming))
    if (mayCarry) headers.push(PARCEL, '1', 'Transfer-Encoding', 'chunked')
    else if (!hasBody && method !== 'GET' && method !== 'HEAD') headers.push('Content-Length', '0')
    const { socketPath } = this.#options
    return request({ socketPath, agent: this.#agent, method, path: url, headers, setHost: false })
  }

  #factsOf(incoming: IncomingMessage): string {
    const { socket } = incoming
    const known = this.#facts.get(socket)
    if (known !== undefined) return known
    const facts = writeFacts(this.#options.secret, peerOf(incoming))
    this.#facts.set(socket, facts)
    return facts
  }
}

function hasBodyOf({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

/** Also what the client says is of its connection alone. */
function ownHeadersOf({ headers }: IncomingMessage, hasBody: boolean): ReadonlySet<string> {
  const named = headers.connection?.toLowerCase() ?? ''
  const isUsual = named === '' || named === 'close' || named === 'keep-alive'
  if (isUsual && headers['content-length'] === undefined) return OWN_HEADERS
  return new Set([...OWN_HEADERS, ...named.split(/[\s,]+/), ...(hasBody ? [] : ['content-length'])])
}
