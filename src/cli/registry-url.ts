import { formatAddress } from '../config/addresses.ts'
import type { ServerConfig } from '../config/config.ts'
import { ExitError } from './exit.ts'

const EXIT_USAGE = 2

/**
 * What was said with `--url`: the origin of the registry API.
 *
 * @throws {ExitError} 2; its message does not repeat what may hold a password
 */
export function parseRegistryUrl(text: string): string {
  const url = URL.parse(text)
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (url === null || !isHttp || url.username !== '' || url.href !== `${url.origin}/`) {
    throw new ExitError(EXIT_USAGE, '--url: expected a URL such as https://larder.example:5000')
  }
  return url.origin
}

/**
 * The registry API that a configuration describes, at a host.
 *
 * @throws {ExitError} 2 where the kernel chose its port
 */
export function registryUrlAt(host: string, { listen, tls }: ServerConfig): string {
  const { port } = listen
  if (port === 0) throw new ExitError(EXIT_USAGE, 'server.listen has no fixed port: say --url URL')
  const scheme = tls === undefined ? 'http' : 'https'
  return new URL(`${scheme}://${formatAddress({ host, port })}`).origin
}
