import { RegistryError } from '../oci/errors.ts'
import { isOutOfDescriptors, outOfDescriptors } from '../pull/failures.ts'
import { ClientGoneError } from './body.ts'
import type { Exchange } from './exchange.ts'

const CONTENT_HEADERS = [
  'Accept-Ranges',
  'Age',
  'Cache-Control',
  'Content-Length',
  'Content-Type',
  'Docker-Content-Digest',
  'ETag',
  'Link',
  'OCI-Filters-Applied',
]

/** The one place where an error becomes an answer. */
export function answerError(exchange: Exchange, thrown: unknown): void {
  if (thrown instanceof ClientGoneError) return
  const error = isOutOfDescriptors(thrown) ? outOfDescriptors(thrown) : thrown
  exchange.failed(error)
  const { response, isHead } = exchange
  if (response.headersSent) {
    // A cut connection is the only way left to say that the body is not whole.
    response.destroy()
    return
  }
  const shown = error instanceof RegistryError ? error : new RegistryError('UNKNOWN')
  for (const name of CONTENT_HEADERS) response.removeHeader(name)
  for (const [name, value] of Object.entries(shown.headers)) response.setHeader(name, value)
  const body = Buffer.from(JSON.stringify(shown))
  response.setHeader('Content-Type', 'application/json')
  response.setHeader('Content-Length', body.length)
  response.writeHead(shown.status)
  response.end(isHead ? undefined : body)
}
