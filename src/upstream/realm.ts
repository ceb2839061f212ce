/** Registries whose token server has another host, by name. Nobody else may name a foreign one. */
const KNOWN_REALMS: ReadonlyMap<string, readonly string[]> = new Map([
  ['https://registry-1.docker.io', ['https://auth.docker.io']],
  ['https://index.docker.io', ['https://auth.docker.io']],
  ['https://registry.gitlab.com', ['https://gitlab.com']],
])

/**
 * The token endpoint that a challenge names, if credentials for `endpoint` may go there: its own
 * origin, over TLS its own host, a known one, or one the operator trusts.
 * Anything else would let a registry collect the passwords of another.
 */
export function approveRealm(
  realm: string | undefined,
  endpoint: URL,
  trustedRealms: readonly string[],
): URL | undefined {
  if (realm === undefined || !URL.canParse(realm)) return undefined
  const url = new URL(realm)
  if (url.username !== '' || url.password !== '') return undefined
  const plain = url.protocol === 'http:' && endpoint.protocol === 'http:'
  if (url.protocol !== 'https:' && !plain) return undefined
  const approved =
    url.origin === endpoint.origin ||
    trustedRealms.some((trusted) => originOf(trusted) === url.origin) ||
    (KNOWN_REALMS.get(endpoint.origin)?.includes(url.origin) ?? false) ||
    // The certificate shows that it is the same host: GitLab's registry is at a port of its own.
    (url.protocol === 'https:' &&
      endpoint.protocol === 'https:' &&
      url.hostname === endpoint.hostname)
  return approved ? url : undefined
}

function originOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).origin : undefined
}
