import { BlockList, isIP } from 'node:net'

/**
 * What reaching an address would mean.
 *
 * - `public`: the Internet
 * - `private`: a network of the operator
 * - `loopback`: this machine
 * - `forbidden`: no registry lives there: link-local, cloud metadata, multicast, unspecified
 */
export type AddressClass = 'public' | 'private' | 'loopback' | 'forbidden'

type Subnet = readonly [address: string, prefix: number]

const FORBIDDEN = createList(
  [
    ['0.0.0.0', 8],
    ['169.254.0.0', 16],
    ['224.0.0.0', 4],
    ['240.0.0.0', 4],
    // Metadata services outside link-local: Alibaba, Oracle, Azure.
    ['100.100.100.200', 32],
    ['192.0.0.192', 32],
    ['168.63.129.16', 32],
  ],
  [
    ['::', 128],
    ['fe80::', 10],
    ['ff00::', 8],
    // The metadata services of AWS, GCP and Scaleway over IPv6.
    ['fd00:ec2::', 32],
    ['fd20:ce::254', 128],
    ['fd00:42::42', 128],
  ],
)

const LOOPBACK = createList([['127.0.0.0', 8]], [['::1', 128]])

const PRIVATE = createList(
  [
    ['10.0.0.0', 8],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16],
    ['100.64.0.0', 10],
    ['192.0.0.0', 24],
    ['198.18.0.0', 15],
  ],
  [
    ['fc00::', 7],
    ['fec0::', 10],
  ],
)

/** @param address an IP address without brackets; anything else is `forbidden` */
export function classifyAddress(address: string): AddressClass {
  const version = isIP(address)
  if (version === 0) return 'forbidden'
  const family = version === 4 ? 'ipv4' : 'ipv6'
  if (FORBIDDEN.check(address, family)) return 'forbidden'
  if (LOOPBACK.check(address, family)) return 'loopback'
  return PRIVATE.check(address, family) ? 'private' : 'public'
}

/** A URL's `hostname`, without the brackets of an IPv6 literal. */
export function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

/** True for what can only be this machine, without asking a resolver. */
export function isLoopbackHost(hostname: string): boolean {
  const host = bareHost(hostname)
  if (host === 'localhost' || host.endsWith('.localhost')) return true
  return isIP(host) !== 0 && classifyAddress(host) === 'loopback'
}

/** IPv4 ranges are also looked for where IPv6 carries IPv4: mapped, compatible, NAT64 and 6to4. */
function createList(ipv4: readonly Subnet[], ipv6: readonly Subnet[]): BlockList {
  const list = new BlockList()
  for (const [address, prefix] of ipv4) {
    list.addSubnet(address, prefix, 'ipv4')
    list.addSubnet(`::ffff:${address}`, 96 + prefix, 'ipv6')
    list.addSubnet(`64:ff9b::${address}`, 96 + prefix, 'ipv6')
    list.addSubnet(sixToFour(address), 16 + prefix, 'ipv6')
    // `::1` and `::` are not compatible addresses, and have rules of their own.
    if (!address.startsWith('0.')) list.addSubnet(`::${address}`, 96 + prefix, 'ipv6')
  }
  for (const [address, prefix] of ipv6) list.addSubnet(address, prefix, 'ipv6')
  return list
}

function sixToFour(address: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  return `2002:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}::`
}
