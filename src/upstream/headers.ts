/** Response headers as undici gives them: names in lower case. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** The first value. */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** `Content-Length` in bytes; `undefined` when it is missing or no number. */
export function contentLengthOf(headers: Headers): number | undefined {
  const text = headerOf(headers, 'content-length')
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

export interface RateLimit {
  readonly limit: number | undefined
  readonly remaining: number | undefined
  readonly windowSeconds: number | undefined
}

/** Docker Hub's `ratelimit-limit: 100;w=21600`; `undefined` when there is none. */
export function rateLimitOf(headers: Headers): RateLimit | undefined {
  const limit = /^(\d{1,15})(?:;w=(\d{1,15}))?/.exec(headerOf(headers, 'ratelimit-limit') ?? '')
  const remaining = /^\d{1,15}/.exec(headerOf(headers, 'ratelimit-remaining') ?? '')
  if (limit === null && remaining === null) return undefined
  return {
    limit: toNumber(limit?.[1]),
    remaining: toNumber(remaining?.[0]),
    windowSeconds: toNumber(limit?.[2]),
  }
}

function toNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text)
}
