import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'

import type { ByteSource } from '../metrics/pulls.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { OCTET_STREAM } from '../oci/media-types.ts'
import { BegunReading } from '../pull/begun.ts'
import type { Blobs, PulledBlob } from '../pull/blobs.ts'
import type { ByteRange, Content, Lent } from '../pull/content.ts'
import { ResizedError } from '../pull/healing.ts'
import type { Pull } from '../pull/pull.ts'
import { ClientGoneError } from './body.ts'
import type { Parcel, Sent } from './courier.ts'
import type { Exchange } from './exchange.ts'
import { matchesEtag, parseRanges, passesIfRange, type Ranges } from './ranges.ts'

/** GET and HEAD `/v2/<name>/blobs/<digest>`. */
export async function serveBlob(
  exchange: Exchange,
  blobs: Blobs,
  pull: Pull,
  digest: Digest,
): Promise<void> {
  if (exchange.isHead) return head(exchange, blobs, pull, digest)
  try {
    await serve(exchange, blobs, pull, digest)
  } catch (error) {
    const { response } = exchange
    if (!(error instanceof ResizedError) || response.headersSent) throw error
    response.removeHeader('Content-Range')
    await serve(exchange, blobs, pull, digest)
  }
}

async function serve(exchange: Exchange, blobs: Blobs, pull: Pull, digest: Digest): Promise<void> {
  const pulled = await blobs.open(pull, digest)
  exchange.pulled(pulled.outcome)
  const { request, response } = exchange
  const etag = describe(exchange, digest)
  if (matchesEtag(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end()
    return
  }
  const { size } = pulled.content
  const ranges = rangesOf(exchange, etag, size)
  if (ranges.kind === 'unsatisfiable') {
    throw new RegistryError('SIZE_INVALID', {
      status: 416,
      message: 'the range is not within the blob',
      headers: { 'Content-Range': `bytes */${size}` },
    })
  }
  const [part, ...others] = ranges.kind === 'parts' ? ranges.parts : []
  if (part === undefined) return send(exchange, pulled, 200, { start: 0, end: size - 1 })
  if (others.length > 0) return sendParts(exchange, pulled, [part, ...others])
  response.setHeader('Content-Range', contentRange(part, size))
  return send(exchange, pulled, 206, part)
}

async function head(exchange: Exchange, blobs: Blobs, pull: Pull, digest: Digest): Promise<void> {
  const { size, outcome } = await blobs.stat(pull, digest)
  exchange.pulled(outcome)
  const etag = describe(exchange, digest)
  const { request, response } = exchange
  if (matchesEtag(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end()
    return
  }
  if (size !== undefined) response.setHeader('Content-Length', size)
  response.writeHead(200).end()
}

function describe({ response }: Exchange, digest: Digest): string {
  const etag = `"${digest}"`
  response.setHeader('Content-Type', OCTET_STREAM)
  response.setHeader('Docker-Content-Digest', digest)
  response.setHeader('ETag', etag)
  response.setHeader('Accept-Ranges', 'bytes')
  response.setHeader('Cache-Control', 'max-age=31536000, immutable')
  return etag
}

/** Two `Range` lines are no range at all. */
function rangesOf({ request }: Exchange, etag: string, size: number): Ranges {
  const lines = request.headersDistinct['range'] ?? []
  const isPassed = passesIfRange(request.headers['if-range'] as string | undefined, etag)
  return parseRanges(lines.length === 1 && isPassed ? lines[0] : undefined, size)
}

async function send(
  exchange: Exchange,
  pulled: PulledBlob,
  status: 200 | 206,
  range: ByteRange,
): Promise<void> {
  const { response } = exchange
  const { content, source } = pulled
  const signal = signalOf(response)
  const lent = lend(exchange, content, range)
  try {
    const start = await leave(exchange, { status, lent, range }, source, signal)
    const rest = { start, end: range.end }
    if (start > range.start && start > rest.end) return
    // Until the first bytes are here, an error can still be said in an answer.
    const pieces = await BegunReading.begin(content.read(rest, signal))
    lent?.giveBack()
    response.setHeader('Content-Length', rest.end - rest.start + 1)
    response.writeHead(status)
    const isWhole = await exchange.bodies.write(response, pieces, (bytes) =>
      exchange.served(source, bytes),
    )
    if (isWhole) response.end()
  } finally {
    lent?.giveBack()
  }
}

/** What is small is sooner sent than left to somebody else. */
function lend({ origin }: Exchange, content: Content, range: ByteRange): Lent | undefined {
  const length = range.end - range.start + 1
  if (origin.courier === undefined || length < origin.courier.leastBytes) return undefined
  return content.lend?.(range)
}

/**
 * Leaves a blob to the process that has the client's connection: its bytes never pass through this one.
 *
 * @returns where what is left for this process begins
 */
async function leave(
  exchange: Exchange,
  { lent, ...parcel }: Omit<Parcel, 'lent'> & { readonly lent: Lent | undefined },
  source: ByteSource,
  signal: AbortSignal,
): Promise<number> {
  const { courier } = exchange.origin
  const { start, end } = parcel.range
  if (courier === undefined || lent === undefined) return start
  if (lent.trail !== undefined && !(await lent.trail.begins(courier.patienceMs, signal)))
    return start
  exchange.response.setHeader('Content-Length', end - start + 1)
  const onSent = ({ bytes, firstAt }: Sent) => exchange.served(source, bytes, firstAt)
  return start + (await courier.carry({ ...parcel, lent }, onSent))
}

/** A client that has gone waits for nothing. */
function signalOf(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new ClientGoneError()))
  return gone.signal
}

/** RFC 9110 §14.6: one part for each range, in their order. */
async function sendParts(
  exchange: Exchange,
  { content, source }: PulledBlob,
  parts: readonly ByteRange[],
): Promise<void> {
  const { response } = exchange
  const boundary = randomBytes(12).toString('hex')
  const heads = parts.map((part) =>
    Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: ${OCTET_STREAM}\r\n` +
        `Content-Range: ${contentRange(part, content.size)}\r\n\r\n`,
    ),
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const bodies = parts.reduce((sum, { start, end }) => sum + end - start + 1, 0)
  const length = heads.reduce((sum, one) => sum + one.length, bodies + tail.length)
  const signal = signalOf(response)
  const first = await BegunReading.begin(content.read(parts[0] as ByteRange, signal))
  response.setHeader('Content-Type', `multipart/byteranges; boundary=${boundary}`)
  response.setHeader('Content-Length', length)
  response.writeHead(206)
  for (const [index, part] of parts.entries()) {
    const head = heads[index] as Buffer
    response.write(head)
    exchange.served(source, head.length)
    const pieces = index === 0 ? first : content.read(part, signal)
    const count = (bytes: number) => exchange.served(source, bytes)
    if (!(await exchange.bodies.write(response, pieces, count))) return
  }
  exchange.served(source, tail.length)
  response.end(tail)
}

function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end}/${size}`
}
