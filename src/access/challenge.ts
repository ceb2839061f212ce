import { RegistryError } from '../oci/errors.ts'

/** Asks for a login (RFC 7617). Clients answer with a secret: only where nobody else can read it. */
export function challenge(realm: string): RegistryError {
  const headers = { 'WWW-Authenticate': `Basic realm="${realm}", charset="UTF-8"` }
  return new RegistryError('UNAUTHORIZED', { headers })
}
