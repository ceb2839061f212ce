import { type ReadBodyOptions, readBody } from './body.ts'
import { UpstreamError } from './errors.ts'
import { headerOf } from './headers.ts'
import { parseRetryAfter } from './retry-after.ts'
import type { TransportResponse } from './transport.ts'

export const MAX_ERROR_BYTES = 64 * 1024

/** What an error's body says, as far as Larder acts on it. */
export interface ErrorDetail {
  /** The first code of the specification's error list. */
  readonly code: string | undefined
  /** ECR says so with a 403, its public registry with a 400: neither is what RFC 6750 asks for. */
  readonly expired: boolean
  /** Docker Hub's abuse limit has been seen as a 403. */
  readonly throttled: boolean
}

/** Reads the body of an error; one that cannot be read says nothing. */
export async function readErrorDetail(
  response: TransportResponse,
  options: Omit<ReadBodyOptions, 'maxBytes'>,
): Promise<ErrorDetail> {
  let text = ''
  try {
    text = (await readBody(response, { ...options, maxBytes: MAX_ERROR_BYTES })).toString('utf8')
  } catch {
    // The status alone has to do: a broken error page must not hide the error.
  }
  const code = firstCode(text)
  return {
    code,
    expired: /expired/i.test(text) && /token|authorization|credential/i.test(text),
    throttled: code?.toUpperCase() === 'TOOMANYREQUESTS' || /toomanyrequests/i.test(text),
  }
}

/**
 * The failure that an answer stands for.
 *
 * @param now epoch milliseconds
 */
export function toStatusError(
  upstream: string,
  response: TransportResponse,
  detail: ErrorDetail,
  now: number,
): UpstreamError {
  const { status, headers, foreign } = response
  const retryAfterMs = parseRetryAfter(headerOf(headers, 'retry-after'), now)
  const common = {
    upstream,
    status,
    ...(detail.code === undefined ? {} : { code: detail.code }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  if (status === 404 || status === 410) {
    // A registry may be a front that sends every question on (registry.k8s.io does): what is
    // behind it speaks for it of manifests. Of blobs it does not: see `blobs.ts`.
    const reason = foreign ? 'redirect' : 'not_found'
    const message = 'the registry does not have it'
    return new UpstreamError('unknown', { ...common, reason, message })
  }
  if (status === 429 || (status === 403 && detail.throttled)) {
    const message = 'the registry limits how often it is asked'
    return new UpstreamError('throttled', { ...common, reason: 'throttled', message })
  }
  // The registry itself has granted what it redirects; its store refuses for reasons of its own.
  if (foreign && (status === 400 || status === 401 || status === 403)) {
    const message = `the registry's blob store answered ${status}`
    return new UpstreamError('failed', { ...common, reason: 'redirect', message })
  }
  if (status === 401 || status === 403) {
    const message = 'the registry refused access'
    return new UpstreamError('denied', { ...common, reason: 'auth', message })
  }
  const reason = status >= 500 ? 'http_5xx' : 'protocol'
  const message = `the registry answered ${status}`
  return new UpstreamError('failed', { ...common, reason, message })
}

function firstCode(text: string): string | undefined {
  try {
    const { errors } = JSON.parse(text) as { errors?: readonly { code?: unknown }[] }
    const code = errors?.[0]?.code
    return typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : undefined
  } catch {
    return undefined
  }
}
