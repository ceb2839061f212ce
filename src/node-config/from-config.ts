import type { FrontDoorConfig, UpstreamConfig } from '../config/config.ts'
import type { ClientCertificate, NodeAuth, NodeRegistry } from './setup.ts'

/** Every name by which images mean one of these upstreams. */
export function registriesOf(upstreams: readonly UpstreamConfig[]): NodeRegistry[] {
  return upstreams.flatMap((upstream) => {
    const segment = upstream.match.find((name) => !name.includes(':'))
    return upstream.match.map((name) => ({
      name,
      segment: name.includes(':') ? segment : name,
      url: upstream.url,
      isDefault: upstream.default,
      asksCaller: upstream.access === 'caller',
      hasOwnCa: upstream.caFile !== undefined,
    }))
  })
}

/** @param clientCertificate where it is on the nodes */
export function nodeAuthOf(
  auth: FrontDoorConfig | undefined,
  clientCertificate: ClientCertificate | undefined,
): NodeAuth {
  return {
    password: auth?.htpasswdFile !== undefined,
    certificate: auth?.clientCertificates ?? false,
    clientCertificate,
  }
}
