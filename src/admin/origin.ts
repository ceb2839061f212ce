/** Where a request comes from: what a browser may have been made to send is not an operator's wish. */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'

/** Set by proxies: who is at the other end of the connection is then not who asks. */
const PROXY_HEADERS = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-real-ip',
] as const

/**
 * Whether another site's page made a browser send this. Browsers say so by themselves: Fetch
 * Metadata where they know it, `Origin` with everything that is not a GET or HEAD (Fetch standard,
 * 3.1). What no browser sent has neither.
 */
export function isCrossSite({ host = '', ...headers }: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site']
  // A page on another port of this machine is "same-site".
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  const { origin } = headers
  if (origin === undefined) return false
  const url = URL.parse(origin)
  return url === null || url.host === '' || url.host !== URL.parse(`${url.protocol}//${host}`)?.host
}

/**
 * Whether `Host` is a name that only this listener's own operators would use. A page whose name was
 * pointed at this machine after it was loaded (DNS rebinding) still sends that name.
 *
 * @param listenHost as configured
 */
export function isOwnHost(host: string | undefined, listenHost: string): boolean {
  const [, name = ''] = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec((host ?? '').toLowerCase()) ?? []
  const bare = name.replace(/^\[(.*)\]$/, '$1')
  return (
    isIP(bare) !== 0 || bare === 'localhost' || (bare !== '' && bare === listenHost.toLowerCase())
  )
}

export function isForwarded(headers: IncomingHttpHeaders): boolean {
  return PROXY_HEADERS.some((name) => headers[name] !== undefined)
}
