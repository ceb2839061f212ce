/** DNS, TCP and TLS to one place, each by itself: what a request does at once, and fails at as one. */
import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type PeerCertificate } from 'node:tls'

import { bareHost } from './addresses.ts'
import type { TlsMaterial } from './tls-files.ts'

/** @throws what the resolver says */
export async function resolveHost({ hostname }: URL): Promise<string> {
  const host = bareHost(hostname)
  if (isIP(host) !== 0) return `${host} is an address`
  const addresses = await lookup(host, { all: true })
  return `${host} is ${addresses.map(({ address }) => address).join(', ')}`
}

/** @throws what the system says */
export async function checkTcp(url: URL, timeoutMs: number): Promise<string> {
  const { host, port } = addressOf(url)
  const socket = connect({ host, port })
  try {
    await opened(socket, 'connect', timeoutMs)
    return `connected to ${socket.remoteAddress} port ${port}`
  } finally {
    socket.destroy()
  }
}

export interface TlsReport {
  readonly detail: string
  /** Why the certificate is not trusted: a code of OpenSSL. */
  readonly problem: string | undefined
}

/**
 * Nothing is sent over the connection, so that it may be made with whoever answers: a certificate
 * that is not trusted is the one that has to be described.
 *
 * @param now epoch milliseconds
 * @throws what the system or OpenSSL says
 */
export async function checkTls(
  url: URL,
  { ca, cert, key }: TlsMaterial,
  { timeoutMs, now }: { readonly timeoutMs: number; readonly now: number },
): Promise<TlsReport> {
  const { host, port } = addressOf(url)
  const options: ConnectionOptions = {
    host,
    port,
    rejectUnauthorized: false,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca: [...ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
  const socket = connectTls(options)
  try {
    await opened(socket, 'secureConnect', timeoutMs)
    const certificate = socket.getPeerCertificate()
    const error: unknown = socket.authorizationError
    const detail = `${socket.getProtocol()}, ${describe(certificate, now)}`
    return { detail, problem: socket.authorized ? undefined : codeOf(error) }
  } finally {
    socket.destroy()
  }
}

function describe({ issuer, valid_to }: PeerCertificate, now: number): string {
  const name = [issuer?.O, issuer?.CN].flat().filter((one) => one !== undefined)
  const days = Math.floor((Date.parse(valid_to) - now) / 86_400_000)
  const until = new Date(valid_to).toISOString().slice(0, 10)
  const left = days < 0 ? `expired on ${until}` : `expires on ${until}, in ${days} days`
  return `certificate issued by ${name.join(' ') || 'nobody named'}, ${left}`
}

function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : error
  return typeof code === 'string' ? code : 'not trusted'
}

async function opened(socket: Socket, event: string, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once(event, () => resolve())
  socket.on('error', reject)
  const timer = setTimeout(() => {
    reject(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' }))
  }, timeoutMs)
  try {
    await promise
  } finally {
    clearTimeout(timer)
  }
}

function addressOf(url: URL): { readonly host: string; readonly port: number } {
  const standard = url.protocol === 'https:' ? 443 : 80
  return { host: bareHost(url.hostname), port: url.port === '' ? standard : Number(url.port) }
}
