/** What a running server cannot change: it holds a socket, a directory or memory for it. */
import { formatAddress } from './addresses.ts'
import type { Config } from './config.ts'
import type { LoadedConfig } from './load.ts'
import type { Path, Problem } from './problems.ts'
import { formatSize } from './sizes.ts'

interface FixedKey {
  readonly path: Path
  /** As it is compared and shown; `undefined`: there is none. */
  readonly show: (config: Config) => string | undefined
  /** Says what the running server does, after `the running server `. */
  readonly describe: (value: string | undefined) => string
}

const FIXED_KEYS: readonly FixedKey[] = [
  {
    path: ['server', 'listen'],
    show: ({ server }) => formatAddress(server.listen),
    describe: (address) => `listens on ${address}`,
  },
  {
    path: ['server', 'adminListen'],
    show: ({ server }) => formatAddress(server.adminListen),
    describe: (address) => `has its admin listener on ${address}`,
  },
  {
    path: ['server', 'tls'],
    show: ({ server }) => (server.tls === undefined ? 'plain HTTP' : 'TLS'),
    describe: (protocol) => `speaks ${protocol}`,
  },
  tlsFile('certFile'),
  tlsFile('keyFile'),
  tlsFile('clientCaFile'),
  {
    path: ['server', 'workers'],
    show: ({ server }) => String(server.workers),
    describe: (count) => `has ${count}`,
  },
  {
    path: ['log', 'format'],
    show: ({ log }) => log.format,
    describe: (format) => `writes ${format}`,
  },
  {
    path: ['storage', 'path'],
    show: ({ storage }) => storage.path,
    describe: (directory) => `keeps its data in ${directory}`,
  },
  {
    path: ['memory', 'chunkCache'],
    show: ({ memory }) => formatSize(memory.chunkCacheBytes),
    describe: (size) => `has ${size}`,
  },
]

/**
 * The keys that differ and take a restart, each with its place in the new configuration; none: the
 * running server can take it over. The content of TLS files is not looked at: the listener does.
 *
 * @param before what the server was started with
 */
export function findFixedChanges(before: Config, after: LoadedConfig): readonly Problem[] {
  const isTlsSwitched =
    (before.server.tls === undefined) !== (after.config.server.tls === undefined)
  return FIXED_KEYS.flatMap(({ path, show, describe }) => {
    const running = show(before)
    if (running === show(after.config)) return []
    // That TLS comes or goes is said once, not once a file.
    if (isTlsSwitched && path.length > 2) return []
    return [after.locate(path, `takes a restart: the running server ${describe(running)}`)]
  })
}

function tlsFile(key: 'certFile' | 'keyFile' | 'clientCaFile'): FixedKey {
  return {
    path: ['server', 'tls', key],
    show: ({ server }) => server.tls?.[key],
    describe: (file) => (file === undefined ? 'has none' : `reads ${file}`),
  }
}
