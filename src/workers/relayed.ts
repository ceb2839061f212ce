/**
 * What a worker adds to a request that it passes on. The process that decides believes it of those
 * who know the secret, which is made at each start and told to workers only.
 */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

import type { CertificateIdentity } from '../access/certificate.ts'
import type { Peer } from '../access/peer.ts'

/** Lower case. What a client says under this name is not passed on. */
export const RELAYED = 'larder-relayed'
/** In an early hint: a body that the worker is to send by itself. In a request: it may be given one. */
export const PARCEL = 'larder-parcel'

/**
 * In an early hint that follows one with a note of a download: how far its file may be read by now, or
 * {@link NO_FILE}.
 */
export const REACH = 'larder-reach'
/** The rest is sent in the usual way. */
export const NO_FILE = 'none'

interface Facts {
  readonly address: string
  readonly isEncrypted: boolean
  readonly certificate: CertificateIdentity
}

export function writeFacts(secret: string, peer: Peer): string {
  const { address, isEncrypted } = peer
  const facts: Facts = { address, isEncrypted, certificate: peer.certificate() }
  // A name in a certificate may be of any characters, a header's value may not.
  return `${secret} ${Buffer.from(JSON.stringify(facts)).toString('base64')}`
}

/** Takes them from the request, which then is as the client sent it; `undefined`: it is no worker's. */
export function takeFacts(secret: string, { headers }: IncomingMessage): Peer | undefined {
  const text = headers[RELAYED]
  delete headers[RELAYED]
  if (typeof text !== 'string') return undefined
  const [shown = '', encoded = ''] = text.split(' ', 2)
  if (!isSame(shown, secret)) return undefined
  const { certificate, ...facts } = JSON.parse(Buffer.from(encoded, 'base64').toString()) as Facts
  return { ...facts, certificate: () => certificate }
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** A body that a worker sends by itself: the head of the answer, and which bytes of which blob. */
export interface ParcelNote {
  readonly status: number
  /** Names and values in turn. */
  readonly headers: readonly string[]
  readonly digest: string
  /** Of the whole blob. */
  readonly size: number
  readonly start: number
  readonly end: number
  /** Of a download under way, whose file is still being filled; absent: the blob is stored. */
  readonly flight?: string
}

/** What a worker says of a parcel, a line each, in the body of the request that it was the answer to. */
export type ParcelReport =
  /** So many bytes have gone so far; the first after so long, from the request's arrival. */
  | { readonly kind: 'sent'; readonly bytes: number; readonly firstMs: number }
  /** To the end. */
  | { readonly kind: 'whole' }
  /** The client has gone. */
  | { readonly kind: 'cut' }
  /** The client is to be sent what it has not been sent in the usual way. */
  | { readonly kind: 'declined' }
  /** The client was cut off, as the file did not give what it should have. */
  | { readonly kind: 'failed'; readonly code: string }

/** The code of a file that ended too early. */
export const TRUNCATED = 'TRUNCATED'
