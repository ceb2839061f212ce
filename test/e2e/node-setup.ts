import type { NodeSetup } from '../../src/node-config/setup.ts'

/**
 * What `larder node-config` knows of a Larder that nodes reach by plain HTTP.
 *
 * @param registries names, or names with the URL that a node falls back to: then it does
 */
export function nodeSetup(
  larder: string,
  registries: readonly string[] | Readonly<Record<string, string>>,
): NodeSetup {
  const fallback = !Array.isArray(registries)
  const urls: [string, string][] = Array.isArray(registries)
    ? registries.map((name: string) => [name, `https://${name}`])
    : Object.entries(registries)
  return {
    url: larder,
    registries: urls.map(([name, url]) => ({
      name,
      segment: name,
      url,
      isDefault: false,
      asksCaller: false,
      hasOwnCa: false,
    })),
    everything: false,
    ca: undefined,
    fallback,
    auth: { password: false, certificate: false, clientCertificate: undefined },
  }
}
