import type { ClientRequest, RequestOptions } from 'node:http'
import { request as secureRequest } from 'node:https'

import { request } from '../http.ts'

/** The way to an admin API: to a running server's, or to one in this process. */
export interface Transport {
  /** For messages. */
  readonly name: string
  /** Whether the other side may do nothing for ever; within this process it may take its time. */
  readonly canHang: boolean
  /** @param options path, method and headers; nothing is sent yet */
  begin(options: RequestOptions): ClientRequest
  close(): Promise<void>
}

/** @param url of the admin listener, without a slash at its end */
export function remoteTransport(url: string): Transport {
  const start = url.startsWith('https:') ? secureRequest : request
  const base = new URL(url)
  const prefix = base.pathname.replace(/\/$/, '')
  return {
    name: url,
    canHang: true,
    // A connection of its own for each: one that is kept may be closed at the moment of its next use.
    begin: (options) =>
      start(base, { ...options, path: `${prefix}${options.path ?? ''}`, agent: false }),
    close: async () => {},
  }
}
