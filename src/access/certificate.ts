import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** What a client's certificate says: a name, or that it is not to be trusted, or nothing at all. */
export type CertificateIdentity =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'untrusted' }
  | { readonly kind: 'none' }

/** Of a certificate that our CA has signed, the first name among the subject's alternatives. */
export function identifyCertificate(socket: Socket): CertificateIdentity {
  if (!(socket instanceof TLSSocket)) return { kind: 'none' }
  const certificate = socket.getPeerCertificate()
  if (Object.keys(certificate ?? {}).length === 0) return { kind: 'none' }
  const name = socket.authorized ? nameIn(certificate.subjectaltname) : undefined
  return name === undefined ? { kind: 'untrusted' } : { kind: 'name', name }
}

const ENTRY = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/**
 * Node writes `DNS:a.example, URI:spiffe://…`, and in quotes what holds a comma or a quote itself,
 * lest one name pass for two. Only the whole text, read from its beginning, means anything.
 */
export function nameIn(alternatives: string | undefined): string | undefined {
  const text = alternatives ?? ''
  const names: string[] = []
  for (let position = 0; position < text.length; position = ENTRY.lastIndex) {
    ENTRY.lastIndex = position
    const [entry, kind = '', value = ''] = ENTRY.exec(text) ?? []
    if (entry === undefined) return undefined
    if (['DNS', 'URI', 'email'].includes(kind) && value !== '') names.push(unquoted(value))
  }
  return names[0]
}

function unquoted(value: string): string {
  return value.startsWith('"') ? String(JSON.parse(value)) : value
}
