/** The address at the other end, as people write it: a listener for both families sees IPv4 in IPv6. */
export function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=[\d.]+$)/i, '')
}
