import { BlockList, isIP } from 'node:net'

import { bareHost, isLoopbackHost } from './addresses.ts'

/** The variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case, read by the entry point. */
export interface ProxyEnvironment {
  readonly httpsProxy: string | undefined
  readonly httpProxy: string | undefined
  readonly noProxy: string | undefined
}

/**
 * Which forward proxy a request takes. A configured proxy takes everything. The environment's is
 * read as curl and Go read it: NO_PROXY lists names with their subdomains, addresses, CIDR ranges,
 * any of them with a port, or `*`; this machine itself is never asked for through a proxy.
 */
export class ProxyRules {
  readonly #proxy: string | undefined
  readonly #environment: ProxyEnvironment
  readonly #exceptions: readonly ((host: string, port: string) => boolean)[]

  constructor(proxy: string | undefined, environment: ProxyEnvironment) {
    this.#proxy = proxy
    this.#environment = environment
    const entries = environment.noProxy?.split(/[,\s]+/).filter((entry) => entry !== '') ?? []
    this.#exceptions = entries.map(parseException)
  }

  /** The proxy's URL; `undefined`: the request goes directly. */
  proxyFor(url: URL): string | undefined {
    if (this.#proxy !== undefined) return this.#proxy
    const { httpsProxy, httpProxy } = this.#environment
    const proxy = url.protocol === 'https:' ? httpsProxy : httpProxy
    if (proxy === undefined || proxy === '' || isLoopbackHost(url.hostname)) return undefined
    const host = bareHost(url.hostname).replace(/\.$/, '')
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
    if (this.#exceptions.some((matches) => matches(host, port))) return undefined
    return proxy.includes('://') ? proxy : `http://${proxy}`
  }
}

function parseException(entry: string): (host: string, port: string) => boolean {
  if (entry === '*') return () => true
  const range = /^(.+)\/(\d{1,3})$/.exec(entry)
  if (range !== null) return inRange(range[1] ?? '', Number(range[2]))
  const { host, port } = splitPort(entry.toLowerCase())
  const subdomainsOnly = host.startsWith('*.')
  const name = host.replace(/^\*?\./, '').replace(/\.$/, '')
  return (target, targetPort) => {
    if (port !== undefined && port !== targetPort) return false
    if (target.endsWith(`.${name}`) && isIP(target) === 0) return true
    return target === name && !subdomainsOnly
  }
}

function splitPort(entry: string): { host: string; port: string | undefined } {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(entry)
  if (bracketed !== null) return { host: bracketed[1] ?? '', port: bracketed[2] }
  if (isIP(entry) !== 0) return { host: entry, port: undefined }
  const named = /^([^:]*):(\d+)$/.exec(entry)
  return named === null
    ? { host: entry, port: undefined }
    : { host: named[1] ?? '', port: named[2] }
}

function inRange(network: string, prefix: number): (host: string) => boolean {
  const version = isIP(network)
  // A range that makes no sense excepts nothing.
  if (version === 0 || prefix > (version === 4 ? 32 : 128)) return () => false
  const list = new BlockList()
  list.addSubnet(network, prefix, version === 4 ? 'ipv4' : 'ipv6')
  return (host) => isIP(host) === version && list.check(host, version === 4 ? 'ipv4' : 'ipv6')
}
