import { readFileSync } from 'node:fs'
import { getCACertificates } from 'node:tls'

/** How servers are verified, and how Larder shows who it is. */
export interface TlsMaterial {
  /** `undefined`: the runtime's own roots. */
  readonly ca: readonly string[] | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface TlsFileNames {
  readonly caFile: string | undefined
  readonly clientCertFile: string | undefined
  readonly clientKeyFile: string | undefined
}

/**
 * Reads them once, when the upstream is built. A CA file adds to the known roots and does not
 * replace them: a private registry may keep its blobs at a public store.
 *
 * @throws {Error} that names the file which cannot be read
 */
export function readTlsFiles(names: TlsFileNames): TlsMaterial {
  const own = read(names.caFile)
  return {
    ca: own === undefined ? undefined : [...getCACertificates('default'), own],
    cert: read(names.clientCertFile),
    key: read(names.clientKeyFile),
  }
}

function read(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new Error(`cannot read ${file}: ${code}`, { cause })
  }
}
