import type { IncomingHttpHeaders } from 'node:http'
import { request as requestHttps } from 'node:https'

import { request as requestHttp } from '../http.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const TIMEOUT_MS = 60_000
/** Of a manifest or a config; a layer is never asked for. */
const MAX_BYTES = 32 * 1024 * 1024

/**
 * Asks a listener of Larder itself, without a credential. Not with fetch, which refuses some ports.
 *
 * @param url origin of the listener
 * @throws what the system says
 */
export function ask(url: string, path: string, timeoutMs = TIMEOUT_MS): Promise<Answer> {
  const target = new URL(path, url)
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const options = {
    headers: { Accept: '*/*' },
    signal: AbortSignal.timeout(timeoutMs),
    // Nothing is told it, and whether its certificate is good for its nodes is looked at by itself.
    rejectUnauthorized: false,
  }
  const send = target.protocol === 'https:' ? requestHttps : requestHttp
  const request = send(target, options, (response) => {
    const chunks: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_BYTES) response.destroy(new Error('the answer does not end'))
      else chunks.push(chunk)
    })
    response.on('error', reject)
    response.on('end', () => {
      const { statusCode = 0, headers } = response
      resolve({ status: statusCode, headers, body: Buffer.concat(chunks) })
    })
  })
  request.on('error', reject)
  request.end()
  return promise
}
