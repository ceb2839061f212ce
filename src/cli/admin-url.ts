import { formatAddress, isWildcard } from '../config/addresses.ts'
import type { Config } from '../config/config.ts'
import { ExitError } from './exit.ts'

const EXIT_USAGE = 2

/**
 * Where this machine reaches the admin listener that the configuration describes.
 *
 * @throws {ExitError} 2 where the kernel chose its port
 */
export function adminUrlOf({ server }: Config): string {
  const { host, port } = server.adminListen
  if (port === 0) {
    throw new ExitError(EXIT_USAGE, 'server.adminListen has no fixed port: say --server URL')
  }
  const loopback = host === '::' ? '::1' : '127.0.0.1'
  return `http://${formatAddress({ host: isWildcard(host) ? loopback : host, port })}`
}

/**
 * What was said with `--server`, without a slash at its end.
 *
 * @throws {ExitError} 2; its message does not repeat what may hold a password
 */
export function parseServerUrl(text: string): string {
  const url = URL.parse(text)
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (url === null || !isHttp || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new ExitError(EXIT_USAGE, '--server: expected a URL such as http://127.0.0.1:9090')
  }
  return url.href.replace(/\/$/, '')
}
