import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'

import { type CertificateIdentity, identifyCertificate } from './certificate.ts'

/** Who is at the other end of a request's connection, as far as the connection says. */
export interface Peer {
  readonly address: string
  /** Whether what goes to and fro can be read by nobody else. */
  readonly isEncrypted: boolean
  certificate(): CertificateIdentity
}

/** Of a connection that this process has itself. */
export function peerOf({ socket }: IncomingMessage): Peer {
  return {
    address: socket.remoteAddress ?? '',
    isEncrypted: socket instanceof TLSSocket,
    certificate: () => identifyCertificate(socket),
  }
}

/** The address at the other end, as people write it: a listener for both families sees IPv4 in IPv6. */
export function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=[\d.]+$)/i, '')
}
