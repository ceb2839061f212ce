import { isIPv4, isIPv6 } from 'node:net'

import { normalizeRegistry } from '../oci/reference.ts'
import type { Address } from './config.ts'

export const ADDRESS_EXPECTED =
  'expected an address to listen on, such as 0.0.0.0:5000, :5000 or [::1]:5000'

const HOST_NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i

/**
 * `host:port`, `[v6]:port`, or `:port` for every IPv4 address of the machine.
 *
 * @returns `undefined` when the text is none of these
 */
export function parseAddress(text: string): Address | undefined {
  const colon = text.lastIndexOf(':')
  const portText = text.slice(colon + 1)
  if (colon < 0 || !/^\d{1,5}$/.test(portText)) return undefined
  const port = Number(portText)
  const host = parseHost(text.slice(0, colon))
  return host === undefined || port > 65_535 ? undefined : { host, port }
}

function parseHost(text: string): string | undefined {
  if (text === '') return '0.0.0.0'
  if (text.startsWith('[') && text.endsWith(']')) {
    const inner = text.slice(1, -1)
    return isIPv6(inner) ? inner : undefined
  }
  return text.length <= 253 && HOST_NAME.test(text) ? text : undefined
}

export function formatAddress({ host, port }: Address): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/** Every address of the machine, of one family or both. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** What never leaves the machine. A URL's brackets around an IPv6 address may be there or not. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return bare === 'localhost' || bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'))
}

/**
 * A registry's name as clients say it (`?ns=`, first path segment): `host[:port]`, lower case, the
 * aliases of Docker Hub as one.
 *
 * @returns `undefined` when the text is not a host with an optional port
 */
export function parseMatch(text: string): string | undefined {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (host === '' || parseHost(host) === undefined || Number(port ?? 0) > 65_535) return undefined
  return normalizeRegistry(text)
}
